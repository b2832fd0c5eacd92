"""Several techniques against one baseline: what each must prove so that any false call stays rare.

After Dunnett (1955): the differences share the baseline's runs, so they are correlated, and the intervals need not be
as wide as Bonferroni's. One correlation stands for all pairs: the smallest estimated one, and never more than one half,
which is what equally uncertain arms give. So it errs to the safe side.
"""

from functools import lru_cache
from math import floor, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from convtrials.statistics.interval import Comparison
from convtrials.statistics.moments import Moments
from convtrials.statistics.spread import Spread

#: Correlations are rounded down to multiples of this.
STEP = 0.05

#: The correlation of techniques that are as uncertain as the baseline.
EQUAL_ARMS = 0.5


def shared_correlation(moments: Moments, spread: Spread, compared: list[Comparison]) -> float:
    """Return the correlation to reckon with between the differences of techniques, 0 to 0.5.

    Parameters
    ----------
    moments, spread : Moments, Spread
        Of the baseline and K techniques.
    compared : list of Comparison
        The K techniques, in order.
    """
    if len(compared) < 2 or not all(c.known for c in compared):
        return 0.0
    sampling = moments.sampling
    covariance = sampling[1:, 1:] - sampling[1:, :1] - sampling[:1, 1:] + sampling[0, 0]
    # Of the baseline's doubt over seeds, noise is in both terms.
    covariance = covariance + (spread.variance[0] - moments.noise[0]) / moments.seeds[0]
    errors = np.array([c.standard_error for c in compared])
    correlation = covariance / np.outer(errors, errors)
    smallest = float(correlation[np.triu_indices(len(compared), 1)].min())
    return min(EQUAL_ARMS, max(0.0, floor(smallest / STEP) * STEP))


def any_false_call(level: float, techniques: int, correlation: float) -> float:
    """Return the chance that any of some techniques without effect has a p-value below `level`.

    Their test statistics are normal with one common correlation.
    """
    if techniques == 1 or level >= 1:
        return level
    nodes, weights = _nodes()
    shared, own = sqrt(correlation) * nodes, sqrt(1 - correlation)
    edge = -ndtri(level / 2)
    beyond = np.minimum(ndtr((shared - edge) / own) + ndtr((-edge - shared) / own), 1 - 1e-15)
    # 1 - (1 - beyond)**K, without losing the digits of small chances
    return max(level, float(np.sum(weights * -np.expm1(techniques * np.log1p(-beyond)))))


@lru_cache(maxsize=256)
def shared_level(alpha: float, techniques: int, correlation: float) -> float:
    """Return the level for each technique at which the chance of any false call is `alpha`.

    Examples
    --------
    >>> shared_level(0.05, 1, 0.5)
    0.05
    >>> round(shared_level(0.05, 15, 0.5), 5), round(0.05 / 15, 5)
    (0.00467, 0.00333)
    """
    if techniques <= 1:
        return alpha
    return float(
        brentq(lambda x: any_false_call(x, techniques, correlation) - alpha, alpha / techniques / 2, alpha)
    )


def adjusted(p_values: list[float], correlation: float) -> list[float]:
    """Return p-values adjusted for the number of techniques, in the order given.

    In one step, with Dunnett's joint distribution (1955): below alpha exactly where the simultaneous interval leaves
    out 0. Step-down values (Holm 1979) would be smaller, and would contradict the interval beside them.
    """
    return [min(1.0, any_false_call(p, len(p_values), correlation)) for p in p_values]


@lru_cache(maxsize=1)
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    return nodes, weights / weights.sum()
