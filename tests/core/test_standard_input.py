"""A thread that waits for orders keeps no forked process waiting."""

import subprocess
import sys
import threading

CODE = """
import multiprocessing, sys, threading, time
from convtrials.core.standard_input import take_standard_input

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
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
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
