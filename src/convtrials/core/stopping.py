"""Ctrl-C and SIGTERM, caught so that work can stop between two steps."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class StopRequest:
    """Counts how often a stop was asked for.

    Parameters
    ----------
    on_request : callable, optional
        Called at each request with their number so far and the signal; it may raise.
    """

    def __init__(self, on_request: Callable[[int, int], None] = lambda times, number: None) -> None:
        self.times = 0
        self._on_request = on_request

    @property
    def asked(self) -> bool:
        """True once a stop was asked for."""
        return self.times > 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.times += 1
        self._on_request(self.times, number)

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopRequest"]:
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
