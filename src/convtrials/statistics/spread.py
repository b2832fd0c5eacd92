"""How much runs of one recipe differ between seeds: pooled over all recipes, except where one visibly differs.

Pooling is worth a lot: with 15 techniques and 5 seeds the pool rests on 64 degrees of freedom where an arm of its own
has 4. It is wrong where recipes differ in stability, so an arm that varies more than the others keeps its own
variance. The levels come from simulation (docs/statistics.md):

- the baseline keeps its own as soon as it looks larger than the pool (`EVERYWHERE_LEVEL`). It is in every comparison,
  so an underestimate there would turn all verdicts at once. The same holds for a technique that is the only one;
- one technique of several keeps its own below `TECHNIQUE_LEVEL`;
- an arm leaves the pool of the others only below `LEAVING_LEVEL`. To take the largest of many equal variances out of
  their pool would make the pool too small.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

#: Levels of the F test of an arm's variance against the pool of the others.
EVERYWHERE_LEVEL = 0.4
TECHNIQUE_LEVEL = 0.05
LEAVING_LEVEL = 0.001

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Variance between seeds of every arm, shape (A,) each; the baseline is arm 0.

    Attributes
    ----------
    variance : ndarray
        Variance of one run's score between seeds.
    degrees : ndarray
        Degrees of freedom behind it.
    own : ndarray of bool
        The arm has its own variance, else the pooled one.
    """

    variance: Numbers
    degrees: Numbers
    own: NDArray[np.bool_]


def spread_of(between: Numbers, noise: Numbers, seeds: NDArray[np.int64]) -> Spread:
    """Pool the variance between seeds over arms; let arms that vary more keep their own.

    Parameters
    ----------
    between, noise : ndarray, shape (A,)
        As in `Moments`. The noise is a floor: three seeds that happen to agree are no proof of stability.
    seeds : ndarray of int64, shape (A,)
        Runs of each arm, at least 2.
    """
    degrees = (seeds - 1).astype(np.float64)
    floored = np.maximum(between, noise)
    pooled = _pool(floored, degrees)
    freedom = degrees[pooled].sum()
    common = max((degrees * between)[pooled].sum(), (degrees * noise)[pooled].sum()) / freedom
    level = np.full(len(seeds), TECHNIQUE_LEVEL if len(seeds) > 2 else EVERYWHERE_LEVEL)
    level[0] = EVERYWHERE_LEVEL
    own = ~pooled | (_surprise(floored, degrees, pooled) < level)
    return Spread(np.where(own, floored, common), np.where(own, degrees, freedom), own)


def _pool(variance: Numbers, degrees: Numbers) -> NDArray[np.bool_]:
    """Return who is in the pool: arms leave one by one, the most surprising first; two always stay."""
    pooled = np.ones(len(variance), dtype=bool)
    while pooled.sum() > 2:
        surprise = np.where(pooled, _surprise(variance, degrees, pooled), 1.0)
        worst = int(np.argmin(surprise))
        if surprise[worst] >= LEAVING_LEVEL:
            break
        pooled[worst] = False
    return pooled


def _surprise(variance: Numbers, degrees: Numbers, pooled: NDArray[np.bool_]) -> Numbers:
    """Return the p-value of each arm's variance against the pool of the others."""
    sums, freedom = np.where(pooled, degrees * variance, 0.0), np.where(pooled, degrees, 0.0)
    others_sum, others_freedom = sums.sum() - sums, freedom.sum() - freedom
    # Where the others do not vary at all, any variance is infinitely larger; no variance is no surprise.
    ratio = np.full(len(variance), np.inf)
    np.divide(variance * others_freedom, others_sum, out=ratio, where=others_sum > 0)
    p_value: Numbers = fdtrc(degrees, others_freedom, np.where(variance > 0, ratio, 0.0))
    return p_value
