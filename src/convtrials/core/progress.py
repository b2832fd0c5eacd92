"""Progress that suits its reader: bars on a terminal, a log line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

#: Seconds between log lines of one task where the output is no terminal.
LOG_INTERVAL = 10.0


class Task(Protocol):
    """One thing that makes progress."""

    def advance(self, amount: float = 1) -> None:
        """Say that ``amount`` more units are done."""

    def show(self, text: str) -> None:
        """Show ``text`` (loss, rate) next to the bar."""

    def note(self, text: str) -> None:
        """Print a line that stays, such as an epoch's summary."""


class _BarTask:
    def __init__(self, progress: Any, task_id: Any):
        self._progress = progress
        self._id = task_id

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(self._id, amount)

    def show(self, text: str) -> None:
        self._progress.update(self._id, info=text)

    def note(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)


class _LogTask:
    def __init__(self, name: str, total: float | None, quiet: bool):
        self._name, self._total, self._quiet = name, total, quiet
        self._done, self._info = 0.0, ""
        self._started = self._last = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        now = time.monotonic()
        if not self._quiet and now - self._last >= LOG_INTERVAL and self._total:
            self._last = now
            left = (now - self._started) * (self._total - self._done) / max(self._done, 1e-9)
            self.note(
                f"{self._name}: {self._done / self._total:4.0%}  {left:.0f} s left  {self._info}".rstrip()
            )

    def show(self, text: str) -> None:
        self._info = text

    def note(self, text: str) -> None:
        say(text)


class _SilentTask:
    def advance(self, amount: float = 1) -> None:
        pass

    def show(self, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def say(text: str) -> None:
    """Print a line on standard error, where no bar is shown."""
    print(text, file=sys.stderr, flush=True)


def say_nothing(text: str) -> None:
    """Take a line and drop it: `say` for library use."""


@contextmanager
def progress_task(
    name: str, total: float | None, *, silent: bool = False, log_steps: bool = True
) -> Iterator[Task]:
    """Show the progress of one task on standard error.

    Parameters
    ----------
    name : str
        What is being done, a few words.
    total : float or None
        Units in all; None where nobody can know.
    silent : bool
        Show nothing at all (library use).
    log_steps : bool
        Off a terminal, print a line every ten seconds. Pass False where the caller notes its own milestones.

    Yields
    ------
    Task
        With ``advance``, ``show`` and ``note``.
    """
    if silent:
        yield _SilentTask()
        return
    if not sys.stderr.isatty():
        yield _LogTask(name, total, quiet=not log_steps)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28 if console.width >= 100 else 9),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[info]}", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        yield _BarTask(progress, progress.add_task(name, total=total, info=""))
