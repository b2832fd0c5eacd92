"""Takes away what Linux and macOS alone have, so that the code for Windows runs here as far as it can.

`block` hides modules and functions from the process that calls it; ``sitecustomize.py`` in this folder calls it in
every Python that starts with the folder on PYTHONPATH, children included. In place of ``msvcrt`` stands `stand_in`,
built on Linux' locks on ranges of bytes of an open file (``F_OFD_SETLK``), which exclude each other as those of
Windows do.

What this shows: which modules and functions convtrials needs; locks by ranges of bytes, in threads and processes;
workers that stop and are killed without process groups and masks of signals; packs made without reserving disk space.
What it cannot show: Windows' own ``locking`` and signals; that an open or mapped file cannot be replaced or removed
there; reserved names and upper and lower case of file names; consoles. `sys.platform` and `os.name` stay what they are,
since the standard library and torch are those of this system; what our code does by them is tested by itself.
"""

import builtins
import errno
import os
import signal
import struct
import sys
import types

#: Modules that Windows does not have.
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog")

#: Functions that the modules of Windows do not have.
FUNCTIONS = {
    "os": (
        "fork", "forkpty", "killpg", "getpgid", "getpgrp", "setsid", "getuid", "geteuid", "getgid", "getegid",
        "sched_getaffinity", "sched_setaffinity", "posix_fallocate", "posix_fadvise", "pread", "pwrite",
        "getloadavg", "mkfifo", "nice", "chown", "fchmod", "sync",
    ),
    "signal": ("pthread_sigmask", "pthread_kill", "sigwait", "alarm", "setitimer", "SIGHUP", "SIGUSR1"),
    "time": ("tzset",),
}  # fmt: skip
# Windows has no os.uname, os.sysconf, os.statvfs and signal.SIGKILL either, but platform, matplotlib, shutil and
# subprocess of this system use them.


def block() -> None:
    """Hide the modules and functions from this process, for good; a second call does nothing."""
    if sys.modules.get("fcntl", ...) is None:
        return
    import fcntl

    # These look for msvcrt to find out whether they are on Windows; from here on they know.
    import getpass
    import random
    import selectors
    import subprocess
    import tempfile

    import psutil  # its part for Linux needs resource

    assert all((getpass, psutil, random, selectors, subprocess, tempfile))
    sys.modules["msvcrt"] = stand_in(fcntl)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in FUNCTIONS.items():
        for name in names:
            if hasattr(sys.modules[module], name):
                delattr(sys.modules[module], name)
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    if tracker is not None:
        tracker._HAVE_SIGMASK = False  # it asked when it was imported


def stand_in(fcntl: types.ModuleType) -> types.ModuleType:
    """Return a module with `locking` as in Windows' msvcrt: exclusive locks on bytes of one open file.

    As there, a range that another open file holds is refused with EACCES, of this process too, and closing the file
    frees what it holds. Reading a locked range is refused there and not here.
    """
    module = types.ModuleType("msvcrt")
    module.LK_UNLCK, module.LK_LOCK, module.LK_NBLCK = 0, 1, 2  # type: ignore[attr-defined]

    def locking(handle: int, mode: int, count: int) -> None:
        kind = {0: fcntl.F_UNLCK, 2: fcntl.F_WRLCK}[mode]
        start = os.lseek(handle, 0, os.SEEK_CUR)
        wanted = struct.pack("hhqqixxxx", kind, os.SEEK_SET, start, count, 0)  # struct flock of 64-bit Linux
        try:
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, wanted)
        except builtins.BlockingIOError:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None

    module.locking = locking  # type: ignore[attr-defined]
    return module


def blocked() -> bool:
    """Say whether this process is without them."""
    return sys.modules.get("fcntl", ...) is None and not hasattr(signal, "pthread_sigmask")
