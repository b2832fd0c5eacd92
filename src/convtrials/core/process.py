"""What this process may use of the machine, holds on to, and is asked: cores, memory, standard input, to stop."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, BinaryIO

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

#: Blocks up to this size are kept; older glibc takes 32 MiB at most.
_BLOCKS = (256 * 1024**2, 32 * 1024**2)
_NEVER = 2**31 - 1


def available_cores() -> int:
    """Return how many processor cores this process may use, 1 or more."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    import psutil

    try:
        return max(1, len(psutil.Process().cpu_affinity()))  # Windows
    except (AttributeError, psutil.Error):  # macOS lets no process choose
        return os.cpu_count() or 1


def process_exists(pid: int) -> bool:
    """Say whether a process of this machine runs under a number; on Windows `os.kill` with signal 0 would end it."""
    import psutil

    return bool(psutil.pid_exists(pid))


def keep_freed_memory() -> bool:
    """Ask the C library to keep memory that was freed, instead of handing it back to the system.

    A training step allocates and frees the same large blocks every time. glibc maps and unmaps blocks of this size, and
    the system fills each new page with zeros: 1,700 page faults per step of quarter-width AlexNet, 7 to 10% of the
    time. The process then holds on to the most that it has needed at once, but for blocks above 256 MiB
    (32 MiB with older versions of glibc). No result changes. Where the C library is another nothing happens.

    Returns
    -------
    bool
        Whether the C library does.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl and others have no such knob
        return False
    kept = any(mallopt(_M_MMAP_THRESHOLD, size) for size in _BLOCKS)
    return bool(mallopt(_M_TRIM_THRESHOLD, _NEVER)) and kept


def take_standard_input() -> BinaryIO:
    """Return what comes in on standard input, as a file that is the caller's alone; for everything else it is empty.

    Call it before any thread starts. A process that is forked closes `sys.stdin` first of all (any of
    `multiprocessing`), and would wait for ever for the lock that a thread holds while it reads from there. Without a
    buffer there is no lock at all.
    """
    # The benchmark's peers have the same in their own file, since they import nothing of convtrials.
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return requests


def leave_ctrl_c_to_the_parent() -> None:
    """Ctrl-C reaches every process of a terminal; the parent passes it on, once. See `child_options` for Windows."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def child_options() -> dict[str, Any]:
    """Return the options of `subprocess.Popen` for a child that calls `leave_ctrl_c_to_the_parent`.

    Windows has no masks of signals: there Ctrl-C does not reach a process group of its own.
    """
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    return {"creationflags": group} if group else {}


def ask_this_process_to_stop() -> None:
    """Do from any thread what SIGTERM from outside does; on Windows `os.kill` would end the process at once."""
    signal.raise_signal(signal.SIGTERM)


#: What Windows says of a process that did not end by itself (NTSTATUS).
_WINDOWS_ENDS = {
    0xC0000005: "an access violation",
    0xC0000017: "too little memory",
    0xC00000FD: "a stack overflow",
    0xC000013A: "Ctrl-C",
    0xC0000409: "an abort",
}


def exit_text(code: int) -> str:
    """Say in words how a child process ended, of which `subprocess` gave the exit code."""
    if code < 0:
        with suppress(ValueError):
            name = signal.Signals(-code).name
            hint = " (often: too little memory for so many workers)" if name == "SIGKILL" else ""
            return f"was ended by {name}{hint}"
    unsigned = code & 0xFFFFFFFF
    if unsigned in _WINDOWS_ENDS:
        return f"was ended by {_WINDOWS_ENDS[unsigned]}"
    return f"ended with code {code if abs(code) < 2**16 else hex(unsigned)}"


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that ask for a stop: SIGINT and SIGTERM, and Windows' Ctrl-Break."""
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


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

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Catch `stop_signals` inside the block; outside the main thread nothing is caught."""
        old: dict[signal.Signals, Any] = {}
        with suppress(ValueError):
            for caught in stop_signals():
                old[caught] = signal.signal(caught, self._handle)
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
