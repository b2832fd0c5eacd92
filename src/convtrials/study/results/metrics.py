"""The metrics of a study, an entry each: those that can carry a verdict, and those reported without one.

Everything else that depends on a metric follows from its entry: what a study file may name, the scores, margins,
sentences, tables, pictures and pages.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convtrials.core import formatting
from convtrials.core.errors import StudyError
from convtrials.core.formatting import Scale, share
from convtrials.evaluation.predictions import Predictions
from convtrials.evaluation.scores import (
    log_losses,
    macro_f1_of_counts,
    macro_precision_of_counts,
    macro_recall_of_counts,
)

#: How the validation values in ``history.jsonl`` are written.
_LOG_LOSS = Scale("log loss", "nats", lower_is_better=True)
_HISTORY = {"val_accuracy": share("accuracy"), "val_loss": _LOG_LOSS, "val_macro_f1": share("macro F1")}


@dataclass(frozen=True, kw_only=True)
class VerdictMetric:
    """A metric on which verdicts can be given: a mean over test images.

    Attributes
    ----------
    name : str
        In study files and ``verdicts.json``: ``log_loss``.
    scale : Scale
        How it is written, and which way is better.
    scores : function of Predictions to ndarray of float64, shape (N,)
        A score of each test image, in the order of the test split; **higher is better** always. Their mean is the
        metric, or minus the metric where lower is better. A metric that is no mean over images can give its value
        plus the influence of each image, which has the same mean.
    history_key : {"val_accuracy", "val_loss", "val_macro_f1"}
        The value in ``history.jsonl`` nearest to it: drawn by epoch, and its last rise, compared with the margin,
        shows whether the baseline was still learning.
    largest_margin : float
        A larger one makes everything equivalent.
    default_margin : float or None
        None where a study must name one.
    bounds : (float, float)
        Values of the metric lie between these; intervals, which are symmetric around the mean, are cut there.
    """

    name: str
    scale: Scale
    scores: Callable[[Predictions], NDArray[np.float64]]
    history_key: Literal["val_accuracy", "val_loss", "val_macro_f1"]
    largest_margin: float
    default_margin: float | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def history_scale(self) -> Scale:
        """How the values of `history_key` are written."""
        return _HISTORY[self.history_key]

    def as_reported(self, score: float) -> float:
        """Return a score, or a mean of scores, as people know the metric: a log loss is positive again."""
        return 0.0 - score if self.scale.lower_is_better else score  # not -score, which may be -0.0

    def interval_as_reported(self, ends: tuple[float, float]) -> tuple[float, float]:
        """Return an interval of scores as people know the metric, the lower end first, within `bounds`."""
        lowest, highest = self.bounds
        low, high = sorted(min(highest, max(lowest, self.as_reported(end))) for end in ends)
        return low, high


def _hits(predictions: Predictions) -> NDArray[np.float64]:
    hits: NDArray[np.float64] = (predictions.predicted == predictions.labels).astype(np.float64)
    return hits


def _minus_log_losses(predictions: Predictions) -> NDArray[np.float64]:
    return -log_losses(predictions.probabilities, predictions.labels)


#: The metrics that can carry a verdict, by name.
VERDICT_METRICS = {
    metric.name: metric
    for metric in (
        VerdictMetric(
            name="accuracy",
            scale=share("accuracy"),
            scores=_hits,
            history_key="val_accuracy",
            largest_margin=0.5,
            default_margin=0.005,  # smaller differences are out of reach of most test sets, and matter to few
            bounds=(0.0, 1.0),
        ),
        VerdictMetric(
            name="log_loss",
            scale=_LOG_LOSS,
            scores=_minus_log_losses,
            history_key="val_loss",
            largest_margin=10.0,
        ),
    )
}


def verdict_metric(name: Any) -> VerdictMetric:
    """Return the metric of that name.

    Raises
    ------
    StudyError
        No verdict can be given on it: what is allowed, and why.
    """
    if isinstance(name, str) and name in VERDICT_METRICS:
        return VERDICT_METRICS[name]
    others = [other for other in SECONDARY_METRICS if other not in VERDICT_METRICS]
    raise StudyError(
        f"metric: {name!s:.60} cannot carry a verdict; allowed are {', '.join(VERDICT_METRICS)}.\n"
        f"A verdict needs a mean over test images; {formatting.joined(others)} are reported with it."
    )


def scale_of(name: str) -> Scale:
    """Return how the verdict metric of that name is written."""
    return verdict_metric(name).scale


@dataclass(frozen=True)
class SecondaryMetric:
    """A metric that is reported without a verdict.

    Attributes
    ----------
    name : str
        In ``verdicts.json``.
    label : str
        For people, as the heading of a column.
    value : function of Predictions to (float or None)
        Of one run; None where it does not exist. Imports what is slow to import itself: this file is read by every
        command about studies.
    factor, decimals : float, int
        How it is written: times 100 in percent.
    """

    name: str
    label: str
    value: Callable[[Predictions], float | None]
    factor: float = 100.0
    decimals: int = 2

    def written(self, value: float | None) -> str:
        """Return a value: ``91.23%``, ``0.9876``; None is a dash."""
        return formatting.score(value, self.factor, self.decimals)

    def difference(self, value: float | None) -> str:
        """Return a difference with its sign, without unit: ``+1.23``; None is a dash."""
        return formatting.signed(value, self.factor, self.decimals)


def _macro(of_counts: Callable[..., NDArray[np.float64]]) -> Callable[[Predictions], float]:
    """Return the metric that averages over classes what comes of their (images, answers, right answers)."""

    def value(predictions: Predictions) -> float:
        labels, predicted = predictions.labels, predictions.predicted
        classes = predictions.probabilities.shape[1]
        right = labels[predicted == labels]
        return float(
            of_counts(*(np.bincount(which, minlength=classes) for which in (labels, predicted, right)))
        )

    return value


def _macro_auc(predictions: Predictions) -> float | None:
    """Return the area under the ROC curve, averaged over classes; None where the test split has a single class."""
    from convtrials.evaluation.bootstrap import macro_auc  # late: SciPy takes half a second to import

    probabilities, labels = predictions.probabilities, predictions.labels
    if len(np.unique(labels)) < 2:
        return None
    # Every image once: the statistic of the bootstrap, which is faster than a curve per class.
    return float(macro_auc(probabilities, labels)(np.ones((len(labels), 1)))[0])


def _log_loss(predictions: Predictions) -> float:
    return float(log_losses(predictions.probabilities, predictions.labels).mean())


def _calibration_error(predictions: Predictions) -> float:
    from convtrials.evaluation.calibration import expected_calibration_error

    return expected_calibration_error(predictions.confidence, predictions.predicted == predictions.labels)


#: The metrics reported without a verdict, by name, in the order of the report; each as in `evaluate_predictions`.
SECONDARY_METRICS = {
    metric.name: metric
    for metric in (
        SecondaryMetric("accuracy", "Accuracy", lambda predictions: float(_hits(predictions).mean())),
        SecondaryMetric("macro_precision", "Macro precision", _macro(macro_precision_of_counts)),
        SecondaryMetric("macro_recall", "Macro recall", _macro(macro_recall_of_counts)),
        SecondaryMetric("macro_f1", "Macro F1", _macro(macro_f1_of_counts)),
        SecondaryMetric("macro_auc", "Macro ROC AUC", _macro_auc, factor=1, decimals=4),
        SecondaryMetric("log_loss", "Log loss", _log_loss, factor=1, decimals=4),
        SecondaryMetric("calibration_error", "Calibration error", _calibration_error),
    )
}

#: A number for each secondary metric, by name; None where it does not exist.
Values = Mapping[str, float | None]


def secondary_metrics(predictions: Predictions) -> dict[str, float | None]:
    """Return every secondary metric of one run."""
    return {name: metric.value(predictions) for name, metric in SECONDARY_METRICS.items()}


def mean_metrics(runs: Sequence[Values]) -> dict[str, float | None]:
    """Return the mean of each number over runs; runs where it does not exist are left out, None where none has it."""
    known = {
        name: [value for run in runs if (value := run.get(name)) is not None] for name in SECONDARY_METRICS
    }
    return {name: float(np.mean(values)) if values else None for name, values in known.items()}


def metric_differences(technique: Values, baseline: Values) -> dict[str, float | None]:
    """Return technique minus baseline of each number; None where one of the two does not exist."""
    pairs = {name: (technique.get(name), baseline.get(name)) for name in SECONDARY_METRICS}
    return {
        name: None if one is None or other is None else one - other for name, (one, other) in pairs.items()
    }
