"""Keep a service up to date with a run, from a thread of its own: training neither waits for it nor fails with it."""

import contextvars
import os
import queue
import threading
from typing import Literal, Protocol

from convtrials.training.loggers.log_to import LogTo
from convtrials.training.run_documents import HistoryEntry, RunResult

#: Seconds that a run waits at its end for a service, and where it was stopped.
END_SECONDS, STOP_SECONDS = 30.0, 15.0


class Service(Protocol):
    """A run in a service. All calls come from one thread; each may raise and is then made again later."""

    name: str

    def begin(self) -> int:
        """Begin the run there, or go on with it; return the last epoch that it has, 0 for none."""

    def add(self, entry: HistoryEntry) -> None:
        """Send the curves' values after an epoch."""

    def end(self, result: RunResult | None) -> None:
        """End the run there; without a result it was stopped."""


class Background:
    """A service and the thread that talks to it.

    What could not be sent is tried again after the next epoch, and at the end; the first failure is reported in a
    line.
    """

    def __init__(self, service: Service, log_to: LogTo) -> None:
        self._service, self._log_to = service, log_to
        self._incoming: queue.SimpleQueue[HistoryEntry | RunResult | Literal["begin", "stop"]] = (
            queue.SimpleQueue()
        )
        self._unsent: list[HistoryEntry] = []
        self._known = 0
        self._seconds = END_SECONDS
        self._begun = False
        self._ended = threading.Event()
        context = contextvars.copy_context()  # so that `quiet` holds there too
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name=f"log to {service.name}", daemon=True
        )
        self._incoming.put("begin")
        self._thread.start()

    def add(self, entry: HistoryEntry) -> None:
        """Send an epoch, some time soon."""
        self._incoming.put(entry)

    def end(self, result: RunResult | None) -> None:
        """Send the end of the run; without a result the run was stopped."""
        self._incoming.put("stop" if result is None else result)
        self._seconds = STOP_SECONDS if result is None else _end_seconds()

    def wait(self) -> None:
        """Wait until all is sent, but not for long, and for a service that has failed already not at all."""
        name, seconds = self._service.name, self._seconds
        if not self._ended.wait(0 if name in self._log_to.failed else seconds):
            # The thread goes on for as long as this process lives.
            self._log_to.report(name, f"no answer within {seconds:.0f} s")
            self._log_to.failed.add(name)

    def _work(self) -> None:
        while True:
            item = self._incoming.get()
            last = isinstance(item, RunResult) or item == "stop"
            if isinstance(item, HistoryEntry):
                self._unsent.append(item)
            try:
                self._send()
                if last:
                    self._service.end(item if isinstance(item, RunResult) else None)
                    self._log_to.failed.discard(self._service.name)
            except Exception as error:
                self._log_to.report(self._service.name, _first_line(error))
                if last:
                    self._log_to.failed.add(self._service.name)
            if last:
                self._ended.set()
                return

    def _send(self) -> None:
        if not self._begun:
            self._known = self._service.begin()
            self._begun = True
        while self._unsent:
            if self._unsent[0].epoch > self._known:
                self._service.add(self._unsent[0])
            del self._unsent[0]


def _end_seconds() -> float:
    """Return what CONVTRIALS_LOG_SECONDS says, where it is a number of seconds up to an hour."""
    try:
        return min(max(float(os.environ["CONVTRIALS_LOG_SECONDS"]), 0.0), 3600.0)
    except (KeyError, ValueError):
        return END_SECONDS


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__
