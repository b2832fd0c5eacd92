import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest

import convtrials as ct
from convtrials.core import progress
from convtrials.core.log import get_logger, lines_to, print_line
from convtrials.core.progress import progress_task


@pytest.fixture(autouse=True)
def shown_on_standard_error() -> Iterator[None]:
    """As on the command line; pytest's own handlers would get the lines otherwise."""
    with lines_to(print_line):
        yield


def test_off_a_terminal_progress_is_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    with progress_task("packing", 4) as task:
        task.show("17 images/s")
        task.advance(2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("packing:  50%")
    assert line.endswith("17 images/s")


def test_a_caller_with_milestones_gets_no_other_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    with progress_task("training", 4, log_steps=False) as task:
        task.show("loss")
        task.advance(2)
    assert capsys.readouterr().err == ""


def test_quiet_progress_is_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    with ct.quiet(), progress_task("x", 2) as task:
        task.advance()
        task.show("y")
    caplog.set_level(logging.WARNING, "convtrials")
    with progress_task("x", 2) as task:
        task.advance()
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_progress_is_a_bar_and_lines_are_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with progress_task("drawing", 10) as task:
        task.advance(10)
        task.show("[ok] 99 images/s")  # brackets are no markup
        get_logger("convtrials.somewhere").info("a line [with] brackets")
    *_, line, bar, end = capsys.readouterr().err.split("\n")
    assert line.endswith("a line [with] brackets")  # before it, the bar of an earlier moment is wiped off
    assert "drawing" in bar
    assert "[ok] 99 images/s" in bar
    assert "a line" not in bar + end


class Notebook:
    """Stands in for IPython and its kernel: what a cell shows, and how often each line was renewed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
        self.lines: list[list[str]] = []
        kernel = type("Shell", (type(shell, (), {}),), {})()  # as on Colab: a class derived from it
        ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
        ipython.get_ipython = lambda: kernel  # type: ignore[attr-defined]
        display.display = self.display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        states = [data["text/plain"]]
        self.lines.append(states)

        class Place:
            def update(self, data: dict[str, str], *, raw: bool) -> None:
                assert raw
                states.append(data["text/plain"])

        return Place()


def test_in_a_notebook_progress_is_one_line_that_is_renewed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = Notebook(monkeypatch, "ZMQInteractiveShell")
    monkeypatch.setattr(progress, "NOTEBOOK_INTERVAL", 0.0)
    with progress_task("training", 4, log_steps=False) as task:
        task.advance(2)
        task.show("loss 0.5")
        get_logger("convtrials.somewhere").info("epoch 1")
        task.advance(2)
    (states,) = notebook.lines
    assert states[:2] == ["", "training:   0%"]
    assert states[2].startswith("training:  50%")
    assert states[-1] == "training: 100%  0 s left  loss 0.5"
    with ct.quiet(), progress_task("training", 4):
        pass
    assert len(notebook.lines) == 1
    assert capsys.readouterr() == ("", "epoch 1\n")


def test_a_notebook_is_not_flooded_and_keeps_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook(monkeypatch, "ZMQInteractiveShell")
    with suppress(KeyError), progress_task("reading", None) as task:
        for _ in range(1000):
            task.advance()
        task.show("999 files")
        raise KeyError
    assert notebook.lines == [["", "reading", "reading  999 files"]]


def test_ipython_in_a_terminal_is_no_notebook(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = Notebook(monkeypatch, "TerminalInteractiveShell")
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    with progress_task("packing", 4) as task:
        task.advance(2)
    assert notebook.lines == []
    assert capsys.readouterr().err.startswith("packing:  50%")
