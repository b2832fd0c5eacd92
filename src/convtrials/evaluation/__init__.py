"""Predictions -> metrics, curves, calibration, and bootstrap intervals."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convtrials.evaluation.metrics import evaluate_predictions
    from convtrials.evaluation.predictions import Predictions, read_predictions

__all__ = [
    "Predictions",
    "evaluate_predictions",
    "read_predictions",
]

_HOMES = {
    "Predictions": "predictions",
    "evaluate_predictions": "metrics",
    "read_predictions": "predictions",
}


def __getattr__(name: str) -> Any:
    # SciPy takes half a second to import: only who evaluates waits for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
