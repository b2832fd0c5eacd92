"""What loggers show of a run: curves after each epoch, the values at its end, and what it was made from."""

from typing import Any

from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry, RunResult

#: Field of a `HistoryEntry` -> the name of its curve.
CURVES = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/val",
    "val_macro_f1": "macro_f1/val",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}

#: Fields of a `RunResult` that are numbers of the whole run.
_FINAL = (
    "test_accuracy",
    "val_loss",
    "val_accuracy",
    "val_macro_f1",
    "best_epoch",
    "train_seconds",
    "parameters",
)


def curve_values(entry: HistoryEntry) -> dict[str, float]:
    """Return the value of each curve after an epoch; one that was not recorded is left out."""
    values = {curve: getattr(entry, key) for key, curve in CURVES.items()}
    return {curve: value for curve, value in values.items() if value is not None}


def final_values(result: RunResult) -> dict[str, float]:
    """Return the numbers of a run that has ended; of a diverged one there are few. Names begin with ``final/``."""
    values = {f"final/{key}": getattr(result, key) for key in _FINAL}
    return {name: value for name, value in values.items() if value is not None}


def parameters(run: Run) -> dict[str, Any]:
    """Return what a run was made from: its recipe with dotted keys, seed, data and execution."""
    data, execution = run.dataset, run.execution
    return {
        **_dotted(run.recipe.model_dump(mode="json", exclude_none=True)),
        "seed": run.identity.seed,
        "dataset": data.name,
        "dataset_fingerprint": data.fingerprint,
        **{f"execution.{key}": value for key, value in execution.to_dict().items()},
    }


def _dotted(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _dotted(value, f"{above}{key}.")
        else:
            flat[above + key] = value
    return flat
