"""Intervals over new seeds and new test images: of technique minus baseline, and of one recipe's mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from convtrials.statistics.moments import Moments, moments_of
from convtrials.statistics.spread import Spread

#: Variances below this come from rounding alone.
ROUNDING = 1e-20


@dataclass(frozen=True)
class Comparison:
    """One technique against the baseline.

    The variance of `difference` is `seeds_variance + images_variance`.

    Attributes
    ----------
    difference : float
        Technique minus baseline.
    seeds_variance : float
        The part that more seeds reduce, A_T + A_B.
    images_variance : float
        The part that more test units reduce, C.
    seeds_freedom : float
        Degrees of freedom of `seeds_variance`.
    paired_variance, paired_freedom : float
        Variance of the mean paired difference over units, s2_D / N, with G - 1: how well `images_variance` is known.
    noise_variance : float
        The part of `seeds_variance` that more test units reduce as well.
    """

    difference: float
    seeds_variance: float
    images_variance: float
    seeds_freedom: float
    paired_variance: float
    paired_freedom: float
    noise_variance: float

    @property
    def variance(self) -> float:
        """Variance of the difference over new seeds and new test units."""
        return self.seeds_variance + self.images_variance

    @property
    def standard_error(self) -> float:
        """Square root of `variance`."""
        return sqrt(self.variance)

    @property
    def known(self) -> bool:
        """Whether there is any variance to reckon with."""
        return self.variance > ROUNDING

    @property
    def freedom(self) -> float:
        """Degrees of freedom of `variance`, after Satterthwaite 1946."""
        return self.variance**2 / (
            self.seeds_variance**2 / self.seeds_freedom + self.paired_variance**2 / self.paired_freedom
        )

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no difference."""
        return float(2 * stdtr(self.freedom, -abs(self.difference) / self.standard_error))

    def half_width(self, level: float) -> float:
        """Return the half width of the interval that misses with chance `level`."""
        return critical(level, self.freedom) * self.standard_error

    def fixed_half_width(self, level: float) -> float:
        """Return the same for these test units as they are."""
        return critical(level, self.seeds_freedom) * sqrt(self.seeds_variance)


def critical(level: float, freedom: float) -> float:
    """Return the two-sided critical value of Student's t."""
    return float(-stdtrit(freedom, level / 2))


def compare(moments: Moments, spread: Spread, arm: int) -> Comparison:
    """Compare arm number `arm` with the baseline, arm 0."""
    seeds, sampling = moments.seeds, moments.sampling
    technique, baseline = spread.variance[arm] / seeds[arm], spread.variance[0] / seeds[0]
    paired = max(0.0, sampling[arm, arm] + sampling[0, 0] - 2 * sampling[arm, 0])
    noise = moments.noise[arm] / seeds[arm] + moments.noise[0] / seeds[0]
    return Comparison(
        difference=float(moments.mean[arm] - moments.mean[0]),
        seeds_variance=float(technique + baseline),
        images_variance=float(max(0.0, paired - noise)),
        seeds_freedom=_freedom(technique, baseline, spread, arm),
        paired_variance=float(paired),
        paired_freedom=moments.units - 1.0,
        noise_variance=float(min(noise, technique + baseline)),
    )


def _freedom(technique: float, baseline: float, spread: Spread, arm: int) -> float:
    if not (spread.own[arm] or spread.own[0]):
        return float(spread.degrees[0])  # one estimate for both: their sum has its degrees of freedom
    parts = technique**2 / spread.degrees[arm] + baseline**2 / spread.degrees[0]
    return float((technique + baseline) ** 2 / parts) if parts > 0 else float(spread.degrees[arm])


def mean_interval(
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
