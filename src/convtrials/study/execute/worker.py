"""A worker: a process that trains the runs it is given, one after the other, on torch imported once.

It reads a JSON object a line on standard input (``{"arm": name, "position": k}``) and answers with one a line on
standard output (``{"ended": "finished" | "diverged" | "taken" | "failed" | "stopped", "error": ...}``). When its input
ends, because whoever gave it work has died or wants it to stop, it writes a checkpoint and leaves.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

from convtrials.core.errors import ConvtrialsError, Interrupted, RunTaken
from convtrials.core.standard_input import take_standard_input
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.arm_data import dataset_of_arm
from convtrials.study.plan.plan import Plan
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.progress import Progress
from convtrials.training.engine.train import train
from convtrials.training.run import Run

T = TypeVar("T")

#: Seconds between two notes of how far a run is.
LIVE_INTERVAL = 1.0


def train_one(
    study: StudyDirectory,
    plan: Plan,
    dataset: Dataset,
    execution: Execution,
    name: str,
    position: int,
    *,
    checkpoint_seconds: float = 60.0,
) -> dict[str, Any]:
    """Train one run of a study to its end, and say how it ended.

    Returns
    -------
    dict
        ``ended``, and ``error`` where it is ``failed``.
    """
    arm = plan.arm(name)
    run = study.run(arm, position)
    live, taken = study.live_path(run), False

    def begin() -> Run:
        if run.finished:  # by another process, since this run was asked for
            raise RunTaken(f"{run.folder}: another process has finished this run")
        return train(
            arm.recipe,
            dataset_of_arm(dataset, arm),
            seed=arm.seed_offset + position,
            out=run.folder,
            execution=execution,
            checkpoint_seconds=checkpoint_seconds,
            silent=True,
            follow=LiveNote(live),
        )

    try:
        result = patient(begin).result
        drop_weights(plan, run, position)
        return {"ended": str(result["status"])}
    except RunTaken:
        taken = True
        return {"ended": "taken"}
    except Interrupted:
        # Raised as well where the stop was asked for while the end was being written.
        return {"ended": str(run.result["status"]) if run.finished else "stopped"}
    except ConvtrialsError as error:
        return {"ended": "failed", "error": str(error)}
    except Exception:
        return {"ended": "failed", "error": traceback.format_exc()}
    finally:
        if not taken:  # else the note is that of the worker who has the run
            with contextlib.suppress(OSError):
                live.unlink(missing_ok=True)


def drop_weights(plan: Plan, run: Run, position: int) -> None:
    """Remove weights that nobody asked to keep: predictions and history say all that a study needs."""
    kept = plan.spec.weights == "all" or (plan.spec.weights == "first" and position == 0)
    if not kept and run.finished:
        run.weights_path.unlink(missing_ok=True)


def patient(begin: Callable[[], T]) -> T:
    """Try three times: someone who only looks whether a run is taken holds it for a moment."""
    for _ in range(2):
        with contextlib.suppress(RunTaken):
            return begin()
        time.sleep(0.1)
    return begin()


class LiveNote:
    """Writes how far a run is, for whoever looks from another process."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, 0.0
        path.parent.mkdir(exist_ok=True)

    def __call__(self, progress: Progress) -> None:
        """Write a note, if the last one is old enough."""
        now = time.time()
        if now - self._last < LIVE_INTERVAL:
            return
        self._last = now
        note = {**vars(progress), "pid": os.getpid(), "time": now}
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        with contextlib.suppress(OSError):  # a note that cannot be written is no reason to stop training
            temporary.write_text(json.dumps(note), encoding="utf-8")
            os.replace(temporary, self._path)


def serve(folder: Path, requests: BinaryIO, answers: TextIO, *, checkpoint_seconds: float) -> None:
    """Take work from ``requests`` until it ends."""
    study = StudyDirectory(folder)
    plan = study.plan
    study.use_recorded_folder()
    dataset = study.open_dataset()
    execution = study.run_execution
    _say(answers, {"ready": os.getpid()})
    work = _incoming(requests)
    while (line := work.get()) is not None:
        task = json.loads(line)
        answer = train_one(
            study,
            plan,
            dataset,
            execution,
            task["arm"],
            task["position"],
            checkpoint_seconds=checkpoint_seconds,
        )
        _say(answers, answer)
        if answer["ended"] == "stopped":
            return


def _incoming(requests: BinaryIO) -> "queue.Queue[bytes | None]":
    """Read requests beside the training, so that the end of the input is seen while a run is going on."""
    work: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        for line in requests:
            work.put(line)
        work.put(None)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=read, daemon=True).start()
    return work


def _say(answers: TextIO, value: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more: the input will end too
        answers.write(json.dumps(value) + "\n")
        answers.flush()


def main() -> None:
    """Serve the study directory named on the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # while idle; a run in training catches it itself
    # Ctrl-C reaches every process of the terminal; the parent passes it on, once.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    requests = take_standard_input()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a network of one's own prints must not look like an answer
    serve(Path(sys.argv[1]), requests, answers, checkpoint_seconds=float(sys.argv[2]))


if __name__ == "__main__":
    main()
