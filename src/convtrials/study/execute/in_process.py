"""Executors that train in this process: one run at a time, or several seeds of an arm at once."""

import contextlib
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from convtrials.core.errors import Interrupted
from convtrials.core.log import get_logger, quiet
from convtrials.study.execute.arm_data import dataset_of_arm
from convtrials.study.execute.executor import RunEnd, RunTask
from convtrials.study.execute.run_trainer import (
    LiveNote,
    RunTrainer,
    drop_weights,
    how_ended,
    retry_locked,
)
from convtrials.training.engine.device import free_memory
from convtrials.training.engine.progress import Progress
from convtrials.training.replicas.passes import Method
from convtrials.training.replicas.train import train_replicas
from convtrials.training.run_directory import Run

_log = get_logger(__name__)


class InProcess:
    """Trains one run at a time: for data that lives in memory, and for looking closely."""

    #: Nothing goes on between two calls of `advance`.
    busy: Sequence[RunTask] = ()

    def __init__(self, trainer: RunTrainer) -> None:
        self._trainer = trainer

    def advance(self, wanted: Sequence[RunTask], seconds: float) -> list[RunEnd]:
        """Train the most urgent run to its end, however long that takes."""
        if not wanted:
            time.sleep(seconds)
            return []
        return self._train(wanted)

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Nothing is going on."""

    def _train(self, wanted: Sequence[RunTask]) -> list[RunEnd]:
        return [self._trainer.train(wanted[0])]


class ReplicaExecutor(InProcess):
    """Trains up to ``replicas`` seeds of one arm at once: for one GPU.

    Where that is not possible (a network that cannot be replicated, too little memory, a run that another process has)
    the runs are trained one at a time, and a warning says why: that changes speed, and results by rounding alone.

    Parameters
    ----------
    replicas : int
        1 or more.
    method : {"grouped", "side_by_side"}, optional
        See `convtrials.training.replicas.train.train_replicas`.
    """

    def __init__(
        self,
        trainer: RunTrainer,
        replicas: int,
        *,
        method: Method | None = None,
    ) -> None:
        super().__init__(trainer)
        self._replicas, self._method = replicas, method

    def _train(self, wanted: Sequence[RunTask]) -> list[RunEnd]:
        """Train some seeds of the most urgent run's arm to their end."""
        team = next_replicas(wanted, self._replicas)
        runs = {task: self._trainer.run(task) for task in team}
        elsewhere = [task for task, run in runs.items() if run.finished or run.locked]
        ended = [RunEnd(task, "locked") for task in elsewhere]
        ours = {task: run for task, run in runs.items() if task not in elsewhere}
        if not ours:
            return ended
        why = ""
        try:
            self._at_once(ours)
        except Interrupted:
            if all(run.finished for run in ours.values()):
                raise  # asked for while the last end was being written: no end would be "stopped"
            return ended + [
                RunEnd(task, how_ended(run) if run.finished else "stopped") for task, run in ours.items()
            ]
        except Exception as error:  # what it means for each run, each run says when it is trained alone
            why = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        if why:  # after the handler: the error's traceback would keep the replicas' memory
            gc.collect()
            free_memory(self._trainer.execution.device)
            _log.warning(f"{team[0].arm}: {why}; its runs are trained one at a time")
        return ended + self._one_at_a_time(ours)

    def _at_once(self, ours: dict[RunTask, Run]) -> None:
        trainer = self._trainer
        arm = trainer.plan.arm(next(iter(ours)).arm)
        live = {run: LiveNote(trainer.study.live_path(run)) for run in ours.values()}

        def on_progress(run: Run, progress: Progress) -> None:
            live[run](progress)

        def begin() -> None:
            train_replicas(
                arm.recipe,
                dataset_of_arm(trainer.dataset, arm),
                [arm.seed_offset + task.position for task in ours],
                [run.folder for run in ours.values()],
                execution=trainer.execution,
                method=self._method,
                checkpoint_seconds=trainer.checkpoint_seconds,
                on_progress=on_progress,
                log_to=replace(trainer.log_to(arm), warn=_log.warning),
            )

        try:
            with quiet():
                retry_locked(begin)
        finally:
            for run in ours.values():
                with contextlib.suppress(OSError):
                    trainer.study.live_path(run).unlink(missing_ok=True)

    def _one_at_a_time(self, ours: dict[RunTask, Run]) -> list[RunEnd]:
        """Train those that are not finished; after replicas that went well, that is none."""
        ended: list[RunEnd] = []
        for task, run in ours.items():
            if run.finished:
                drop_weights(self._trainer.plan, run, task.position)
                ended.append(RunEnd(task, how_ended(run)))
                continue
            ended.append(self._trainer.train(task))
            if ended[-1].how == "stopped":
                break
        return ended


def next_replicas(wanted: Sequence[RunTask], replicas: int) -> list[RunTask]:
    """Choose the runs to train at once: of the arm of the most urgent run, in teams of equal size.

    Parameters
    ----------
    wanted : sequence of RunTask
        One or more.
    replicas : int
        The largest team.

    Examples
    --------
    >>> five = [RunTask("a", position) for position in range(5)]
    >>> [task.position for task in next_replicas(five, 4)]
    [0, 1, 2]
    """
    same = [task for task in wanted if task.arm == wanted[0].arm]
    teams = -(-len(same) // replicas)
    return same[: -(-len(same) // teams)]
