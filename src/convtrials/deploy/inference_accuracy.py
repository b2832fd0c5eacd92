"""What an engine loses against the reference, on the same images."""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Standard normal quantile of a two-sided 95% interval.
_Z = 1.959964


@dataclass(frozen=True)
class EngineAgreement:
    """How an engine's predictions compare with the reference's.

    Attributes
    ----------
    accuracy : float
        0 to 1.
    lost_points : float
        Reference's accuracy less this one's, in percentage points; negative where the engine happens to do better.
    lost_low, lost_high : float
        A 95% interval of it, paired by images.
    changed : float
        Share of images whose predicted class is another, 0 to 1.
    newly_wrong, newly_right : int
        Images that only the reference, and only the engine, classifies rightly.
    largest_difference : float
        Between probabilities, 0 to 1.
    """

    accuracy: float
    lost_points: float
    lost_low: float
    lost_high: float
    changed: float
    newly_wrong: int
    newly_right: int
    largest_difference: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def compare_predictions(
    reference: NDArray[np.float32], probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> EngineAgreement:
    """Compare probabilities of the same images.

    Parameters
    ----------
    reference, probabilities : ndarray of float32, shape (N, K)
    labels : ndarray of int64, shape (N,)
        N is 1 or more.

    References
    ----------
    Interval: Agresti & Min, Simple improved confidence intervals for comparing matched proportions, Statistics in
    Medicine 24, 2005 (half an image is added to each cell of the paired table). It covers the choice of test images.
    """
    chosen, chosen_by_reference = probabilities.argmax(axis=1), reference.argmax(axis=1)
    right, right_by_reference = chosen == labels, chosen_by_reference == labels
    newly_wrong = int((right_by_reference & ~right).sum())
    newly_right = int((right & ~right_by_reference).sum())
    images = len(labels)
    low, high = _paired_interval(newly_wrong, newly_right, images)
    return EngineAgreement(
        accuracy=float(right.mean()),
        lost_points=100 * (newly_wrong - newly_right) / images,
        lost_low=100 * low,
        lost_high=100 * high,
        changed=float((chosen != chosen_by_reference).mean()),
        newly_wrong=newly_wrong,
        newly_right=newly_right,
        largest_difference=float(np.abs(probabilities - reference).max()),
    )


def _paired_interval(worse: int, better: int, images: int) -> tuple[float, float]:
    """Agresti and Min's interval for a difference of two accuracies on the same images."""
    total = images + 2
    middle = (worse - better) / total
    variance = (worse + better + 1 - (worse - better) ** 2 / total) / total**2
    reach = _Z * sqrt(variance)
    return max(-1.0, middle - reach), min(1.0, middle + reach)
