"""What a study measures of one finished run: a score of every test image, and metrics without a verdict."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import StudyError
from convtrials.evaluation.predictions import Predictions
from convtrials.evaluation.scores import (
    log_losses,
    macro_f1_of_counts,
    macro_precision_of_counts,
    macro_recall_of_counts,
)

#: The metrics on which a verdict can be given: means over test images.
METRICS = ("accuracy", "log_loss")

#: Metrics of `METRICS` that are better when lower.
LOWER_IS_BETTER = ("log_loss",)

#: The metrics reported without a verdict, in the order of the report.
SECONDARY_METRICS = (
    "accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "macro_auc",
    "log_loss",
    "calibration_error",
)


def scores_of(predictions: Predictions, metric: str) -> NDArray[np.float64]:
    """Return the score of each test image, higher is better.

    Parameters
    ----------
    predictions : Predictions
        Of a run that finished well.
    metric : str
        One of `METRICS`: ``accuracy`` scores 1 for right and 0 for wrong; ``log_loss`` scores minus the loss, in nats.

    Returns
    -------
    ndarray of float64, shape (N,)
        In the order of the test split.

    Raises
    ------
    StudyError
        `metric` is not one on which a verdict can be given.
    """
    check_metric(metric)
    if metric == "accuracy":
        hits: NDArray[np.float64] = (predictions.predicted == predictions.labels).astype(np.float64)
        return hits
    return -log_losses(predictions.probabilities, predictions.labels)


def as_reported(score: float, metric: str) -> float:
    """Return a score (or a difference of scores) as people know the metric: a log loss is positive again.

    Parameters
    ----------
    score : float
        Higher is better, as in `scores_of`.
    metric : str
        One of `METRICS`.
    """
    return 0.0 - score if metric in LOWER_IS_BETTER else score  # not -score, which may be -0.0


def interval_as_reported(ends: tuple[float, float], metric: str) -> tuple[float, float]:
    """Return an interval of scores as people know the metric, the lower end first.

    It is symmetric around the mean; no share of images is below 0 or above 1, so accuracy is cut there.
    """
    found = sorted(as_reported(end, metric) for end in ends)
    low, high = [min(1.0, max(0.0, end)) for end in found] if metric == "accuracy" else found
    return low, high


def check_metric(metric: str) -> None:
    """Refuse a metric on which no verdict can be given.

    Raises
    ------
    StudyError
        Naming what is allowed, and why.
    """
    if metric not in METRICS:
        raise StudyError(
            f"metric: {metric!s:.60} cannot carry a verdict; allowed are {', '.join(METRICS)}.\n"
            "A verdict needs a mean over test images; macro F1, AUC and calibration error are reported beside it."
        )


def secondary_metrics(predictions: Predictions) -> dict[str, float | None]:
    """Return the metrics of a run that are reported without a verdict.

    They are those of `convtrials.evaluation.metrics.evaluate_predictions`, without its intervals.

    Returns
    -------
    dict
        ``accuracy``, ``macro_precision``, ``macro_recall``, ``macro_f1``, ``macro_auc`` and ``calibration_error`` from
        0 to 1, ``log_loss`` in nats.
        ``macro_auc`` is None where the test split has a single class.
    """
    from convtrials.evaluation.bootstrap import macro_auc  # late: SciPy takes half a second to import
    from convtrials.evaluation.calibration import expected_calibration_error

    probabilities, labels, predicted = predictions.probabilities, predictions.labels, predictions.predicted
    correct = predicted == labels
    counts = [
        np.bincount(which, minlength=probabilities.shape[1]) for which in (labels, predicted, labels[correct])
    ]
    one_class = int(np.count_nonzero(counts[0])) < 2
    return {
        "accuracy": float(correct.mean()),
        "macro_precision": float(macro_precision_of_counts(*counts)),
        "macro_recall": float(macro_recall_of_counts(*counts)),
        "macro_f1": float(macro_f1_of_counts(*counts)),
        # Every image once: the statistic of the bootstrap, which is faster than a curve per class.
        "macro_auc": None
        if one_class
        else float(macro_auc(probabilities, labels)(np.ones((len(labels), 1)))[0]),
        "log_loss": float(log_losses(probabilities, labels).mean()),
        "calibration_error": expected_calibration_error(predictions.confidence, correct),
    }


def mean_metrics(runs: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each number over runs; runs where it does not exist are left out, None where none has it."""
    known = {key: [value for run in runs if (value := run.get(key)) is not None] for key in SECONDARY_METRICS}
    return {key: float(np.mean(values)) if values else None for key, values in known.items()}


def metric_differences(
    technique: Mapping[str, float | None], baseline: Mapping[str, float | None]
) -> dict[str, float | None]:
    """Return technique minus baseline of each number; None where one of the two does not exist."""
    pairs = {key: (technique.get(key), baseline.get(key)) for key in SECONDARY_METRICS}
    return {key: None if one is None or other is None else one - other for key, (one, other) in pairs.items()}
