"""Progress that suits its reader: bars on a terminal, a line in a notebook, a log line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol

from convtrials.core.log import get_logger, lines_shown

_log = get_logger(__name__)

#: Seconds between log lines of one task where the output is no terminal.
LOG_INTERVAL = 10.0

#: Seconds between two states of a notebook's line.
NOTEBOOK_INTERVAL = 0.2


class Task(Protocol):
    """One thing that makes progress."""

    def advance(self, amount: float = 1) -> None:
        """Say that ``amount`` more units are done."""

    def show(self, text: str) -> None:
        """Show ``text`` (loss, rate) next to the bar."""


class _BarTask:
    def __init__(self, progress: Any, task_id: Any):
        self._progress = progress
        self._id = task_id

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(self._id, amount)

    def show(self, text: str) -> None:
        self._progress.update(self._id, info=text)


class _LineTask:
    """Progress in a line of text, given out at intervals."""

    def __init__(self, name: str, total: float | None, interval: float):
        self._name, self._total, self._interval = name, total, interval
        self._done, self._info = 0.0, ""
        self._started = self._last = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            self.print_status()

    def show(self, text: str) -> None:
        self._info = text

    def _line(self) -> str:
        if not self._total:
            return f"{self._name}  {self._info}".rstrip()
        line = f"{self._name}: {self._done / self._total:4.0%}"
        if self._done:
            left = (time.monotonic() - self._started) * (self._total - self._done) / self._done
            line += f"  {left:.0f} s left"
        return f"{line}  {self._info}".rstrip()

    def print_status(self) -> None:
        if self._total:
            _log.info(self._line())


class _NotebookTask(_LineTask):
    """One line of a cell's output, renewed in place."""

    def __init__(self, name: str, total: float | None, write: Callable[[str], None]):
        super().__init__(name, total, NOTEBOOK_INTERVAL)
        self._write = write

    def print_status(self) -> None:
        self._write(self._line())


class _NoTask:
    def advance(self, amount: float = 1) -> None:
        pass

    def show(self, text: str) -> None:
        pass


def notebook_line() -> Callable[[str], None] | None:
    """Return what writes a line under a notebook's cell and renews it; None where no notebook is the frontend."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    # As Jupyter's kernel names it; that of Colab is derived from it.
    if all(kind.__name__ != "ZMQInteractiveShell" for kind in type(shell).__mro__):
        return None
    shown = import_module("IPython.display").display({"text/plain": ""}, raw=True, display_id=True)
    return lambda text: shown.update({"text/plain": text}, raw=True)


@contextmanager
def progress_task(name: str, total: float | None, *, log_steps: bool = True) -> Iterator[Task]:
    """Show the progress of one task on standard error, or in a notebook's cell, where lines are shown at all.

    Parameters
    ----------
    name : str
        What is being done, a few words.
    total : float or None
        Units in all; None where it cannot be known.
    log_steps : bool
        Off a terminal, log a line every ten seconds. Pass False where the caller logs its own milestones.

    Yields
    ------
    Task
        With ``advance`` and ``show``.
    """
    if not lines_shown():
        yield _NoTask()
    elif write := notebook_line():
        task = _NotebookTask(name, total, write)
        task.print_status()
        try:
            yield task
        finally:
            task.print_status()
    elif not sys.stderr.isatty():
        yield _LineTask(name, total, LOG_INTERVAL) if log_steps else _NoTask()
    else:
        with _bars() as progress:
            yield _BarTask(progress, progress.add_task(name, total=total, info=""))


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28 if console.width >= 100 else 9),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[info]}", markup=False),
        console=console,
    )
