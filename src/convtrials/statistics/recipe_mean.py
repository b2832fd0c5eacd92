"""How good one recipe is: its mean score, with an interval over new seeds and new test images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convtrials.statistics.interval import Comparison
from convtrials.statistics.moments import moments_of


def level_interval(
    scores: Sequence[NDArray[np.float64]], alpha: float = 0.05, units: NDArray[np.int64] | None = None
) -> tuple[float, float] | None:
    """Return the ends of the interval of a recipe's mean score.

    The formulas are those of a difference (docs/statistics.md) for one recipe: runs' means over seeds, never less than
    what single images account for, and the mean run's scores over images. It holds for this recipe alone, not for
    several together.

    Parameters
    ----------
    scores : sequence of ndarray, shape (N,) each
        A score of every test image, a run each.
    alpha : float
        Chance that the interval misses.
    units : ndarray of int64, shape (N,), or None
        The sampled group of each image.

    Returns
    -------
    tuple of float, or None
        Low and high, in the scores' unit, not cut at 0 and 1. None for fewer than two runs or units, or scores that do
        not vary at all.
    """
    if len(scores) < 2 or len(scores[0]) < 2 or (units is not None and len(np.unique(units)) < 2):
        return None
    sums = moments_of({"": scores}, units)
    seeds, noise = int(sums.seeds[0]), float(sums.noise[0])
    sampling = float(sums.sampling[0, 0])
    mean = Comparison(
        difference=float(sums.mean[0]),  # from nothing
        seeds_variance=max(float(sums.between[0]), noise) / seeds,
        images_variance=max(0.0, sampling - noise / seeds),
        seeds_freedom=seeds - 1.0,
        paired_variance=sampling,
        paired_freedom=sums.units - 1.0,
        noise_variance=noise / seeds,
    )
    if not mean.known:
        return None
    half = mean.half_width(alpha)
    return mean.difference - half, mean.difference + half
