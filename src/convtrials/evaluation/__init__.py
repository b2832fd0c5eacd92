"""Predictions -> metrics, curves, calibration, and bootstrap intervals."""

from typing import TYPE_CHECKING

from convtrials.core.lazy import lazy_names

if TYPE_CHECKING:
    from convtrials.evaluation.evaluate import evaluate_predictions
    from convtrials.evaluation.predictions import Predictions, read_predictions

__all__ = [
    "Predictions",
    "evaluate_predictions",
    "read_predictions",
]

# SciPy takes half a second to import: only who evaluates waits for it.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Predictions": f"{__name__}.predictions",
        "evaluate_predictions": f"{__name__}.evaluate",
        "read_predictions": f"{__name__}.predictions",
    },
)
