"""Receiver operating characteristic and precision-recall curves, one class against the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Points kept of a curve: more than a picture shows, few enough for a file.
CURVE_POINTS = 400


@dataclass(frozen=True, eq=False)
class Curve:
    """A named curve.

    Attributes
    ----------
    name : str
        A class name, ``"micro average"`` or ``"macro average"``.
    x, y : ndarray of float64, shape (P,)
        ROC: false and true positive rate. Precision-recall: recall and precision.
    area : float
        Area under the ROC curve, or average precision.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: float


def roc_of(name: str, truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> Curve:
    """Return the ROC curve of binary `truth` (N,) under `scores` (N,); both kinds must occur."""
    from sklearn.metrics import auc, roc_curve

    false_rate, true_rate, _ = roc_curve(truth, scores)
    return _thinned(Curve(name, false_rate, true_rate, float(auc(false_rate, true_rate))))


def precision_recall_of(name: str, truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> Curve:
    """Return the precision-recall curve of binary `truth` (N,) under `scores` (N,), by rising recall."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth, scores)
    area = float(average_precision_score(truth, scores))
    return _thinned(Curve(name, recall[::-1], precision[::-1], area))


def rankable_classes(labels: NDArray[np.int64], classes: int) -> list[int]:
    """Classes with at least one image in the split and one outside: only these have curves."""
    support = np.bincount(labels, minlength=classes)
    return [int(k) for k in np.flatnonzero((support > 0) & (support < len(labels)))]


def roc_curves(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], class_names: Sequence[str]
) -> list[Curve]:
    """Return the ROC curve of every rankable class, one-vs-rest, in class order."""
    return [
        roc_of(class_names[k], labels == k, probabilities[:, k])
        for k in rankable_classes(labels, len(class_names))
    ]


def precision_recall_curves(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], class_names: Sequence[str]
) -> list[Curve]:
    """Return the precision-recall curve of every rankable class, one-vs-rest, in class order."""
    return [
        precision_recall_of(class_names[k], labels == k, probabilities[:, k])
        for k in rankable_classes(labels, len(class_names))
    ]


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Return (N, K) booleans, true at each image's class."""
    table: NDArray[np.bool_] = labels[:, None] == np.arange(classes)
    return table


def macro_roc(curves: Sequence[Curve]) -> Curve:
    """Average ROC curves over classes at equal false positive rate; the area is the mean area."""
    # Rates near zero are where good classifiers differ, so the grid is dense there.
    grid = np.unique(np.concatenate([[0.0], np.geomspace(1e-5, 1, 300), np.linspace(0, 1, 101)]))
    heights = np.mean([np.interp(grid, curve.x, curve.y) for curve in curves], axis=0)
    heights[0] = 0.0
    return Curve("macro average", grid, heights, float(np.mean([curve.area for curve in curves])))


def _thinned(curve: Curve) -> Curve:
    """Keep about `CURVE_POINTS` points, evenly along the curve's length, both ends included."""
    if len(curve.x) <= CURVE_POINTS:
        return curve
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(curve.x), np.diff(curve.y)))])
    wanted = np.linspace(0, length[-1], CURVE_POINTS)
    kept = np.unique(np.clip(np.searchsorted(length, wanted), 0, len(length) - 1))
    kept = np.union1d(kept, [0, len(length) - 1])
    return Curve(curve.name, curve.x[kept], curve.y[kept], curve.area)
