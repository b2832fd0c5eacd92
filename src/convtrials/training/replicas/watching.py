"""Watch replicas: one bar for all, checkpoints and histories in every one's own directory."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from convtrials.core.errors import Interrupted
from convtrials.core.progress import Task
from convtrials.core.stopping import StopRequest
from convtrials.training.engine.progress import Progress
from convtrials.training.engine.tensorboard import CurveWriter
from convtrials.training.replicas.team import Replica, Team
from convtrials.training.run import Run

#: Told how far a run is: its directory and its progress.
Follow = Callable[[Run, Progress], None]


class TeamWatcher:
    """Writes checkpoints, histories and curves, and shows progress, as the loop goes.

    Parameters
    ----------
    task : Task
        Counts images of all replicas.
    files : ExitStack
        Closes the curves.
    stop : StopRequest
    total_images : float
        Training images of one replica in the whole recipe.
    seen : float
        Those of them that were seen before.
    epochs, checkpoint_seconds : float
    follow : callable, optional
    """

    def __init__(
        self,
        task: Task,
        files: ExitStack,
        stop: StopRequest,
        *,
        total_images: float,
        seen: float,
        epochs: float,
        checkpoint_seconds: float,
        follow: Follow | None,
    ) -> None:
        self._task, self._files, self._stop = task, files, stop
        self._total, self._seen, self._epochs = total_images, seen, epochs
        self._interval, self._follow = checkpoint_seconds, follow
        self._curves: dict[Replica, CurveWriter] = {}
        self._last_checkpoint = time.monotonic()

    def begin(self, replicas: Sequence[Replica]) -> None:
        """Open every run's curves."""
        for one in replicas:
            self._curves[one] = self._files.enter_context(CurveWriter(one.run.folder, one.state.history))

    def after_steps(self, team: Team, images: int) -> None:
        """Advance the bar; write checkpoints where it is time; stop where somebody asked."""
        self._seen += images
        self._task.advance(images * len(team.replicas))
        rates = []
        for one in team.replicas:
            state = one.state
            rates.append(state.sums.images / max(state.sums.seconds, 1e-9))
            if self._follow is not None:
                reached = state.history[-1]["val_accuracy"] if state.history else None
                epoch = len(state.history) + 1
                self._follow(one.run, Progress(self._seen, self._total, epoch, rates[-1], reached))
        epoch, replicas = len(team.replicas[0].state.history) + 1, len(team.replicas)
        # Each is credited with a share of the seconds, so the mean of the rates is that of all together.
        self._task.show(
            f"epoch {epoch}/{math.ceil(self._epochs)}  {replicas} replicas  {sum(rates) / replicas:,.0f} images/s"
        )
        stopping = self._stop.asked  # looked at once: a later request waits for the next checkpoints
        if stopping or time.monotonic() - self._last_checkpoint >= self._interval:
            self._checkpoint(team, team.replicas)
        if stopping:
            self._leave(team)

    def after_epoch(self, team: Team, going: Sequence[Replica]) -> None:
        """Write checkpoints, histories and curves; leave a line."""
        self._checkpoint(team, going)
        for one in going:
            entry = one.state.history[-1]
            one.run.write_history(one.state.history)
            self._curves[one].add(entry)
            self._task.note(
                f"seed {one.seed}: epoch {entry['epoch']:3d}  loss {entry['train_loss']:.4f}  "
                f"val loss {entry['val_loss']:.4f}  val accuracy {entry['val_accuracy']:.2%}"
            )
        if self._stop.asked and going:
            self._leave(team)

    def _leave(self, team: Team) -> None:
        """End the loop; checkpoints have just been written."""
        first = team.replicas[0]
        raise Interrupted(
            f"stopped {len(team.replicas)} runs at step {first.state.step}, each with a checkpoint "
            f"({first.run.folder}, ...); the same call goes on from there"
        )

    def _checkpoint(self, team: Team, replicas: Sequence[Replica]) -> None:
        team.hand_back()
        for one in replicas:
            one.state.save(one.run)
        self._last_checkpoint = time.monotonic()
