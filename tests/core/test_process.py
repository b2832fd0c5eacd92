"""What a process holds on to: freed memory, and standard input while it forks."""

import subprocess
import sys
import threading

import pytest

from convtrials.core.process import keep_freed_memory

SCRIPT = """
import resource, sys
from convtrials.core.process import keep_freed_memory
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


FORKS = """
import multiprocessing, sys, threading, time
from convtrials.core.process import take_standard_input

orders = take_standard_input()
heard = []
listener = threading.Thread(target=lambda: heard.extend(orders))
listener.start()
time.sleep(0.2)  # it is reading by now
child = multiprocessing.get_context("fork").Process(target=str)
child.start()  # closes its sys.stdin before anything else
child.join()
print("forked", repr(sys.stdin.read()), flush=True)
listener.join()
print(heard)
"""


def test_a_process_is_forked_while_a_thread_reads() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    timer = threading.Timer(200, process.kill)
    timer.start()
    assert process.stdout.readline() == b"forked ''\n"  # for everybody else standard input is empty
    process.stdin.write(b"one\ntwo\n")
    process.stdin.close()
    assert process.stdout.read() == b"[b'one\\n', b'two\\n']\n"
    assert process.wait(timeout=60) == 0
    timer.cancel()
    process.stdout.close()
