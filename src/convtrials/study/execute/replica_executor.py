"""The executor for one GPU: several seeds of an arm trained at once, in this process."""

import contextlib
import gc
import time
from collections.abc import Callable

import torch

from convtrials.core.errors import Interrupted
from convtrials.core.progress import say
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.arm_data import dataset_of_arm
from convtrials.study.execute.executor import RunEnd, RunTask
from convtrials.study.execute.worker import LiveNote, drop_weights, patient, train_one
from convtrials.study.plan.plan import Plan
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.progress import Progress
from convtrials.training.replicas.passes import Way
from convtrials.training.replicas.train import train_replicas
from convtrials.training.run import Run

#: Runs that are waited with at most, more than a study asks for at once.
HEARD_OF = 100_000


class ReplicaExecutor:
    """Trains up to ``replicas`` seeds of one arm at once, in this process.

    Where that is not possible (a network that cannot be replicated, too little memory, a run that another process has)
    the runs are trained one at a time: that changes speed, and results by rounding alone.

    Parameters
    ----------
    study : StudyDirectory
    plan : Plan
    dataset : Dataset
    execution : Execution
    replicas : int
        1 or more.
    way : {"grouped", "side_by_side"}, optional
        See `convtrials.training.replicas.train.train_replicas`.
    checkpoint_seconds : float
    note : callable
        Told in a line why runs are trained one at a time.
    """

    def __init__(
        self,
        study: StudyDirectory,
        plan: Plan,
        dataset: Dataset,
        execution: Execution,
        replicas: int,
        *,
        way: Way | None = None,
        checkpoint_seconds: float = 60.0,
        note: Callable[[str], None] = say,
    ) -> None:
        self._study, self._plan, self._dataset, self._execution = study, plan, dataset, execution
        self._replicas, self._way, self._checkpoint_seconds = replicas, way, checkpoint_seconds
        self._note = note
        self._waiting: list[RunTask] = []

    @property
    def free(self) -> int:
        """Places enough to hear of all seeds that are wanted: they come one of each arm at a time."""
        return max(0, HEARD_OF - len(self._waiting))

    @property
    def busy(self) -> list[RunTask]:
        """Runs of which `wait` will train some."""
        return list(self._waiting)

    def start(self, task: RunTask) -> None:
        """Take a run; `wait` trains it, or forgets it and is given it again."""
        self._waiting.append(task)

    def wait(self, seconds: float) -> list[RunEnd]:
        """Train some seeds of one arm to their end, however long that takes; forget the other runs."""
        if not self._waiting:
            time.sleep(seconds)
            return []
        team = next_team(self._waiting, self._replicas)
        try:
            return self._train(team)
        finally:
            self._waiting.clear()  # a look may have made them needless; otherwise they are asked for again

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Forget what has not begun."""
        self._waiting.clear()

    def _train(self, team: list[RunTask]) -> list[RunEnd]:
        runs = {task: self._study.run(self._plan.arm(task.arm), task.position) for task in team}
        elsewhere = [task for task, run in runs.items() if run.finished or run.taken]
        ended = [RunEnd(task, "taken") for task in elsewhere]
        ours = {task: run for task, run in runs.items() if task not in elsewhere}
        if not ours:
            return ended
        why = ""
        try:
            self._at_once(ours)
        except Interrupted:
            if all(run.finished for run in ours.values()):
                raise  # asked for while the last end was being written: nobody else has heard of it
            return ended + [RunEnd(task, _status(run) or "stopped") for task, run in ours.items()]
        except Exception as error:  # what it means for each run, each run tells when it is trained alone
            why = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        if why:  # after the handler: the error's traceback would keep the replicas' memory
            gc.collect()
            if self._execution.device == "cuda":
                torch.cuda.empty_cache()
            self._note(f"{team[0].arm}: {why}; its runs are trained one at a time")
            return ended + self._one_at_a_time(ours)
        for task, run in ours.items():
            drop_weights(self._plan, run, task.position)
        return ended + [RunEnd(task, _status(run) or "failed") for task, run in ours.items()]

    def _at_once(self, ours: dict[RunTask, Run]) -> None:
        arm = self._plan.arm(next(iter(ours)).arm)
        live = {run: LiveNote(self._study.live_path(run)) for run in ours.values()}

        def follow(run: Run, progress: Progress) -> None:
            live[run](progress)

        def begin() -> None:
            train_replicas(
                arm.recipe,
                dataset_of_arm(self._dataset, arm),
                [arm.seed_offset + task.position for task in ours],
                [run.folder for run in ours.values()],
                execution=self._execution,
                way=self._way,
                checkpoint_seconds=self._checkpoint_seconds,
                silent=True,
                note=self._note,
                follow=follow,
            )

        try:
            patient(begin)
        finally:
            for run in ours.values():
                with contextlib.suppress(OSError):
                    self._study.live_path(run).unlink(missing_ok=True)

    def _one_at_a_time(self, ours: dict[RunTask, Run]) -> list[RunEnd]:
        ended: list[RunEnd] = []
        for task, run in ours.items():
            if run.finished:  # before the others could not go on
                drop_weights(self._plan, run, task.position)
                ended.append(RunEnd(task, _status(run) or "failed"))
                continue
            answer = train_one(
                self._study,
                self._plan,
                self._dataset,
                self._execution,
                task.arm,
                task.position,
                checkpoint_seconds=self._checkpoint_seconds,
            )
            ended.append(RunEnd(task, answer["ended"], answer.get("error", "")))
            if answer["ended"] == "stopped":
                break
        return ended


def next_team(waiting: list[RunTask], replicas: int) -> list[RunTask]:
    """Choose the runs to train at once: of the arm that was asked for first, in teams of equal size.

    Parameters
    ----------
    waiting : list of RunTask
        One or more.
    replicas : int
        The largest team.

    Examples
    --------
    >>> five = [RunTask("a", position) for position in range(5)]
    >>> [task.position for task in next_team(five, 4)]
    [0, 1, 2]
    """
    same = [task for task in waiting if task.arm == waiting[0].arm]
    teams = -(-len(same) // replicas)
    return same[: -(-len(same) // teams)]


def _status(run: Run) -> str | None:
    return run.result.status if run.finished else None
