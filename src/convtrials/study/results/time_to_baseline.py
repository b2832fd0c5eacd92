"""How soon a technique's runs reach the baseline, and how often they beat it: reported with a verdict."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convtrials.core.errors import StudyError
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry

#: What is spent on a run, by its name in a `HistoryEntry`: ``seconds`` by the clock, ``cpu_seconds`` of all threads.
Spent = Literal["step", "seconds", "cpu_seconds"]

#: Sums of the same accuracies in another order may differ by this much.
ROUNDING = 1e-12


def spent_to_reach(accuracies: Sequence[float], spent: Sequence[float], target: float) -> float | None:
    """Return what had been spent when validation accuracy first reached `target`.

    Between two epochs accuracy is taken to rise on a straight line. Before the first validation nothing is known, so
    the first epoch counts whole.

    Parameters
    ----------
    accuracies : sequence of float, length E
        After each epoch, 0 to 1.
    spent : sequence of float, length E
        By then, since the start of the run: steps or seconds.
    target : float
        0 to 1: as a rule the baseline's final mean. Test images decide nothing here.

    Returns
    -------
    float or None
        None if it was never reached.
    """
    for place, height in enumerate(accuracies):
        if height < target - ROUNDING:
            continue
        if place == 0:
            return float(spent[0])
        before = accuracies[place - 1]
        share = min(1.0, (target - before) / (height - before))
        return float(spent[place - 1] + share * (spent[place] - spent[place - 1]))
    return None


def mean_curve(histories: Sequence[Sequence[HistoryEntry]], key: Spent) -> tuple[list[float], list[float]]:
    """Average the learning curves of one arm's runs, epoch by epoch.

    Accuracy becomes the best so far before it is averaged: what counts is whether an accuracy has been reached.
    A run that stopped early stays where it stopped, in accuracy and in cost, while the others go on: averages over
    those that still run would be averages of another choice of runs.

    Parameters
    ----------
    histories : sequence of histories
        One run or more, each with an entry or more.
    key : {"step", "seconds", "cpu_seconds"}

    Returns
    -------
    accuracies, spent : list of float
        As long as the longest history.
    """
    epochs = max(len(history) for history in histories)
    best = [np.maximum.accumulate([entry.val_accuracy for entry in history]) for history in histories]
    spent = [[getattr(entry, key) for entry in history] for history in histories]
    accuracies, means = (np.mean([_held(one, epochs) for one in curves], axis=0) for curves in (best, spent))
    return accuracies.tolist(), means.tolist()


def finished_well(runs: Sequence[Run]) -> list[Run]:
    """Leave out runs that have not ended, and those that diverged."""
    return [run for run in runs if run.finished and not run.result.diverged]


def baseline_target(baseline: Sequence[Run]) -> float | None:
    """Return the mean final validation accuracy of the baseline's finished runs; None if none finished."""
    final = [run.result.val_accuracy for run in finished_well(baseline)]
    return float(np.mean([accuracy for accuracy in final if accuracy is not None])) if final else None


def images_to_baseline(baseline: Sequence[Run], runs: Sequence[Run]) -> int | None:
    """Return the training images after which the mean learning curve of `runs` reaches the baseline's final accuracy.

    The mean curve, not single runs: half of the baseline's own runs never reach the baseline's mean. Runs that have not
    ended, or diverged, are left out. Images are counted by steps, so that a last epoch may be a part of one.

    Returns
    -------
    int or None
        None if the curve never gets there, or one of the two arms has no finished run.
    """
    steps, counted = spent_to_baseline(baseline, runs, "step"), _with_history(runs)
    if steps is None:
        return None
    run = counted[0]
    first = run.read_history()[0].step
    images_of_first = round((run.images_seen or 0) * first / run.result.steps)
    return round(images_of_first * steps / first)


def spent_to_baseline(baseline: Sequence[Run], runs: Sequence[Run], key: Spent) -> float | None:
    """Return what is spent until the mean learning curve of `runs` reaches the baseline's final accuracy.

    As `images_to_baseline`: training steps, or seconds.
    """
    target, counted = baseline_target(baseline), _with_history(runs)
    if target is None or not counted:
        return None
    return spent_to_reach(*mean_curve([run.read_history() for run in counted], key), target)


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


def _with_history(runs: Sequence[Run]) -> list[Run]:
    """Leave out diverged runs, and those of published copies of the first version, which hold no histories."""
    return [run for run in finished_well(runs) if run.read_history()]


def _held(values: ArrayLike, length: int) -> NDArray[np.float64]:
    """Repeat the last value up to `length`."""
    known = np.asarray(values, np.float64)
    return np.pad(known, (0, length - len(known)), mode="edge")
