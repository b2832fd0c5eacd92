"""TensorBoard event files beside the history: ``tensorboard --logdir RUN`` shows the curves."""

from pathlib import Path
from types import TracebackType

from convtrials.training.run_documents import HistoryEntry

#: history key -> TensorBoard tag
_TAGS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/val",
    "val_macro_f1": "macro_f1/val",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}


class CurveWriter:
    """Writes one scalar an epoch and curve.

    A resumed run begins a new event file with the history up to its checkpoint, in place of what a killed process
    left, so that no epoch shows twice.
    """

    def __init__(self, folder: Path, history: list[HistoryEntry]) -> None:
        from tensorboardX import SummaryWriter

        for stale in folder.glob("events.out.tfevents.*"):
            stale.unlink(missing_ok=True)
        self._writer = SummaryWriter(str(folder))
        for entry in history:
            self.add(entry)

    def add(self, entry: HistoryEntry) -> None:
        """Write the curves' values after one epoch."""
        for key, tag in _TAGS.items():
            value = getattr(entry, key)
            if value is not None:
                self._writer.add_scalar(tag, value, global_step=entry.step)
        self._writer.flush()

    def __enter__(self) -> "CurveWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
