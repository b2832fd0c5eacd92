"""Recipe, optimizers, schedules, early stopping, the loop, checkpoints, the run directory."""

from typing import TYPE_CHECKING

from convtrials.core.lazy import lazy_names

if TYPE_CHECKING:
    from convtrials.training.run_record import RunRecord, read_run, read_run_predictions

__all__ = ["RunRecord", "read_run", "read_run_predictions"]

# Late: who imports a part of this room must not wait for the others.
__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, f"{__name__}.run_record"))
