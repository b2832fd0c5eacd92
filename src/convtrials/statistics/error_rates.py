"""Error rates of a whole study: several techniques against one baseline, and several looks at the results.

Techniques. After Dunnett (1955): the differences share the baseline's runs, so they are correlated, and the intervals
need not be as wide as Bonferroni's. One correlation stands for all pairs: the smallest estimated one, and never more
than one half, which is what equally uncertain arms give. So it errs to the safe side.

Looks, group-sequentially. An error-spending function says how much of alpha may be used up by a look (Lan and DeMets
1983); the level of the look follows from the joint normal distribution of the estimates at all looks up to it, by the
recursion of Armitage, McPherson and Rowe (1969). Information is the inverse of the variance of the difference. It
does not grow with the number of seeds alone, because the test images stay the same: where images carry much of the
doubt, the first looks already hold most of what there is to know and may use more of alpha.

With several techniques the error of the whole family is spent over the looks, and each technique has its share of
what a look may use. To spend each technique's own small error that way instead would leave next to nothing for early
looks: with 22 techniques 0.00003 of it at 3 of 10 seeds, where one technique has 0.007.
"""

from functools import lru_cache
from math import floor, log2, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, ndtri

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
    out 0. Step-down values (Holm 1979) would be smaller, and would contradict the interval shown with them.
    """
    return [min(1.0, any_false_call(p, len(p_values), correlation)) for p in p_values]


@lru_cache(maxsize=1)
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    return nodes, weights / weights.sum()


#: Nodes of the quadrature over the region in which a technique stays open.
NODES = 151

#: The smallest step of information that the quadrature resolves; smaller ones are taken as that, to the safe side.
SMALLEST_STEP = 0.003

#: An early look knows the variance between seeds from few seeds: this is the chance that it is above the bound used.
SPREAD_RISK = 0.05


def obrien_fleming(fraction: float, alpha: float) -> float:
    """Return how much of alpha may be spent at an information fraction: very little early, all at 1."""
    return float(2 * ndtr(ndtri(alpha / 2) / sqrt(fraction)))


def image_share(first: Comparison, seeds: int) -> float:
    """Return the variance of a difference that is due to test images, over that due to one seed per arm.

    A careful value, from the first look: against an upper bound of the variance between seeds, rounded down to a power
    of the square root of two, at most 1.
    """
    of_one_seed = first.seeds_variance * seeds
    if of_one_seed <= 0:
        return 0.0
    bound = of_one_seed * first.seeds_freedom / float(chdtri(first.seeds_freedom, 1 - SPREAD_RISK))
    share = first.images_variance / bound
    return 0.0 if share < 2**-7 else float(min(1.0, 2 ** (floor(2 * log2(share)) / 2)))


def information(looks: tuple[int, ...], share: float = 0.0) -> tuple[float, ...]:
    """Return the information fraction at each look, V(n_max) / V(n).

    Parameters
    ----------
    looks : tuple of int
        Seeds per arm.
    share : float
        As from `image_share`; 0: information grows as the number of seeds.
    """
    return tuple((share + 1 / looks[-1]) / (share + 1 / n) for n in looks)


@lru_cache(maxsize=4096)
def levels(fractions: tuple[float, ...], alpha: float, family: float | None = None) -> tuple[float, ...]:
    """Return the two-sided nominal level of each look, for one technique.

    Parameters
    ----------
    fractions : tuple of float
        Information fraction at each look, ascending, the last 1.
    alpha : float
        Two-sided error of the technique over all looks.
    family : float, optional
        Error of all techniques together: decides which part of `alpha` each look may use. By default `alpha`, as for a
        single technique.

    Examples
    --------
    >>> [round(level, 5) for level in levels((0.3, 0.5, 0.7, 1.0), 0.05)]
    [0.00035, 0.00544, 0.0171, 0.04259]
    >>> [round(level, 5) for level in levels((0.3, 0.5, 0.7, 1.0), 0.005, family=0.05)]
    [3e-05, 0.00054, 0.00162, 0.00391]
    """
    family = alpha if family is None else family
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    found: list[float] = []
    # `density` holds the weights of a quadrature over the Brownian path at the last look, while never across an edge.
    place, density, spent, reached = np.zeros(1), np.ones(1), 0.0, 0.0
    for fraction in fractions:
        step = sqrt(max(fraction - reached, SMALLEST_STEP))
        target = obrien_fleming(fraction, family) * alpha / family
        edge = _edge(place, density, step, max(target - spent, 1e-15))
        found.append(float(2 * ndtr(-edge / sqrt(fraction))))
        new = edge * nodes
        moved = np.exp(-(((new[:, None] - place) / step) ** 2) / 2) / (step * sqrt(2 * np.pi))
        place, density = new, (moved @ density) * edge * weights
        spent, reached = target, fraction
    return tuple(found)


def _edge(place: np.ndarray, density: np.ndarray, step: float, allowed: float) -> float:
    """Return the edge that a path from `density` crosses, on either side, with chance `allowed` in its next step."""

    def excess(edge: float) -> float:
        return float(density @ (ndtr((place - edge) / step) + ndtr((-place - edge) / step))) - allowed

    return float(brentq(excess, 0.0, 12.0, xtol=1e-10))
