"""A contestant that trains nothing: it sleeps, or misbehaves in the way that it is told.

    python fake_contestant.py BEHAVIOUR FOLDER [--settings JSON]

Its loss is the number of steps that it has taken so far.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PEERS = Path(__file__).parents[2] / "benchmarks" / "race" / "peers"
sys.path.insert(0, str(PEERS))

from protocol import Rounds  # noqa: E402

BATCH, STEP_SECONDS = 10, 0.01


def main() -> None:
    behaviour, folder = sys.argv[1], Path(sys.argv[2])
    (folder / f"{behaviour}-{os.getpid()}.json").write_text(json.dumps(sys.argv))
    if behaviour == "crash":
        raise RuntimeError("no such kernel")
    if behaviour == "hang":
        time.sleep(600)
    if behaviour == "garbage":
        print("hello")
        time.sleep(600)
    rounds = Rounds()
    if behaviour == "forks":
        time.sleep(0.3)  # its listener is reading by now
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    print("a library says something")
    if behaviour in ("with-child", "stubborn"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / f"child-of-{behaviour}").write_text(str(child.pid))
    parameters = 8 if behaviour == "other-network" else 7
    rounds.introduce(parameters, behaviour, (), settings={"answer": 42})
    steps = 0
    while True:
        time.sleep(STEP_SECONDS)
        steps += 1
        if behaviour == "crash-later" and steps > 6:
            raise RuntimeError("out of memory")
        if behaviour == "hang-in-warm-up" or (behaviour in ("hang-later", "stubborn") and steps > 6):
            time.sleep(600)
        if behaviour == "forks":
            worker = multiprocessing.get_context("fork").Process(target=str)
            worker.start()  # the new process closes its sys.stdin before it does anything else
            worker.join()
        rounds.after_step(BATCH, steps)


if __name__ == "__main__":
    main()
