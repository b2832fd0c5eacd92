"""Resampling test images: draws with replacement, as counts, and intervals made of what they give.

A resample is a column of counts: how often each image was drawn. A statistic is a function of such weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Weights = NDArray[np.float64]
Statistic = Callable[[Weights], NDArray[np.float64]]


@dataclass(frozen=True)
class Interval:
    """A 95% interval and the number of resamples behind it."""

    low: float
    high: float
    resamples: int


def resample_counts(
    generator: np.random.Generator, images: int, resamples: int, groups: NDArray[np.int64] | None = None
) -> Weights:
    """Draw resamples; say how often each image is in each.

    Parameters
    ----------
    generator : numpy.random.Generator
        Where the draws come from.
    images, resamples : int
        N and R.
    groups : ndarray of int64, shape (N,), or None
        Group of each image, ``0`` to ``G - 1``; whole groups are drawn where given.

    Returns
    -------
    ndarray of float64, shape (N, R)
        Columns sum to N where there are no groups.
    """
    units = images if groups is None else int(groups.max()) + 1
    drawn = generator.integers(0, units, size=(resamples, units))
    drawn += units * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=units * resamples).reshape(resamples, units)
    of_images = counts if groups is None else counts[:, groups]
    return np.ascontiguousarray(of_images.T, dtype=np.float64)


def percentile_interval(values: NDArray[np.float64]) -> Interval:
    """Return the 2.5th and 97.5th percentile of resampled `values`, shape (R,)."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high), len(values))


def indicator(rows: NDArray[np.int64], count: int, values: NDArray[np.float64] | None = None) -> csr_matrix:
    """Return a sparse matrix that sums image values by row.

    Parameters
    ----------
    rows : ndarray of int64, shape (N,)
        The row of each image.
    count : int
        Number of rows.
    values : ndarray of float64, shape (N,), or None
        What is summed; None counts images.

    Returns
    -------
    csr_matrix, shape (count, N)
    """
    images = len(rows)
    data = np.ones(images) if values is None else values
    return csr_matrix((data, (rows, np.arange(images))), shape=(count, images))
