"""Calibration: does a stated probability of 80% come true 80% of the time?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The usual number of equal-width bins for 15,000 images or so.
BINS = 15


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """Confidence against accuracy, in equal-width bins of confidence.

    Attributes
    ----------
    edges : ndarray of float64, shape (B + 1,)
        Bin b holds confidences in ``(edges[b], edges[b + 1]]``.
    counts : ndarray of int64, shape (B,)
        Images in each bin.
    confidence, accuracy : ndarray of float64, shape (B,)
        Means in each bin, NaN where a bin is empty.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def expected_error(self) -> float:
        """The expected calibration error: mean of ``|accuracy - confidence|``, weighted by images."""
        used = self.counts > 0
        gaps = np.abs(self.accuracy[used] - self.confidence[used])
        return float((gaps * self.counts[used]).sum() / self.counts.sum())


def bin_of(confidence: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin of each confidence, shape (N,): bin b holds ``(b / bins, (b + 1) / bins]``.

    A confidence of exactly 0 goes into the first bin.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1).astype(np.int64)


def reliability_bins(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> ReliabilityBins:
    """Compare confidence with accuracy in equal-width bins.

    Parameters
    ----------
    confidence : ndarray of float64, shape (N,)
        Probability of the predicted class, 0 to 1.
    correct : ndarray of bool, shape (N,)
        Whether the predicted class is the true one.
    bins : int
        Number of bins between 0 and 1.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, arXiv 1706.04599, section 2.
    """
    which = bin_of(confidence, bins)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(which, weights=confidence, minlength=bins) / counts
        accuracy = np.bincount(which, weights=correct.astype(np.float64), minlength=bins) / counts
    return ReliabilityBins(np.linspace(0.0, 1.0, bins + 1), counts, mean_confidence, accuracy)


def expected_calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Return the expected calibration error, 0 (honest) to 1 (Guo et al., arXiv 1706.04599, equation 3)."""
    return reliability_bins(confidence, correct, bins).expected_error


def brier_score(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the multi-class Brier score, 0 (perfect) to 2: mean squared distance to the one-hot truth.

    References
    ----------
    Brier: Verification of forecasts expressed in terms of probability, Monthly Weather Review 78 (1950).
    """
    of_truth = probabilities[np.arange(len(labels)), labels]
    return float(np.mean((probabilities**2).sum(axis=1) - 2 * of_truth + 1))
