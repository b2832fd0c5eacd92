"""A run that has ended, as the measures of a study see it."""

from dataclasses import dataclass
from typing import Any

from convtrials.core.errors import RunError
from convtrials.training.run import Run


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
        One entry per epoch, as a `HistoryEntry` has it.
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
    result, history = run.result, read_history(run)
    if not result.diverged and not history:
        raise RunError(f"{run.history_path}: no epoch in it, though the run is finished")
    first = run.dataset.counts.train
    if len(history) == 1:  # a recipe of half an epoch has one entry that stands for half of the images
        first = round(min(run.recipe.epochs, 1.0) * first)
    return EndedRun(
        diverged=result.diverged,
        seconds=result.train_seconds,
        cpu_seconds=result.cpu_seconds,
        steps=result.steps,
        images=round(first * result.steps / history[0]["step"]) if history else None,
        val_accuracy=None if result.diverged else result.val_accuracy,
        history=history,
        images_in_first_entry=first,
    )


def read_history(run: Run) -> list[dict[str, Any]]:
    """Return one entry per epoch, as `Run.read_history`."""
    return [entry.to_dict() for entry in run.read_history()]
