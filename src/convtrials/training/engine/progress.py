"""Watch the loop: progress for people, checkpoints on a time interval, a clean stop on Ctrl-C."""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convtrials.core.errors import Interrupted
from convtrials.core.log import get_logger
from convtrials.core.process import StopRequest
from convtrials.core.progress import Task
from convtrials.data.batches import steps_per_epoch
from convtrials.training.engine.checkpoint import TrainingState, steps_in
from convtrials.training.loggers.loggers import RunLoggers
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run

_log = get_logger(__name__)


def stop_request() -> StopRequest:
    """Remember Ctrl-C or SIGTERM, so that the loop can stop between two steps; a second Ctrl-C means now."""

    def heard(times: int, number: int) -> None:
        # A second SIGTERM is no hurry: batch systems and parents send several, and SIGKILL when they mean it.
        if times > 1 and number == signal.SIGINT:
            raise KeyboardInterrupt
        if times == 1:
            _log.warning("stopping after this step")  # an answer to Ctrl-C: shown in any case

    return StopRequest(heard)


@dataclass(frozen=True)
class Progress:
    """How far a run is, after a step.

    Attributes
    ----------
    images, total_images : float
        Training images seen so far, and in the whole recipe.
    epoch : int
        The epoch under way, from 1.
    images_per_second : float
        In this epoch.
    val_accuracy : float or None
        After the last whole epoch.
    """

    images: float
    total_images: float
    epoch: int
    images_per_second: float
    val_accuracy: float | None


@dataclass(frozen=True)
class RunLength:
    """How long a run is: images of the training split, images per step, steps per epoch and in all."""

    images: int
    group_size: int
    per_epoch: int
    total: int

    @classmethod
    def of(cls, recipe: Recipe, images: int) -> "RunLength":
        """Return the length of a run on so many training images."""
        size = recipe.batch_size * recipe.accumulate
        per_epoch = steps_per_epoch(images, size)
        return cls(images, size, per_epoch, steps_in(recipe.epochs, per_epoch))

    @property
    def epochs(self) -> int:
        """Epochs, the last one perhaps not whole."""
        return math.ceil(self.total / self.per_epoch)

    def images_after(self, step: int) -> float:
        """Training images seen after so many steps."""
        return step / self.per_epoch * self.images

    @property
    def total_images(self) -> int:
        """Training images seen in the whole run."""
        return round(self.images_after(self.total))


class ProgressCallback:
    """What the callbacks of one run and of several runs at once have in common.

    Parameters
    ----------
    task : Task
        The bar; counts training images.
    epochs : float
        In the whole recipe.
    interval : float
        Seconds between checkpoints inside an epoch.
    images : tuple of two float
        Training images of one run: seen before, and in the whole recipe.
    """

    def __init__(
        self, task: Task, *, stop: StopRequest, epochs: float, interval: float, images: tuple[float, float]
    ) -> None:
        self._task, self._stop, self._interval = task, stop, interval
        self._last_epoch = math.ceil(epochs)
        self._images, self._total_images = images
        self._last_checkpoint = time.monotonic()

    def _progress(self, state: TrainingState) -> Progress:
        rate = state.sums.images / max(state.sums.seconds, 1e-9)
        reached = state.history[-1].val_accuracy if state.history else None
        return Progress(self._images, self._total_images, len(state.history) + 1, rate, reached)

    def _pause(self, save: Callable[[], None], stopped: str) -> None:
        """Write a checkpoint where it is time, and stop where that was asked for."""
        stopping = self._stop.asked  # looked at once: a later request waits for the next step's checkpoint
        if stopping or time.monotonic() - self._last_checkpoint >= self._interval:
            self._checkpoint(save)
        if stopping:
            raise Interrupted(stopped)

    def _checkpoint(self, save: Callable[[], None]) -> None:
        save()
        self._last_checkpoint = time.monotonic()


class RunCallback(ProgressCallback):
    """Writes checkpoints and history of one run, sends its curves, and shows progress, as the loop goes."""

    def __init__(
        self,
        run: Run,
        loggers: RunLoggers,
        task: Task,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(task, **common)
        self._run, self._loggers, self._on_progress = run, loggers, on_progress

    def after_step(self, state: TrainingState, loss: float, images: int) -> None:
        """Advance the bar; write a checkpoint where it is time; stop where that was asked for."""
        self._task.advance(images)
        self._images += images
        progress = self._progress(state)
        if self._on_progress is not None:
            self._on_progress(progress)
        last = f"  val {progress.val_accuracy:.1%}" if progress.val_accuracy is not None else ""
        self._task.show(
            f"epoch {progress.epoch}/{self._last_epoch}  {progress.images_per_second:,.0f} images/s  "
            f"loss {state.sums.loss / state.sums.images:.3f}{last}"
        )
        self._pause(lambda: state.save(self._run), self._stopped(state))

    def after_epoch(self, state: TrainingState) -> None:
        """Write checkpoint and history, send the curves; leave a line."""
        self._checkpoint(lambda: state.save(self._run))
        self._run.write_history(state.history)
        entry = state.history[-1]
        self._loggers.add(entry)
        _log.info(
            f"epoch {entry.epoch:3d}  loss {entry.train_loss:.4f}  val loss {entry.val_loss:.4f}  "
            f"val accuracy {entry.val_accuracy:.2%}  {entry.images_per_second:,.0f} images/s  "
            f"{entry.seconds:,.0f} s"
        )
        if self._stop.asked:
            raise Interrupted(self._stopped(state))

    def _stopped(self, state: TrainingState) -> str:
        return (
            f"stopped at step {state.step} with a checkpoint in {self._run.folder}; "
            "the same command goes on from there"
        )
