import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import convtrials as ct
from convtrials.core.log import get_logger, lines_shown, lines_to, print_line

LOG = get_logger("convtrials.somewhere")


def run(script: str) -> tuple[str, str]:
    """Run Python code in a process of its own; return what it prints, and what it shows."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    return done.stdout, done.stderr


@pytest.fixture
def level() -> Iterator[logging.Logger]:
    """Give the package's logger its level back."""
    package = logging.getLogger("convtrials")
    before = package.level
    yield package
    package.setLevel(before)


USE = """
from convtrials.core.log import get_logger, quiet
log = get_logger("convtrials.somewhere")
log.info("90% done")
with quiet():
    log.info("hidden")
    log.warning("in another way")
"""


def test_lines_are_on_standard_error_as_they_are() -> None:
    assert run(USE) == ("", "90% done\nin another way\n")


@pytest.mark.parametrize(
    "script",
    [
        "import logging; logging.basicConfig(format='%(name)s: %(message)s')" + USE,
        USE.replace(
            "\nlog =", "\nimport logging; logging.basicConfig(format='%(name)s: %(message)s')\nlog ="
        ),
    ],
)
def test_an_application_that_configures_logging_gets_each_line_once(script: str) -> None:
    expected = "convtrials.somewhere: 90% done\nconvtrials.somewhere: in another way\n"
    assert run(script) == ("", expected)


def test_a_level_that_is_set_before_the_import_stands() -> None:
    assert run("import logging; logging.getLogger('convtrials').setLevel('WARNING')" + USE)[1] == (
        "in another way\n"
    )


def test_lines_go_to_a_file_too(tmp_path: object) -> None:
    file = f"{tmp_path}/lines.txt"
    shown = run(
        f"import logging; logging.getLogger('convtrials').addHandler(logging.FileHandler({file!r}))" + USE
    )
    assert shown[1] == "90% done\nin another way\n"
    with open(file, encoding="utf-8") as lines:
        assert lines.read() == shown[1]


def test_quiet_hides_lines_on_how_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with ct.quiet():
        with ct.quiet():
            assert not lines_shown()
        LOG.info("hidden")
        LOG.warning("in another way")
        assert not lines_shown()
    LOG.info("shown")
    assert caplog.messages == ["in another way", "shown"]
    assert lines_shown()


def test_quiet_is_for_one_thread(caplog: pytest.LogCaptureFixture) -> None:
    with ct.quiet():
        other = threading.Thread(target=LOG.info, args=("of the other thread",))
        other.start()
        other.join()
        LOG.info("hidden")
    assert caplog.messages == ["of the other thread"]


def test_the_level_of_the_package_is_that_of_its_modules(
    caplog: pytest.LogCaptureFixture, level: logging.Logger
) -> None:
    level.setLevel("WARNING")
    LOG.info("hidden")
    assert not lines_shown()
    assert caplog.messages == []


def test_lines_to_a_function_go_nowhere_else(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    with lines_to(lines.append):
        LOG.info("one")
        with lines_to(print_line):
            LOG.info("inner")
        LOG.info("two")
    assert lines == ["one", "two"]
    assert (capsys.readouterr().err, caplog.messages) == ("inner\n", [])


def test_a_line_that_cannot_be_shown_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(logging, "raiseExceptions", False)
    with lines_to(broken):
        LOG.info("lost")
