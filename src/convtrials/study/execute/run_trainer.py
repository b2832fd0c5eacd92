"""Train a run of a study in this process, and say how it ended."""

import contextlib
import json
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from convtrials.core.errors import ConvtrialsError, Interrupted, RunLocked
from convtrials.core.files import remove_file, replace_file
from convtrials.core.log import quiet
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.arm_data import dataset_of_arm
from convtrials.study.execute.executor import How, RunEnd, RunTask
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan
from convtrials.study.schemas import LiveRun
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.progress import Progress
from convtrials.training.engine.train import train
from convtrials.training.loggers.log_to import LogTo
from convtrials.training.run_directory import Run

T = TypeVar("T")

#: Seconds between two notes of how far a run is.
LIVE_INTERVAL = 1.0


@dataclass(frozen=True)
class RunTrainer:
    """Trains runs of a study, one at a time, in this process.

    Attributes
    ----------
    dataset : Dataset
        The study's; arms with an image size of their own get theirs from it.
    checkpoint_seconds : float
        Between checkpoints inside an epoch.
    notes : list of str
        What a person must know who does not see this process: taken out and sent with the end of a run.
    failed_loggers : set of str
        Those that did not answer this process: the next run does not wait for them.
    """

    study: StudyDirectory
    plan: Plan
    dataset: Dataset
    execution: Execution
    checkpoint_seconds: float = 60.0
    notes: list[str] = field(default_factory=list)
    failed_loggers: set[str] = field(default_factory=set)

    def run(self, task: RunTask) -> Run:
        """Return the run that a task is about."""
        return self.study.run(self.plan.arm(task.arm), task.position)

    def log_to(self, arm: Arm) -> LogTo:
        """Return where runs of an arm are logged: grouped by study and arm."""
        study = self.study.folder.resolve().name
        return LogTo(
            self.study.log_to,
            group=f"{study}: {arm.name}",
            name=arm.name,
            tags={"study": study, "arm": arm.name},
            warn=self.notes.append,
            failed=self.failed_loggers,
        )

    def train(self, task: RunTask) -> RunEnd:
        """Train a run to its end; whatever goes wrong with it is in the answer."""
        end = self._train(task)
        notes, self.notes[:] = list(self.notes), []
        return replace(end, notes=tuple(notes))

    def _train(self, task: RunTask) -> RunEnd:
        run = self.run(task)
        live, locked = self.study.live_path(run), False
        try:
            with quiet():
                retry_locked(lambda: self._begin(task, run))
            drop_weights(self.plan, run, task.position)
            return RunEnd(task, how_ended(run))
        except RunLocked:
            locked = True
            return RunEnd(task, "locked")
        except Interrupted:
            # Raised as well where the stop was asked for while the end was being written.
            return RunEnd(task, how_ended(run) if run.finished else "stopped")
        except ConvtrialsError as error:
            return RunEnd(task, "failed", str(error))
        except Exception:
            return RunEnd(task, "failed", traceback.format_exc())
        finally:
            if not locked:  # else the note is that of the worker who has the run
                with contextlib.suppress(OSError):
                    live.unlink(missing_ok=True)

    def _begin(self, task: RunTask, run: Run) -> Run:
        if run.finished:  # by another process, since this run was asked for
            raise RunLocked(f"{run.folder}: another process has finished this run")
        arm = self.plan.arm(task.arm)
        return train(
            arm.recipe,
            dataset_of_arm(self.dataset, arm),
            seed=arm.seed_offset + task.position,
            out=run.folder,
            execution=self.execution,
            checkpoint_seconds=self.checkpoint_seconds,
            on_progress=LiveNote(self.study.live_path(run)),
            log_to=self.log_to(arm),
        )


def how_ended(run: Run) -> How:
    """Return the status that a run's result gives: ``finished`` or ``diverged``."""
    return run.result.status


def drop_weights(plan: Plan, run: Run, position: int) -> None:
    """Remove weights that are not to be kept: predictions and history say all that a study needs."""
    kept = plan.spec.weights == "all" or (plan.spec.weights == "first" and position == 0)
    if not kept and run.finished:
        remove_file(run.weights_path)


def retry_locked(begin: Callable[[], T]) -> T:
    """Try three times: a process that only looks whether a run is locked holds its lock for a moment."""
    for _ in range(2):
        with contextlib.suppress(RunLocked):
            return begin()
        time.sleep(0.1)
    return begin()


class LiveNote:
    """Writes how far a run is, for processes that look at the study."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, 0.0
        path.parent.mkdir(exist_ok=True)

    def __call__(self, progress: Progress) -> None:
        """Write a note, if the last one is old enough."""
        now = time.time()
        if now - self._last < LIVE_INTERVAL:
            return
        self._last = now
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        # A note that cannot be written is no reason to stop training.
        with contextlib.suppress(OSError, ValueError):
            shown = {key: value for key, value in vars(progress).items() if key in LiveRun.model_fields}
            note = LiveRun(pid=os.getpid(), **shown)
            temporary.write_text(json.dumps(note.to_dict()), encoding="utf-8")
            replace_file(temporary, self._path)
