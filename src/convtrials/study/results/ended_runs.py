"""The numbers of a run's JSON files, checked: a damaged file is told in a line that names it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from convtrials.core.errors import RunError
from convtrials.core.files import LARGEST_TEXT
from convtrials.training.run import Run
from convtrials.training.run_files import check_files, check_result

T = TypeVar("T")

#: What an entry of the history must hold for the measures of a study.
HISTORY_NUMBERS = ("step", "val_accuracy", "seconds", "cpu_seconds")


@dataclass(frozen=True)
class EndedRun:
    """A run that has a result, as the measures of a study see it.

    Attributes
    ----------
    diverged : bool
        The loss was no longer a number; there are no predictions.
    seconds, cpu_seconds : float
        Spent in training steps: by the clock, and by all threads together.
    steps : int
        Optimizer steps taken.
    images : int or None
        Training images seen, each pass over an image counted; None where the first epoch was not ended.
    val_accuracy : float or None
        Of the weights that count; None if diverged.
    history : list of dict
        One entry per epoch, with `HISTORY_NUMBERS` as numbers and steps that rise.
    images_in_first_entry : int
        Training images that the first entry of the history stands for.
    """

    diverged: bool
    seconds: float
    cpu_seconds: float
    steps: int
    images: int | None
    val_accuracy: float | None
    history: list[dict[str, Any]]
    images_in_first_entry: int


def ended_run(run: Run) -> EndedRun | None:
    """Read a run that has ended, well or as diverged; None where it has no result (yet).

    Raises
    ------
    ConvtrialsError
        A file is missing or damaged: a `RunError`, or a `RecipeError` for the recipe.
    """
    if not run.finished:
        return None
    where = run.folder / "result.json"
    result = _read(where, lambda: run.result)
    status = result.get("status")
    if status not in ("finished", "diverged"):
        raise RunError(f"{where}: status {status!r:.40}: finished or diverged is needed")
    check_result(run)
    check_files(run, run.history_path)
    history = read_history(run)
    if status == "finished" and not history:
        raise RunError(f"{run.history_path}: no epoch in it, though the run is finished")
    first = training_images(run)
    if len(history) == 1:  # a recipe of half an epoch has one entry that stands for half of the images
        first = round(min(run.recipe.epochs, 1.0) * first)
    steps = round(number(result, "steps", where))
    return EndedRun(
        diverged=status == "diverged",
        seconds=number(result, "train_seconds", where),
        cpu_seconds=number(result, "cpu_seconds", where),
        steps=steps,
        images=round(first * steps / history[0]["step"]) if history else None,
        val_accuracy=number(result, "val_accuracy", where) if status == "finished" else None,
        history=history,
        images_in_first_entry=first,
    )


def read_history(run: Run) -> list[dict[str, Any]]:
    """Read ``history.jsonl``, one entry per epoch; no file is an empty history.

    Raises
    ------
    RunError
        The file is damaged: an entry lacks one of `HISTORY_NUMBERS`, or steps do not rise.
    """
    path = run.history_path
    if not path.exists():
        return []
    history = _read(path, lambda: run.history)
    step = 0.0
    for line, entry in enumerate(history, 1):
        where = f"{path} line {line}"
        if not isinstance(entry, dict):
            raise RunError(f"{where}: a JSON object is needed, not {type(entry).__name__}")
        numbers = {key: number(entry, key, where) for key in HISTORY_NUMBERS}
        if numbers["step"] <= step:
            raise RunError(f"{where}: step {numbers['step']:g} after step {step:g}; steps must rise")
        step = numbers["step"]
    return history


def training_images(run: Run) -> int:
    """Return how many images the training split has, from ``dataset.json``.

    Raises
    ------
    RunError
        The file does not say.
    """
    where = run.folder / "dataset.json"
    counts = _read(where, lambda: run.dataset).get("counts")
    if not isinstance(counts, dict):
        raise RunError(f"{where}: counts is missing; images in train, val and test are needed")
    return round(number(counts, "train", f"{where}: counts"))


def number(document: Mapping[str, Any], key: str, where: Path | str) -> float:
    """Return ``document[key]`` if it is a finite number of 0 or more.

    Raises
    ------
    RunError
        Naming file and key.
    """
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise RunError(f"{where}: {key} = {value!r:.40}: a number of 0 or more is needed")
    try:
        return float(value)
    except OverflowError:
        raise RunError(f"{where}: {key} is too large a number") from None


def _read(path: Path, read: Callable[[], T]) -> T:
    """Read a file of a run with `read`; damage of any kind is a `RunError` that names it."""
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise RunError(f"{path}: larger than {LARGEST_TEXT:,} bytes")
        return read()
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; the run directory is not whole") from None
    except (OSError, ValueError, RecursionError) as problem:
        raise RunError(f"{path}: not readable ({str(problem)[:80]})") from None
