"""How soon a technique's runs reach the baseline, and how often they beat it: told beside a verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convtrials.core.errors import StudyError
from convtrials.study.results.ended_runs import EndedRun

History = Sequence[Mapping[str, Any]]

#: Sums of the same accuracies in another order may differ by this much.
ROUNDING = 1e-12


def images_to_reach(history: History, target: float, images_per_epoch: float) -> int | None:
    """Return how many training images it took until validation accuracy first reached `target`.

    Between two epochs accuracy is taken to rise on a straight line. Before the first validation nothing is known, so
    the first epoch counts whole.

    Parameters
    ----------
    history : sequence of mappings
        One entry per epoch with ``step`` (rising) and ``val_accuracy``.
    target : float
        Validation accuracy, 0 to 1: as a rule the baseline's final mean. Test images decide nothing here.
    images_per_epoch : float
        Training images that the first entry stands for; later ones are counted by their steps, so that a last epoch
        may be a part of one.

    Returns
    -------
    int or None
        None if it was never reached.
    """
    if not history:
        return None
    reached = _reached(history, target, [entry["step"] for entry in history])
    return None if reached is None else round(images_per_epoch * reached / history[0]["step"])


def seconds_to_reach(history: History, target: float, key: str = "seconds") -> float | None:
    """Return the training time until validation accuracy first reached `target`, as `images_to_reach` counts it.

    Parameters
    ----------
    history : sequence of mappings
        One entry per epoch with ``val_accuracy`` and `key`.
    target : float
        Validation accuracy, 0 to 1.
    key : str
        ``seconds`` by the clock, or ``cpu_seconds`` of all threads; both count from the start of the run.

    Returns
    -------
    float or None
        None if it was never reached.
    """
    return _reached(history, target, [entry[key] for entry in history])


def mean_history(histories: Sequence[History]) -> list[dict[str, float]]:
    """Average the learning curves of one arm's runs, epoch by epoch.

    ``val_accuracy`` becomes the best so far before it is averaged: what counts is whether an accuracy has been reached.
    A run that stopped early stays where it stopped, in accuracy and in cost, while the others go on: averages over
    those that still run would be averages of another choice of runs.

    Parameters
    ----------
    histories : sequence of histories
        One run or more, each with an entry or more.

    Returns
    -------
    list of dict
        As long as the longest history, with ``step``, ``val_accuracy``, ``seconds`` and ``cpu_seconds``.
    """
    epochs = max(len(history) for history in histories)
    curves = {
        key: np.mean([_held([entry[key] for entry in history], epochs) for history in histories], axis=0)
        for key in ("step", "seconds", "cpu_seconds")
    }
    best = [np.maximum.accumulate([entry["val_accuracy"] for entry in history]) for history in histories]
    curves["val_accuracy"] = np.mean([_held(values, epochs) for values in best], axis=0)
    return [{key: float(values[epoch]) for key, values in curves.items()} for epoch in range(epochs)]


def baseline_target(baseline: Sequence[EndedRun]) -> float | None:
    """Return the mean final validation accuracy of the baseline's finished runs; None if none finished."""
    final = [run.val_accuracy for run in baseline if run.val_accuracy is not None]
    return float(np.mean(final)) if final else None


def images_to_baseline(baseline: Sequence[EndedRun], runs: Sequence[EndedRun]) -> int | None:
    """Return the training images after which the mean learning curve of `runs` reaches the baseline's final accuracy.

    The mean curve, not single runs: half of the baseline's own runs never reach the baseline's mean. Diverged runs
    are left out.

    Returns
    -------
    int or None
        None if the curve never gets there, or one of the two arms has no finished run.
    """
    target, finished = baseline_target(baseline), _with_history(runs)
    if target is None or not finished:
        return None
    curve = mean_history([run.history for run in finished])
    return images_to_reach(curve, target, finished[0].images_in_first_entry)


def seconds_to_baseline(baseline: Sequence[EndedRun], runs: Sequence[EndedRun], key: str) -> float | None:
    """Return the training time after which the mean learning curve of `runs` reaches the baseline's final accuracy.

    As `images_to_baseline`, in ``seconds`` or ``cpu_seconds`` (`key`).
    """
    target, finished = baseline_target(baseline), _with_history(runs)
    if target is None or not finished:
        return None
    return seconds_to_reach(mean_history([run.history for run in finished]), target, key)


def probability_better(technique_scores: Sequence[float], baseline_scores: Sequence[float]) -> float | None:
    """Return how probable it is that a run of the technique beats a run of the baseline.

    The share of pairs (a technique's run, a baseline's run) in which the technique's run is better; ties count half.

    Parameters
    ----------
    technique_scores, baseline_scores : sequence of float
        One score per run, higher is better; any number of runs in each.

    Returns
    -------
    float or None
        From 0 to 1; None where one of the two has no run.

    Raises
    ------
    StudyError
        A score is not a number.

    References
    ----------
    McGraw, Wong: A common language effect size statistic, Psychological Bulletin 111 (1992). With ties: Vargha,
    Delaney, Journal of Educational and Behavioral Statistics 25 (2000). It is Mann and Whitney's U over all pairs.
    """
    technique, baseline = np.asarray(technique_scores, np.float64), np.asarray(baseline_scores, np.float64)
    if not (np.isfinite(technique).all() and np.isfinite(baseline).all()):
        raise StudyError("scores of runs must be numbers; leave diverged and failed runs out")
    if not technique.size or not baseline.size:
        return None
    gaps = technique[:, None] - baseline[None, :]
    return float((gaps > 0).mean() + (gaps == 0).mean() / 2)


def _with_history(runs: Sequence[EndedRun]) -> list[EndedRun]:
    """Leave out diverged runs, and those of published copies of the first version, which hold no histories."""
    return [run for run in runs if not run.diverged and run.history]


def _held(values: ArrayLike, length: int) -> NDArray[np.float64]:
    """Repeat the last value up to `length`."""
    known = np.asarray(values, np.float64)
    return np.pad(known, (0, length - len(known)), mode="edge")


def _reached(history: History, target: float, spent: Sequence[float]) -> float | None:
    """Return what had been spent when accuracy first reached `target`, on straight lines between entries."""
    for place, entry in enumerate(history):
        height = entry["val_accuracy"]
        if height < target - ROUNDING:
            continue
        if place == 0:
            return float(spent[0])
        before = history[place - 1]["val_accuracy"]
        share = min(1.0, (target - before) / (height - before))
        return float(spent[place - 1] + share * (spent[place] - spent[place - 1]))
    return None
