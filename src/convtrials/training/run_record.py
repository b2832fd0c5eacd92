"""What a run directory says, read back: recipe, environment, history, result, predictions."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.errors import RunError
from convtrials.core.files import read_bounded_text
from convtrials.evaluation.predictions import Predictions, read_predictions
from convtrials.evaluation.run_warnings import RunWarning, run_warnings
from convtrials.training.run import Run
from convtrials.training.run_files import check_files, check_named, check_result

#: No whole number in a run is larger: larger ones are damage, and fit no float.
LARGEST_NUMBER = 2**63

#: The files of a finished run, in the order in which they are missed.
NEEDED = ("result.json", "dataset.json", "recipe.yaml", "history.jsonl", "execution.json", "environment.json")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A finished run, as its directory tells it.

    Attributes
    ----------
    folder : Path
        The run directory.
    recipe : str
        The resolved recipe, YAML.
    execution, environment, dataset, result : dict
        The JSON files of those names.
    history : list of dict
        One entry per epoch, in order.
    class_names : tuple of str
        From `dataset`.
    predictions : Predictions
        On the test split.
    """

    folder: Path
    recipe: str
    execution: dict[str, Any]
    environment: dict[str, Any]
    dataset: dict[str, Any]
    result: dict[str, Any]
    history: list[dict[str, Any]]
    class_names: tuple[str, ...]
    predictions: Predictions

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe as a mapping.

        Raises
        ------
        RunError
            Where `recipe` is no YAML mapping.
        """
        import yaml

        path = self.folder / "recipe.yaml"
        try:
            recipe = yaml.safe_load(self.recipe)
        except (yaml.YAMLError, ValueError, RecursionError) as problem:
            raise RunError(f"{path}: not valid YAML") from problem
        if not isinstance(recipe, dict):
            raise RunError(f"{path}: a mapping of settings is needed")
        return recipe


def read_run(folder: Path) -> RunRecord:
    """Read a finished run directory.

    Raises
    ------
    RunError
        Where the directory is absent or partial, the run is unfinished or diverged, or a file is damaged or not the
        run's own.
    """
    folder, run = Path(folder), Run(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run directory")
    if not (folder / "result.json").is_file():
        hint = (
            "not finished: resume it first" if (folder / "recipe.yaml").is_file() else "not a run directory"
        )
        raise RunError(f"{folder}: no result.json in it; {hint}")
    result = _mapping(folder / "result.json")
    if result.get("status") == "diverged":
        at = result.get("diverged_at", result.get("steps"))
        step = f" at step {at}" if isinstance(at, int) else ""
        raise RunError(f"{folder}: the run diverged{step} and has no predictions to evaluate")
    for name in NEEDED:
        if not (folder / name).is_file():
            raise RunError(f"{folder}: no {name} in it; the run directory is not whole")
    dataset = _mapping(folder / "dataset.json")
    names = _class_names(dataset, folder / "dataset.json")
    if not isinstance(dataset.get("fingerprint"), str):
        raise RunError(f"{folder / 'dataset.json'}: no fingerprint in it")
    predictions = read_run_predictions(run)
    check_files(run, run.history_path, *run.described_by)
    if predictions.probabilities.shape[1] != len(names):
        found = predictions.probabilities.shape[1]
        raise RunError(f"{folder}: predictions have {found} classes, dataset.json {len(names)}")
    return RunRecord(
        folder=folder,
        recipe=read_bounded_text(folder / "recipe.yaml", RunError),
        execution=_mapping(folder / "execution.json"),
        environment=_mapping(folder / "environment.json"),
        dataset=dataset,
        result=result,
        history=_history(folder / "history.jsonl"),
        class_names=names,
        predictions=predictions,
    )


def read_run_predictions(run: Run) -> Predictions:
    """Read the test predictions of a finished run, and see that they are its own.

    Raises
    ------
    RunError
        The file or ``result.json`` is missing, damaged, changed since, or another run's.
    """
    check_result(run)
    found = read_predictions(run.predictions_path)
    check_named(run, run.predictions_path, found.run)
    check_files(run, run.predictions_path)
    _check_accuracy(run, found)
    return found


def _check_accuracy(run: Run, found: Predictions) -> None:
    """Compare with what the run counted itself: all that runs of earlier versions say of their predictions."""
    told = run.result.get("test_accuracy")
    counted = float((found.predicted == found.labels).mean())
    if isinstance(told, float) and abs(told - counted) > 1e-9:
        raise RunError(
            f"{run.predictions_path}: {counted:.4%} right, where result.json beside it says {told:.4%}: "
            "changed, or another run's"
        )


def warnings_of(record: RunRecord, macro_auc: float | None = None) -> list[RunWarning]:
    """Return the warnings of a run that was read from its directory."""
    counts = record.dataset.get("counts")
    val = counts.get("val") if isinstance(counts, dict) else None
    return run_warnings(
        record.predictions.labels,
        record.predictions.predicted,
        record.class_names,
        record.history,
        macro_auc=macro_auc,
        val_images=val if isinstance(val, int) else None,
    )


def _mapping(path: Path) -> dict[str, Any]:
    return _parsed(read_bounded_text(path, RunError), str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as problem:
        raise RunError(f"{where}: not valid JSON ({problem})") from problem
    if not isinstance(value, dict):
        raise RunError(f"{where}: a JSON object is needed, not {type(value).__name__}")
    return value


def _whole(digits: str) -> int:
    number = int(digits) if len(digits) < 30 else LARGEST_NUMBER
    if abs(number) >= LARGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return number


def _history(path: Path) -> list[dict[str, Any]]:
    lines = [line for line in read_bounded_text(path, RunError).splitlines() if line.strip()]
    history = [_parsed(line, f"{path} line {number}") for number, line in enumerate(lines, 1)]
    for number, entry in enumerate(history, 1):
        epoch = entry.get("epoch", number)
        if isinstance(epoch, bool) or not isinstance(epoch, int | float) or not math.isfinite(epoch):
            raise RunError(f"{path} line {number}: epoch must be a number, not {epoch!r:.40}")
    return history


def _class_names(dataset: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = dataset.get("class_names")
    if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise RunError(f"{path}: class_names must be a list of two names or more")
    return tuple(names)
