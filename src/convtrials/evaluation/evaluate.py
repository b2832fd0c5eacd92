"""All numbers that are reported about a run's predictions, ready for JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import RunError
from convtrials.core.few_images import listed
from convtrials.evaluation.bootstrap import bootstrap_intervals
from convtrials.evaluation.calibration import (
    ReliabilityBins,
    brier_score,
    reliability_bins,
)
from convtrials.evaluation.curves import one_hot, rankable_classes
from convtrials.evaluation.predictions import check_probabilities
from convtrials.evaluation.resampling import Interval
from convtrials.evaluation.scores import log_losses, top_k_hits, useful_k


def evaluate_predictions(
    probabilities: NDArray[Any],
    labels: NDArray[Any],
    class_names: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = 1000,
    groups: NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Compute every metric of one split.

    Parameters
    ----------
    probabilities : ndarray of float, shape (N, K)
        Rows sum to one.
    labels : ndarray of int, shape (N,)
        True classes, ``0`` to ``K - 1``.
    class_names : sequence of str, length K
        One name a class.
    seed, resamples : int
        For the bootstrap; 0 resamples leave the intervals out.
    groups : ndarray of int, shape (N,), or None
        The sampled group (writer) of each image: whole groups are then resampled.

    Returns
    -------
    dict
        JSON-ready. Rates are on the scale 0 to 1, ``log_loss`` is in nats, ``confusion_matrix`` has true classes
        in rows. Averages over classes ("macro") run over the classes that have test images; a precision whose
        class was never predicted counts as 0. What could not be computed is ``None``, and ``notes`` says why.

    Raises
    ------
    RunError
        Where arrays and class names do not fit together.
    """
    exact, truth = check_probabilities(probabilities, labels)
    if exact.shape[1] != len(class_names):
        raise RunError(f"predictions have {exact.shape[1]} classes, the dataset {len(class_names)}")
    predicted = exact.argmax(axis=1)
    bins = reliability_bins(exact.max(axis=1), predicted == truth)
    per_class = _per_class(exact, truth, predicted, class_names)
    intervals = _intervals(exact, truth, seed, resamples, groups)
    return {
        "images": len(truth),
        "classes": len(class_names),
        "class_names": [str(name) for name in class_names],
        "accuracy": float((predicted == truth).mean()),
        "top_k": {str(k): float(top_k_hits(exact, truth, k).mean()) for k in useful_k(exact.shape[1])},
        **_averages(per_class),
        **_ranking(exact, truth, per_class),
        "log_loss": float(log_losses(exact, truth).mean()),
        "brier_score": brier_score(exact, truth),
        "expected_calibration_error": bins.expected_error,
        "intervals": {
            name: None
            if found is None
            else {"low": found.low, "high": found.high, "resamples": found.resamples}
            for name, found in intervals.items()
        },
        "bootstrap": {
            "level": 0.95,
            "resamples": resamples,
            "seed": seed,
            "unit": "image" if groups is None else "group",
        },
        "per_class": per_class,
        "confusion_matrix": confusion_matrix(truth, predicted, len(class_names)).tolist(),
        "reliability": _bins_as_json(bins),
        "notes": _notes(per_class, intervals, resamples, groups),
    }


def confusion_matrix(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Count images by true class (rows) and predicted class (columns), shape (K, K)."""
    from sklearn.metrics import confusion_matrix as count

    table: NDArray[np.int64] = count(labels, predicted, labels=np.arange(classes))
    return table


def _per_class(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    class_names: Sequence[str],
) -> list[dict[str, Any]]:
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

    classes = len(class_names)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(classes), average=None, zero_division=0
    )
    claims = np.bincount(predicted, minlength=classes)
    rankable = set(rankable_classes(labels, classes))
    rows: list[dict[str, Any]] = []
    for k, name in enumerate(class_names):
        truth, scores = labels == k, probabilities[:, k]
        rows.append(
            {
                "name": str(name),
                "support": int(support[k]),
                "predicted": int(claims[k]),
                "precision": float(precision[k]),
                "recall": float(recall[k]),
                "f1": float(f1[k]),
                "roc_auc": float(roc_auc_score(truth, scores)) if k in rankable else None,
                "average_precision": float(average_precision_score(truth, scores)) if k in rankable else None,
            }
        )
    return rows


def _averages(per_class: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Macro and weighted precision, recall and F1 over the classes that have images."""
    present = [row for row in per_class if row["support"]]
    weights = [row["support"] for row in present]
    return {
        name: {
            "macro": float(np.mean([row[name] for row in present])),
            "weighted": float(np.average([row[name] for row in present], weights=weights)),
        }
        for name in ("precision", "recall", "f1")
    }


def _ranking(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], per_class: list[dict[str, Any]]
) -> dict[str, dict[str, float | None]]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth, scores = one_hot(labels, probabilities.shape[1]).ravel(), probabilities.ravel()
    micro = {
        "roc_auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
    }
    ranked = [row for row in per_class if row["roc_auc"] is not None]
    return {
        name: {
            "macro": float(np.mean([row[name] for row in ranked])) if ranked else None,
            "micro": micro[name],
        }
        for name in micro
    }


def _intervals(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    seed: int,
    resamples: int,
    groups: NDArray[Any] | None,
) -> dict[str, Interval | None]:
    if resamples < 1:
        return {}
    dense = None if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    if dense is not None and dense.shape != labels.shape:
        raise RunError(
            f"groups have shape {dense.shape}, labels {labels.shape}: one group per image is needed"
        )
    return bootstrap_intervals(probabilities, labels, seed=seed, resamples=resamples, groups=dense)


def _bins_as_json(bins: ReliabilityBins) -> list[dict[str, Any]]:
    used = bins.counts > 0
    return [
        {
            "from": float(bins.edges[b]),
            "to": float(bins.edges[b + 1]),
            "images": int(bins.counts[b]),
            "confidence": float(bins.confidence[b]) if used[b] else None,
            "accuracy": float(bins.accuracy[b]) if used[b] else None,
        }
        for b in range(len(bins.counts))
    ]


def _notes(
    per_class: list[dict[str, Any]],
    intervals: dict[str, Interval | None],
    resamples: int,
    groups: NDArray[Any] | None,
) -> list[str]:
    notes = []
    absent = [row["name"] for row in per_class if not row["support"]]
    if absent:
        notes.append(f"No test images of {listed(absent)}: left out of averages over classes.")
    unclaimed = [row["name"] for row in per_class if row["support"] and not row["predicted"]]
    if unclaimed:
        notes.append(f"Never predicted: {listed(unclaimed)}; their precision and F1 count as 0.")
    if len(per_class) - len(absent) == 1:
        notes.append("The test split has a single class: areas under curves over classes do not exist.")
    auc = intervals.get("macro_auc")
    if auc is not None and auc.resamples < resamples:
        notes.append(
            f"The interval of the macro AUC rests on {auc.resamples} resamples, others on {resamples}."
        )
    elif intervals and auc is None and len(per_class) - len(absent) > 1:
        notes.append("Too many images times classes for an interval of the macro AUC.")
    if groups is not None and (count := len(np.unique(groups))) < 20:
        notes.append(f"Only {count} sampled groups in the test split: intervals are rough.")
    return notes
