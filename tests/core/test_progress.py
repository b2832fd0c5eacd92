import pytest

from convtrials.core import progress
from convtrials.core.progress import progress_task


def test_off_a_terminal_progress_is_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    with progress_task("packing", 4) as task:
        task.show("17 images/s")
        task.advance(2)
        task.note("half way")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("packing:  50%")
    assert lines[0].endswith("17 images/s")
    assert lines[1] == "half way"


def test_a_caller_with_milestones_gets_no_other_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    with progress_task("training", 4, log_steps=False) as task:
        task.advance(2)
        task.note("epoch 1")
    assert capsys.readouterr().err == "epoch 1\n"


def test_silent_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_task("x", None, silent=True) as task:
        task.advance()
        task.show("y")
        task.note("z")
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_progress_is_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress_task("drawing", 10) as task:
        task.advance(10)
        task.show("[ok] 99 images/s")  # brackets are no markup
    shown = capsys.readouterr().err
    assert "drawing" in shown
    assert "[ok] 99 images/s" in shown
