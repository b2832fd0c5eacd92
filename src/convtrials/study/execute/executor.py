"""Executors: who trains the runs. One small interface; local processes and the process itself now."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.worker import train_one
from convtrials.study.plan.plan import Plan
from convtrials.training.engine.execution import Execution


@dataclass(frozen=True)
class RunTask:
    """One run to train: an arm and the number of its seed in the study, from 0."""

    arm: str
    position: int


@dataclass(frozen=True)
class RunEnd:
    """How the training of a run ended.

    Attributes
    ----------
    task : RunTask
    how : str
        ``finished``, ``diverged``, ``failed``, ``taken`` (another process has it) or ``stopped`` (with a checkpoint).
    error : str
        Why, where it failed.
    """

    task: RunTask
    how: str
    error: str = ""


class Executor(Protocol):
    """Trains runs, some at a time."""

    @property
    def free(self) -> int:
        """How many more runs can be started now."""

    @property
    def busy(self) -> list[RunTask]:
        """Runs that have been started and have not ended."""

    def start(self, task: RunTask) -> None:
        """Begin a run; there must be a free place."""

    def wait(self, seconds: float) -> list[RunEnd]:
        """Return the runs that have ended, waiting up to ``seconds`` for the first."""

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask all runs for a checkpoint and wait for it; kill them as soon as ``hurry`` says so."""


class InProcess:
    """Trains in this process, one run at a time: for data that lives in memory, and for looking closely."""

    def __init__(
        self,
        study: StudyDirectory,
        plan: Plan,
        dataset: Dataset,
        execution: Execution,
        *,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        self._make = (study, plan, dataset, execution)
        self._checkpoint_seconds = checkpoint_seconds
        self._waiting: list[RunTask] = []

    @property
    def free(self) -> int:
        """One place."""
        return 1 - len(self._waiting)

    @property
    def busy(self) -> list[RunTask]:
        """The run that `wait` will train."""
        return list(self._waiting)

    def start(self, task: RunTask) -> None:
        """Take a run; `wait` trains it."""
        self._waiting.append(task)

    def wait(self, seconds: float) -> list[RunEnd]:
        """Train the run to its end, however long that takes."""
        ended = []
        while self._waiting:
            task = self._waiting[0]
            answer = train_one(
                *self._make, task.arm, task.position, checkpoint_seconds=self._checkpoint_seconds
            )
            self._waiting.pop(0)
            ended.append(RunEnd(task, answer["ended"], answer.get("error", "")))
        return ended

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Forget what has not begun."""
        self._waiting.clear()
