"""Locks on files that end with their process, however that ends; exclusive and shared, on every system.

Where the system has ``flock`` (Linux, macOS) that is what is used, as by every earlier version: both see each other.
Windows has locks on ranges of bytes, by `msvcrt.locking`, exclusive ones alone. There an exclusive lock takes the whole
of a range far behind the end of the file, and a shared one a single byte of it, drawn at random: shared locks leave
each other alone, and an exclusive lock is refused as long as any byte is held. Both kinds belong to the open file and
end when the system closes it, so that no lock is left behind by a process that was killed.

`filelock` was looked at (4.2) and is not used: its kernel locks are exclusive alone; its shared ones live in an SQLite
database, which would not see the ``flock`` of an earlier version, or are marker files with a lease, which outlive a
killed process until the lease ends.
"""

import errno
import os
import secrets
import time
import weakref
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

Kind = Literal["exclusive", "shared"]

#: Where Windows locks, and how many bytes: behind all content, since a locked byte cannot be read there.
_FIRST_BYTE, _BYTES = 2**30, 2**20

#: Bytes that are tried for a shared lock: that other shared locks hold all of them does not happen.
_TRIES = 4

#: Seconds between two tries for a lock that is waited for.
_PAUSE = 0.02

#: Seconds in which one who asks looks again: another who asks holds the lock for a moment only.
_MOMENT = 0.1


#: What a file system without locks answers, such as some network drives.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class LockHeld(Exception):
    """Another process, or another part of this one, holds the lock."""


def why_not_locked(error: OSError) -> str:
    """Say why a file in a folder could not be made or locked."""
    said = error.strerror or str(error)
    if error.errno in _NO_LOCKS:
        return f"cannot be locked: its file system has no locks ({said}); choose a folder on another disk"
    return f"cannot be written or locked: {said}"


#: What was locked: the first byte and how many; meaningless where whole files are locked.
_Range = tuple[int, int]


class _System(Protocol):
    """How a system locks an open file."""

    def take(self, handle: int, kind: Kind) -> _Range | None:
        """Take the lock if it is free, without waiting; None where it is not."""

    def free(self, handle: int, locked: _Range) -> None:
        """Free the lock and close the file."""


class _Flock:
    def __init__(self, fcntl: Any) -> None:
        self._fcntl = fcntl

    def take(self, handle: int, kind: Kind) -> _Range | None:
        operation = self._fcntl.LOCK_EX if kind == "exclusive" else self._fcntl.LOCK_SH
        try:
            self._fcntl.flock(handle, operation | self._fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return 0, 0

    def free(self, handle: int, locked: _Range) -> None:
        # Closing frees it too, but not before a process that is just being started has closed its copy.
        with suppress(OSError):
            self._fcntl.flock(handle, self._fcntl.LOCK_UN)
        os.close(handle)


class _ByteRanges:
    def __init__(self, msvcrt: Any) -> None:
        self._msvcrt = msvcrt

    def take(self, handle: int, kind: Kind) -> _Range | None:
        tries = [(_FIRST_BYTE, _BYTES)]
        if kind == "shared":
            tries = [(_FIRST_BYTE + secrets.randbelow(_BYTES), 1) for _ in range(_TRIES)]
        for first, count in tries:
            try:
                self._locking(handle, self._msvcrt.LK_NBLCK, first, count)
            except PermissionError:  # EACCES: held by another open file
                continue
            return first, count
        return None

    def free(self, handle: int, locked: _Range) -> None:
        try:  # closing frees it too, but Windows does not say when
            self._locking(handle, self._msvcrt.LK_UNLCK, *locked)
        finally:
            os.close(handle)

    def _locking(self, handle: int, mode: int, first: int, count: int) -> None:
        os.lseek(handle, first, os.SEEK_SET)
        self._msvcrt.locking(handle, mode, count)


def _system() -> _System:
    try:
        return _Flock(import_module("fcntl"))
    except ImportError:
        return _ByteRanges(import_module("msvcrt"))


_SYSTEM = _system()
_HELD: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


class FileLock:
    """A lock on a file, which is made where need be and stays: removing it would free a lock that others hold.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    kind : {"exclusive", "shared"}
        Any number of shared locks may be held at once, or one exclusive lock. This holds within a process too.

    Examples
    --------
    >>> with FileLock(Path("base-1.lock")).acquire(wait=0):
    ...     FileLock(Path("base-1.lock")).held()
    True
    """

    def __init__(self, path: Path, kind: Kind = "exclusive") -> None:
        self.path, self.kind = Path(path), kind
        self._handle: int | None = None
        self._range: _Range = (0, 0)

    def acquire(self, wait: float | None = None) -> "FileLock":
        """Take the lock; it is held until `release`, the end of a ``with`` block or that of the process.

        Parameters
        ----------
        wait : float or None
            Seconds to wait where it is held; 0: none, None: as long as it takes.

        Raises
        ------
        LockHeld
            It is still held when the time is over.
        OSError
            The file cannot be made, or its file system has no locks.
        """
        handle = os.open(
            self.path, os.O_RDWR | os.O_CREAT, 0o666
        )  # not inherited by programs that are started
        try:
            locked = _take(handle, self.kind, wait)
            if locked is None:
                raise LockHeld(f"{self.path}: locked by another process")
        except BaseException:
            os.close(handle)
            raise
        self._handle, self._range = handle, locked
        _HELD.add(self)
        return self

    def release(self) -> None:
        """Free the lock; nothing happens where it is not held."""
        handle, self._handle = self._handle, None
        _HELD.discard(self)
        if handle is not None:
            _SYSTEM.free(handle, self._range)

    def held(self) -> bool:
        """Say whether anyone holds a lock of this kind at this moment; one who only asks does not count.

        Who asks for shared locks is also answered with yes where an exclusive one is held. False where there is no
        file, or none that can be locked.
        """
        try:
            handle = _open_to_ask(self.path)
        except OSError:
            return False
        try:
            # Two who ask for an exclusive lock do not see each other; for a shared one they would, for a moment.
            asked: tuple[Kind, float] = (
                ("shared", 0.0) if self.kind == "exclusive" else ("exclusive", _MOMENT)
            )
            locked = _take(handle, *asked)
        except OSError:
            os.close(handle)
            return False
        if locked is None:
            os.close(handle)
            return True
        _SYSTEM.free(handle, locked)
        return False

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _take(handle: int, kind: Kind, wait: float | None) -> _Range | None:
    """Take a lock on an open file; None where it is still held after some seconds."""
    deadline = None if wait is None else time.monotonic() + wait
    while (locked := _SYSTEM.take(handle, kind)) is None:
        if deadline is not None and time.monotonic() >= deadline:
            return None
        time.sleep(_PAUSE)
    return locked


def _open_to_ask(path: Path) -> int:
    """Open for writing where that is allowed: NFS gives exclusive locks on such files alone."""
    try:
        return os.open(path, os.O_RDWR)
    except OSError:
        return os.open(path, os.O_RDONLY)


def _forget_locks_of_the_parent() -> None:
    """Close what a forked process shares with its parent: else the parent's lock would live as long as the child."""
    for lock in list(_HELD):
        if lock._handle is not None:
            os.close(lock._handle)
            lock._handle = None
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks_of_the_parent)
