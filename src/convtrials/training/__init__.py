"""Recipe, optimizers, schedules, early stopping, the loop, checkpoints, the run directory."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convtrials.training.run_record import RunRecord, read_run, read_run_predictions

__all__ = ["RunRecord", "read_run", "read_run_predictions"]


def __getattr__(name: str) -> Any:
    # Late: who imports a part of this room must not wait for the others.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from convtrials.training import run_record

    return getattr(run_record, name)


def __dir__() -> list[str]:
    return list(__all__)
