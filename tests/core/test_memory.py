import subprocess
import sys

import pytest

from convtrials.core.memory import keep_freed_memory

SCRIPT = """
import resource, sys
from convtrials.core.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def touch():
    return [b"x" * (24 * 1024**2) for _ in range(4)]  # freed together: more than glibc keeps by itself
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no mallopt")
def test_freed_blocks_are_used_again_without_a_page_fault() -> None:
    # 5 times 96 MiB are 122,880 pages of 4 KiB (or 240 huge ones).
    assert page_faults("kept") < 50 <= page_faults("given back")


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
