"""Watch the loop: progress for people, checkpoints on a time interval, a clean stop on Ctrl-C."""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from convtrials.core.errors import Interrupted
from convtrials.core.progress import Task, say
from convtrials.core.stopping import StopRequest
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.tensorboard import CurveWriter
from convtrials.training.run import Run


def stop_request() -> StopRequest:
    """Remember Ctrl-C or SIGTERM, so that the loop can stop between two steps; a second Ctrl-C means now."""

    def heard(times: int, number: int) -> None:
        # A second SIGTERM is no hurry: batch systems and parents send several, and SIGKILL when they mean it.
        if times > 1 and number == signal.SIGINT:
            raise KeyboardInterrupt
        if times == 1:
            say("stopping after this step")

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


class RunWatcher:
    """Writes checkpoints, history and curves, and shows progress, as the loop goes."""

    def __init__(
        self,
        run: Run,
        task: Task,
        curves: CurveWriter,
        stop: StopRequest,
        *,
        epochs: float,
        checkpoint_seconds: float,
        images: tuple[float, float] = (0, 0),
        follow: Callable[[Progress], None] | None = None,
    ) -> None:
        self._run, self._task, self._curves, self._stop = run, task, curves, stop
        self._epochs, self._interval = epochs, checkpoint_seconds
        (self._images, self._total_images), self._follow = images, follow
        self._last_checkpoint = time.monotonic()

    def after_step(self, state: TrainingState, loss: float, images: int) -> None:
        """Advance the bar; write a checkpoint where it is time; stop where somebody asked."""
        self._task.advance(images)
        self._images += images
        rate = state.sums.images / max(state.sums.seconds, 1e-9)
        if self._follow is not None:
            reached = state.history[-1]["val_accuracy"] if state.history else None
            self._follow(Progress(self._images, self._total_images, len(state.history) + 1, rate, reached))
        last = f"  val {state.history[-1]['val_accuracy']:.1%}" if state.history else ""
        self._task.show(
            f"epoch {len(state.history) + 1}/{math.ceil(self._epochs)}  {rate:,.0f} images/s  "
            f"loss {state.sums.loss / state.sums.images:.3f}{last}"
        )
        stopping = self._stop.asked  # looked at once: a later request waits for the next step's checkpoint
        if stopping or time.monotonic() - self._last_checkpoint >= self._interval:
            self._checkpoint(state)
        if stopping:
            self._leave(state)

    def after_epoch(self, state: TrainingState) -> None:
        """Write checkpoint, history and curves; leave a line."""
        self._checkpoint(state)
        self._run.write_history(state.history)
        entry = state.history[-1]
        self._curves.add(entry)
        self._task.note(
            f"epoch {entry['epoch']:3d}  loss {entry['train_loss']:.4f}  val loss {entry['val_loss']:.4f}  "
            f"val accuracy {entry['val_accuracy']:.2%}  {entry['images_per_second']:,.0f} images/s  "
            f"{entry['seconds']:,.0f} s"
        )
        if self._stop.asked:
            self._leave(state)

    def _leave(self, state: TrainingState) -> None:
        """End the loop; the caller has just written a checkpoint."""
        raise Interrupted(
            f"stopped at step {state.step} with a checkpoint in {self._run.folder}; "
            "the same command goes on from there"
        )

    def _checkpoint(self, state: TrainingState) -> None:
        state.save(self._run)
        self._last_checkpoint = time.monotonic()
