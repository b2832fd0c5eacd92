"""The interface between the scheduler, which knows which runs a study needs, and whatever trains them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

#: How the training of a run ended; see `RunEnd`.
How = Literal["finished", "diverged", "failed", "locked", "stopped"]


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
    how : str
        ``finished`` or ``diverged``: its ``result.json`` is written. ``failed``: it could not be trained, or its
        process died; the scheduler has it tried once more. ``locked``: another process is training it or has just
        finished it; the scheduler asks for it again when its lock is free. ``stopped``: it was asked to stop and has
        written a checkpoint; the scheduler then stops the study.
    error : str
        Why, where it failed.
    notes : tuple of str
        What went on in another way than asked, for the person who runs the study: shown as warnings.
    """

    task: RunTask
    how: How
    error: str = ""
    notes: tuple[str, ...] = ()


class Executor(Protocol):
    """Trains the runs of a study: in this process, in others, or on other machines.

    The scheduler calls `advance` again and again, and `stop` once, at the end of the study or on the way out of an
    error. All calls come from one thread. Between two calls the scheduler reads the study's directory, so a run that
    has ended may make others needless: an executor keeps no queue of runs that have not begun.

    To implement one, it is enough to get a run trained somewhere that sees the study's directory.
    `convtrials.study.execute.run_trainer.RunTrainer` trains a run there: it locks the run, goes on from its
    checkpoint, writes all its files, and returns its `RunEnd`. ``python -m convtrials.study.execute.worker FOLDER
    SECONDS`` does the same for runs that are named on its standard input. Results travel by the directory alone; what
    an executor returns only says that it is time to look.
    """

    @property
    def busy(self) -> Sequence[RunTask]:
        """Runs that have begun and whose end `advance` has not returned yet."""

    def advance(self, wanted: Sequence[RunTask], seconds: float) -> list[RunEnd]:
        """Begin runs where a worker is free, and return the runs that have ended.

        Parameters
        ----------
        wanted : sequence of RunTask
            All runs that may begin, the most urgent first; those in `busy` are not among them. May be empty. Runs that
            do not begin now are forgotten: as long as they are needed they are in the next call's ``wanted``.
        seconds : float
            How long to wait for the first end; also where nothing is wanted or nothing can begin. An executor that
            trains in the calling thread takes as long as its runs.

        Returns
        -------
        list of RunEnd
            Exactly one for each run that has begun, in this call or the one after it ended.

        Raises
        ------
        StudyError
            No run can be trained any more, so that trying again is of no use.
        Interrupted
            A stop was asked for, and no returned end would be ``stopped``.
        """

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask the runs in `busy` to write a checkpoint, and wait for them.

        Parameters
        ----------
        hurry : callable
            Asked while waiting; once it returns True the runs are killed. They go on from their last checkpoints.
        """
