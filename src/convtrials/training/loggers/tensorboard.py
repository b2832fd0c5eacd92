"""TensorBoard event files in the run's folder: always written, since that costs nothing."""

from contextlib import suppress
from pathlib import Path

from convtrials.core.files import remove_file
from convtrials.training.loggers.curves import curve_values
from convtrials.training.run_documents import HistoryEntry


class CurveWriter:
    """Writes TensorBoard event files in the run's folder, one scalar per epoch and curve.

    A resumed run begins a new event file with the history up to its checkpoint, in place of what a killed process
    left, so that no epoch shows twice.
    """

    def __init__(self, folder: Path, history: list[HistoryEntry]) -> None:
        from tensorboardX import SummaryWriter

        for stale in folder.glob("events.out.tfevents.*"):
            with suppress(PermissionError):  # open in TensorBoard, on Windows: there epochs show twice
                remove_file(stale)
        self._writer = SummaryWriter(str(folder))
        for entry in history:
            self.add(entry)

    def add(self, entry: HistoryEntry) -> None:
        """Write the curves' values after one epoch."""
        for curve, value in curve_values(entry).items():
            self._writer.add_scalar(curve, value, global_step=entry.step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
