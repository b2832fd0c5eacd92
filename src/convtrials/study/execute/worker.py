"""A worker: a process that trains the runs it is given, one after the other, on torch imported once.

It reads one JSON object per line on standard input (``{"arm": name, "position": k}``) and answers with one per line on
standard output (``{"ended": "finished" | "diverged" | "failed" | "locked" | "stopped", "error": ..., "notes": ...}``).
When its input ends, because its parent has died or asks it to stop, it writes a checkpoint and leaves.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from convtrials.core.process import (
    ask_this_process_to_stop,
    leave_ctrl_c_to_the_parent,
    take_standard_input,
)
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.executor import RunTask
from convtrials.study.execute.run_trainer import RunTrainer


def serve(folder: Path, requests: BinaryIO, answers: TextIO, *, checkpoint_seconds: float) -> None:
    """Take work from ``requests`` until it ends."""
    study = StudyDirectory(folder)
    plan = study.plan
    study.use_recorded_folder()
    dataset = study.open_dataset()
    trainer = RunTrainer(study, plan, dataset, study.execution.execution, checkpoint_seconds)
    _say(answers, {"ready": os.getpid()})
    work = _incoming(requests)
    while (line := work.get()) is not None:
        end = trainer.train(RunTask(**json.loads(line)))
        _say(answers, {"ended": end.how, "error": end.error, "notes": end.notes})
        if end.how == "stopped":
            return


def _incoming(requests: BinaryIO) -> "queue.Queue[bytes | None]":
    """Read requests in a thread, so that the end of the input is seen while a run is going on."""
    work: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        for line in requests:
            work.put(line)
        work.put(None)
        ask_this_process_to_stop()

    threading.Thread(target=read, daemon=True).start()
    return work


def _say(answers: TextIO, value: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the scheduler has gone: the input will end too
        answers.write(json.dumps(value) + "\n")
        answers.flush()


def main() -> None:
    """Serve the study directory named on the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # while idle; a run in training catches it itself
    leave_ctrl_c_to_the_parent()
    requests = take_standard_input()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a network of your own prints must not look like an answer
    serve(Path(sys.argv[1]), requests, answers, checkpoint_seconds=float(sys.argv[2]))


if __name__ == "__main__":
    main()
