"""Lines that people read, by Python's `logging`: the logger ``convtrials``, and one for each module below it.

Without an application's own handlers they are shown on standard error as they are; with those, they are theirs alone.
INFO says how work goes on, WARNING what is done in another way than asked.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_quiet = ContextVar("quiet", default=False)


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module, ``convtrials`` or one below it; `quiet` holds for it."""
    logger = logging.getLogger(name)
    logger.addFilter(_not_quiet)
    return logger


@contextmanager
def quiet() -> Iterator[None]:
    """Show no lines below WARNING and no progress within the block; in this thread, others go on as they were.

    Examples
    --------
    >>> import convtrials as ct
    >>> with ct.quiet():
    ...     data = ct.load_dataset("glyphs", samples_per_class=12)
    """
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def lines_shown() -> bool:
    """Return whether lines on how work goes on (INFO) are shown; progress is, where they are."""
    return _package.isEnabledFor(logging.INFO) and not _quiet.get()


def print_line(text: str) -> None:
    """Print a line on standard error; above a bar, where one is shown."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def lines_to(show: Callable[[str], None]) -> Iterator[None]:
    """Hand lines to a function within the block, not to standard error nor to an application; in all threads."""
    before = _handler.show, _package.propagate
    _handler.show, _package.propagate = show, False
    try:
        yield
    finally:
        _handler.show, _package.propagate = before


def _not_quiet(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or not _quiet.get()


class _Handler(logging.Handler):
    """Shows lines where no application has handlers that get them anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.show: Callable[[str], None] = print_line

    def emit(self, record: logging.LogRecord) -> None:
        if _package.propagate and logging.getLogger().handlers:
            return
        try:
            self.show(self.format(record))
        except Exception:
            self.handleError(record)


_handler = _Handler()
_package = get_logger("convtrials")
_package.addHandler(_handler)
if _package.level == logging.NOTSET:  # else the importing program has chosen
    _package.setLevel(logging.INFO)
