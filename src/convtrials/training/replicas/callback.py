"""The callback of replicas: one progress bar for all, checkpoints and histories in the directory of each."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from convtrials.core.errors import Interrupted
from convtrials.core.log import get_logger
from convtrials.core.progress import Task
from convtrials.training.engine.progress import Progress, ProgressCallback
from convtrials.training.loggers.log_to import LogTo
from convtrials.training.loggers.loggers import RunLoggers
from convtrials.training.replicas.team import Replica, Team
from convtrials.training.run_directory import Run

_log = get_logger(__name__)

#: Gets how far a run is: its directory and its progress.
OnProgress = Callable[[Run, Progress], None]


class ReplicasCallback(ProgressCallback):
    """Writes checkpoints and histories of replicas, sends their curves, and shows progress, as the loop goes.

    Parameters
    ----------
    task : Task
        Counts images of all replicas.
    files : ExitStack
        Closes the loggers.
    log_to : LogTo
    on_progress : callable, optional
    common
        As for `ProgressCallback`.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        task: Task,
        files: ExitStack,
        *,
        log_to: LogTo,
        on_progress: OnProgress | None = None,
        **common: Any,
    ) -> None:
        super().__init__(task, **common)
        self._on_progress = on_progress
        self._loggers = {
            one: files.enter_context(RunLoggers(one.run, one.state.history, log_to)) for one in replicas
        }

    def after_steps(self, team: Team, images: int) -> None:
        """Advance the bar; write checkpoints where it is time; stop where that was asked for."""
        replicas = team.replicas
        self._images += images
        self._task.advance(images * len(replicas))
        progress = [self._progress(one.state) for one in replicas]
        if self._on_progress is not None:
            for one, reached in zip(replicas, progress, strict=True):
                self._on_progress(one.run, reached)
        # Each is credited with a share of the seconds, so the mean of the rates is that of all together.
        rate = sum(one.images_per_second for one in progress) / len(replicas)
        self._task.show(
            f"epoch {progress[0].epoch}/{self._last_epoch}  {len(replicas)} replicas  {rate:,.0f} images/s"
        )
        self._pause(lambda: _save(team, replicas), _stopped(team))

    def after_epoch(self, team: Team, going: Sequence[Replica]) -> None:
        """Write checkpoints and histories, send the curves; leave a line."""
        self._checkpoint(lambda: _save(team, going))
        for one in going:
            entry = one.state.history[-1]
            one.run.write_history(one.state.history)
            self._loggers[one].add(entry)
            _log.info(
                f"seed {one.seed}: epoch {entry.epoch:3d}  loss {entry.train_loss:.4f}  "
                f"val loss {entry.val_loss:.4f}  val accuracy {entry.val_accuracy:.2%}"
            )
        if self._stop.asked and going:
            raise Interrupted(_stopped(team))


def _save(team: Team, replicas: Sequence[Replica]) -> None:
    team.hand_back()
    for one in replicas:
        one.state.save(one.run)


def _stopped(team: Team) -> str:
    first = team.replicas[0]
    return (
        f"stopped {len(team.replicas)} runs at step {first.state.step}, each with a checkpoint "
        f"({first.run.folder}, ...); the same call goes on from there"
    )
