"""Levels of the looks, against the multivariate normal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convtrials.statistics.error_rates import image_share, information, levels, obrien_fleming
from convtrials.statistics.interval import Comparison


def crossing(fractions, edges):
    """Chance that any |Z_k| is beyond its edge, by SciPy's multivariate normal."""
    t = np.array(fractions)
    together = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    inside = stats.multivariate_normal.cdf(edges, cov=together, lower_limit=-edges, abseps=1e-6, maxpts=10**5)
    return 1 - inside


@pytest.mark.parametrize(
    "fractions", [(0.3, 0.5, 0.7, 1.0), (0.56, 0.75, 0.875, 1.0), (0.9, 1.0), (0.05, 0.9, 1.0)]
)
@pytest.mark.parametrize("alpha", [0.05, 0.0047])
def test_every_look_spends_what_it_may(fractions, alpha):
    found = levels(fractions, alpha)
    edges = -stats.norm.ppf(np.array(found) / 2)
    assert found[0] == pytest.approx(obrien_fleming(fractions[0], alpha))
    for look in range(2, len(fractions) + 1):
        spent = crossing(fractions[:look], edges[:look])
        assert spent == pytest.approx(obrien_fleming(fractions[look - 1], alpha), rel=5e-3, abs=3e-5)


@pytest.mark.parametrize("fractions", [(0.3, 0.5, 0.7, 1.0), (0.3, 1.0)])
def test_a_technique_of_several_has_its_share_of_what_each_look_spends_of_the_family(fractions):
    found = levels(fractions, 0.0034, family=0.05)
    edges = -stats.norm.ppf(np.array(found) / 2)
    for look in range(1, len(fractions) + 1):
        spent = crossing(fractions[:look], edges[:look])
        allowed = obrien_fleming(fractions[look - 1], 0.05) * 0.0034 / 0.05
        assert spent == pytest.approx(allowed, rel=5e-3, abs=2e-5)
    alone = levels(fractions, 0.0034)
    assert found[0] > 100 * alone[0]
    assert 0.8 * alone[-1] < found[-1] < alone[-1]


def test_levels_of_a_study_of_3_to_10_seeds():
    assert levels((0.3, 0.5, 0.7, 1.0), 0.05) == pytest.approx((0.00035, 0.0054, 0.0171, 0.0426), rel=0.015)


def test_one_look_has_all_of_alpha():
    assert levels((1.0,), 0.03) == pytest.approx((0.03,))


def test_information_is_the_inverse_variance():
    assert information((3, 5, 10)) == pytest.approx((0.3, 0.5, 1.0))
    share = 0.2  # V(n) in proportion to 0.2 + 1/n
    assert information((5, 10), share) == pytest.approx((0.3 / 0.4, 1.0))


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([(3, 5, 7, 10), (3, 5, 7, 10, 15, 20), (2, 100)]))
@settings(max_examples=20, deadline=None)
def test_levels_lie_between_zero_and_alpha_and_more_image_doubt_frees_early_looks(one, other, looks):
    low, high = sorted((one, other))
    careful, free = (levels(information(looks, share), 0.05) for share in (low, high))
    assert all(0 < level <= 0.05 for level in (*careful, *free))
    assert careful[0] <= free[0] * (1 + 1e-9)
    assert careful[-1] >= free[-1] * (1 - 1e-6)


def comparison(seeds_variance, images_variance, freedom):
    return Comparison(0.0, seeds_variance, images_variance, freedom, images_variance, 999.0, 0.0)


def test_the_share_of_images_is_careful_and_bounded():
    # 3 seeds: V = 3/3 + 2, so truly 2/3; known from 30 degrees of freedom
    share = image_share(comparison(1.0, 2.0, 30.0), 3)
    bound = 3 * 30 / stats.chi2.ppf(0.05, 30)
    assert share <= 2 / bound < share * 2**0.5
    assert image_share(comparison(1.0, 2.0, 2.0), 3) < share
    assert image_share(comparison(1.0, 0.0, 30.0), 3) == 0
    assert image_share(comparison(1.0, 900.0, 30.0), 3) == 1
    assert image_share(comparison(0.0, 1.0, 30.0), 3) == 0
