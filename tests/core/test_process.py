"""What a process holds on to: freed memory, and standard input while it forks; how it is asked to stop, and ends."""

import os
import signal
import subprocess
import sys
import threading
from typing import ClassVar

import psutil
import pytest

from convtrials.core import process as process_module
from convtrials.core.process import (
    StopRequest,
    ask_this_process_to_stop,
    available_cores,
    child_options,
    exit_text,
    keep_freed_memory,
    process_exists,
    stop_signals,
)

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


@pytest.mark.posix
@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no mallopt")
def test_freed_blocks_are_used_again_without_a_page_fault() -> None:
    # 5 times 96 MiB are 122,880 pages of 4 KiB (or 240 huge ones).
    assert page_faults("kept") < 50 <= page_faults("given back")


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False


def test_a_thread_can_ask_the_process_to_stop() -> None:
    with StopRequest().listening() as stop:
        asker = threading.Thread(target=ask_this_process_to_stop)
        asker.start()
        asker.join()
        deadline = threading.Event()
        while not stop.asked and not deadline.wait(0.01):
            pass
    assert stop.times == 1


def test_windows_has_one_more_signal_that_asks_for_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "posix":
        assert stop_signals() == (signal.SIGINT, signal.SIGTERM)

    class Signals:
        __members__: ClassVar = {"SIGINT": 2, "SIGTERM": 15, "SIGBREAK": 21}

        def __class_getitem__(cls, name: str) -> int:
            return cls.__members__[name]

    monkeypatch.setattr(signal, "Signals", Signals)
    assert stop_signals() == (2, 15, 21)


def test_on_windows_children_get_a_process_group_that_ctrl_c_does_not_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(subprocess, "CREATE_NEW_PROCESS_GROUP", raising=False)
    assert child_options() == {}
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    assert child_options() == {"creationflags": 0x200}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1, "ended with code 1"),
        (-9, "was ended by SIGKILL (often: too little memory for so many workers)"),
        (-15, "was ended by SIGTERM"),
        (-99, "ended with code -99"),
        (0xC0000005, "was ended by an access violation"),
        (0xC0000005 - 2**32, "was ended by an access violation"),
        (0xC0000017, "was ended by too little memory"),
        (0xC0000420, "ended with code 0xc0000420"),
    ],
)
def test_how_a_process_ended_in_words(code: int, text: str) -> None:
    if text.startswith("was ended by SIG") and os.name == "nt":
        pytest.skip("Windows has no signals that end")
    assert exit_text(code) == text


def test_a_process_is_looked_for_without_touching_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_exists(process.pid)
    assert process_exists(os.getpid())
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0  # not ended by the question
    assert not process_exists(process.pid)


def test_where_the_system_names_no_cores_psutil_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 2, 5], raising=False)
    assert available_cores() == 3
    monkeypatch.delattr(psutil.Process, "cpu_affinity")  # as on macOS
    assert available_cores() == process_module.os.cpu_count()


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


@pytest.mark.posix
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
