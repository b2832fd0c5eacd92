"""Which classes are confused, and which images were missed most confidently."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convtrials.evaluation.predictions import Predictions


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that were classified as another.

    Attributes
    ----------
    true, predicted : int
        Class indices, never equal.
    count : int
        Images of class `true` that were predicted as `predicted`.
    rate : float
        `count` as a part of all images of class `true`, 0 to 1.
    """

    true: int
    predicted: int
    count: int
    rate: float


def most_confused_pairs(confusion: NDArray[np.int64], limit: int) -> list[ConfusedPair]:
    """Return the pairs of classes with most mistakes, most first.

    Parameters
    ----------
    confusion : ndarray of int, shape (K, K)
        Rows are true classes, columns predictions.
    limit : int
        How many pairs at most; pairs without a mistake are left out.
    """
    errors = np.array(confusion, dtype=np.int64)
    support = errors.sum(axis=1)
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:limit]
    pairs = []
    for flat in order:
        true, predicted = divmod(int(flat), errors.shape[1])
        count = int(errors[true, predicted])
        if count:
            pairs.append(ConfusedPair(true, predicted, count, count / int(support[true])))
    return pairs


def rows_of_pair(predictions: Predictions, pair: ConfusedPair, limit: int) -> NDArray[np.int64]:
    """Return the rows of `predictions` that make up a pair, most confident first, at most `limit`."""
    rows = np.flatnonzero((predictions.labels == pair.true) & (predictions.predicted == pair.predicted))
    return rows[np.argsort(-predictions.confidence[rows], kind="stable")][:limit]


def worst_mistakes(predictions: Predictions, limit: int) -> NDArray[np.int64]:
    """Return the rows of `predictions` that are wrong, most confident first, at most `limit`."""
    rows = np.flatnonzero(predictions.predicted != predictions.labels)
    return rows[np.argsort(-predictions.confidence[rows], kind="stable")][:limit]
