"""Ctrl-C and the polite kill, caught so that work can stop between two steps."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class StopWish:
    """Counts how often somebody has asked to stop.

    Parameters
    ----------
    heard : callable, optional
        Called at each wish with their number so far and the signal; it may raise.
    """

    def __init__(self, heard: Callable[[int, int], None] = lambda times, number: None) -> None:
        self.times = 0
        self._heard = heard

    @property
    def asked(self) -> bool:
        """True once somebody has asked."""
        return self.times > 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.times += 1
        self._heard(self.times, number)

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopWish"]:
        """Catch SIGINT and SIGTERM inside the block; outside the main thread nothing is caught."""
        old: dict[signal.Signals, Any] = {}
        with contextlib.suppress(ValueError):
            for caught in (signal.SIGINT, signal.SIGTERM):
                old[caught] = signal.signal(caught, self._handle)
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
