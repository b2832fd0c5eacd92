"""A contestant: what is measured, and the process that it lives in."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Variables that would carry settings of this process, or packages of its environment, into a contestant.
_NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

#: Of the repository: this package is found there.
_ROOT = Path(__file__).parents[2]

#: Seconds for the system to end a killed process; one that is stuck in a device must not hold up the others.
_KILL_SECONDS = 10.0


@dataclass(frozen=True)
class Contestant:
    """What is measured, as one row of the result.

    Attributes
    ----------
    name : str
        Short and unique, such as ``"lightning-tuned"``.
    label : str
        For people.
    group : str
        ``"alone"`` (a run on all cores) or ``"together"`` (runs side by side).
    command : tuple of str
        Starts one process; see `benchmarks.race.peers.protocol`.
    processes : int
        How many train at the same time.
    threads : int or None
        Threads of each process; None: as it chooses itself.
    same_network : bool
        Whether it must have as many parameters as the network of the comparison.
    reference : bool
        Whether the others of its group are compared with it.
    missing : str
        Why it cannot be started, where that is known beforehand.
    own : bool
        Whether it is of this package, and runs in this Python.
    """

    name: str
    label: str
    group: str
    command: tuple[str, ...]
    processes: int = 1
    threads: int | None = None
    same_network: bool = True
    reference: bool = False
    missing: str = ""
    own: bool = False


def own_path() -> str:
    """Return the PYTHONPATH of a process that runs a module of this package, in whatever folder."""
    return os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))


class ContestantError(Exception):
    """A contestant is out of the race; the message says why."""


class ContestantProcess:
    """One process of a contestant, seen from outside.

    Parameters
    ----------
    threads : int or None
        Told to OpenMP as well.
    folder : Path
        Where it runs and may write; its log goes beside.
    own : bool
        Whether it is of this package, and runs in this Python.
    """

    def __init__(
        self, command: tuple[str, ...], threads: int | None, folder: Path, *, own: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder.with_suffix(".log")
        environment = {key: value for key, value in os.environ.items() if key not in _NOT_PASSED_ON}
        if own:
            environment["PYTHONPATH"] = own_path()
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        with open(self._log, "wb") as log:
            try:
                # A session of its own: Ctrl-C reaches us alone, and its loader processes die with it.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                    cwd=folder,
                    start_new_session=True,
                )
            except OSError as error:
                raise ContestantError(f"cannot be started: {error}") from None
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, question: dict[str, Any]) -> None:
        """Send a line; one that nobody reads any more is noticed by `answer`."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self, seconds: float, when: str) -> dict[str, Any]:
        """Wait for a line.

        Parameters
        ----------
        seconds : float
            How long.
        when : str
            What it is doing meanwhile, such as ``"in round 2"``.

        Raises
        ------
        ContestantError
            It has died, says what is no answer, or says nothing for so many seconds.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=0.2)
                break
            except queue.Empty:
                if self._process.poll() is not None and self._lines.empty():
                    raise ContestantError(self._how_it_died()) from None
                if time.monotonic() > deadline:
                    limit = f"{seconds:,.1f}".removesuffix(".0")
                    raise ContestantError(f"hung: no answer within {limit} s {when}") from None
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ContestantError(f"its answer cannot be read: {line[:80]!r}")
        return value

    def kill(self) -> None:
        """End it with everything that it has started."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                self._lines.put(line)

    def _how_it_died(self) -> str:
        """Say what the log says last: of a traceback that is the error."""
        code = self._process.wait()
        with open(self._log, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 65_536))
            lines = log.read().decode("utf-8", errors="replace").strip().splitlines()
        told = f": {lines[-1].strip()[:200]}" if lines else ""
        if code < 0:
            with contextlib.suppress(ValueError):  # real-time signals have no name
                return f"ended by {signal.Signals(-code).name}{told}"
        return f"ended with code {code}{told}"
