"""What this machine lets this process use."""

import os


def available_cores() -> int:
    """Return how many processor cores this process may use, 1 or more."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
