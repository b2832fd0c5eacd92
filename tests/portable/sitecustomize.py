"""Python imports this by itself where the folder is on PYTHONPATH; see posix_blocked.py."""

import posix_blocked

posix_blocked.block()
