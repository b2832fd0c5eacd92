"""Standard input for a thread that waits for orders while its process works."""

import os
from typing import BinaryIO


def take_standard_input() -> BinaryIO:
    """Return what comes in on standard input, as a file that is the caller's alone; for everybody else it is empty.

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
