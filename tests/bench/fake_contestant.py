"""A contestant that trains nothing: it sleeps, or misbehaves in the way that it is told.

    python fake_contestant.py BEHAVIOUR FOLDER [--settings JSON]

Its loss is the number of steps that it has taken so far.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROTOCOL = Path(__file__).parents[2] / "src" / "convtrials" / "bench" / "peers"
sys.path.insert(0, str(PROTOCOL))

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
    print("a library says something")
    if behaviour == "with-child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "child").write_text(str(child.pid))
    parameters = 8 if behaviour == "other-network" else 7
    rounds.introduce(parameters, behaviour, (), settings={"answer": 42})
    steps = 0
    while True:
        time.sleep(STEP_SECONDS)
        steps += 1
        if behaviour == "crash-later" and steps > 6:
            raise RuntimeError("out of memory")
        if behaviour == "hang-later" and steps > 6:
            time.sleep(600)
        rounds.after_step(BATCH, steps)


if __name__ == "__main__":
    main()
