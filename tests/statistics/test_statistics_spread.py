"""Pooling the spread between seeds, and leaving out those that differ."""

import numpy as np
import pytest
from scipy import stats

from convtrials.statistics.spread import EVERYWHERE_LEVEL, TECHNIQUE_LEVEL, spread_of


def spread(between, seeds=5, noise=0.0):
    between = np.array(between, dtype=float)
    return spread_of(between, np.full(len(between), noise), np.full(len(between), seeds))


def test_like_arms_share_one_variance_with_all_degrees_of_freedom():
    found = spread([1.0, 1.1, 0.9, 1.0])
    assert not found.own.any()
    assert found.variance == pytest.approx(1.0)
    assert found.degrees == pytest.approx(16)


def test_the_pool_weighs_arms_by_their_degrees_of_freedom():
    found = spread_of(np.array([1.0, 1.3, 0.7]), np.zeros(3), np.array([9, 5, 2]))
    assert found.variance == pytest.approx((8 * 1.0 + 4 * 1.3 + 1 * 0.7) / 13)


@pytest.mark.parametrize("arm", [0, 1])
def test_a_single_technique_and_its_baseline_keep_the_larger_of_own_and_pool(arm):
    between = np.array([1.0, 4.0])
    between = between if arm else between[::-1]
    found = spread(between)
    assert found.own.tolist() == [arm == 0, arm == 1]
    assert found.variance[arm] == 4
    assert found.degrees[arm] == 4
    assert found.variance[1 - arm] == pytest.approx(2.5)
    assert found.degrees[1 - arm] == 8


def test_an_unstable_technique_keeps_its_own_and_leaves_the_pool_alone():
    found = spread([1.0, 30.0, 1.0, 1.0, 1.0, 1.0])
    assert found.own.tolist() == [False, True, False, False, False, False]
    assert found.variance == pytest.approx([1, 30, 1, 1, 1, 1])
    assert found.degrees == pytest.approx([20, 4, 20, 20, 20, 20])


def test_a_suspicious_technique_keeps_its_own_but_stays_in_the_pool():
    f = stats.f.ppf(1 - TECHNIQUE_LEVEL / 2, 4, 20)
    found = spread([1.0, f, 1.0, 1.0, 1.0, 1.0])
    assert found.own.tolist() == [False, True, False, False, False, False]
    assert found.variance[0] == pytest.approx((5 + f) / 6)


@pytest.mark.parametrize(("factor", "own"), [(0.5, True), (1.5, False)])
def test_the_baseline_keeps_its_own_sooner(factor, own):
    level = EVERYWHERE_LEVEL * factor
    f = stats.f.ppf(1 - level, 4, 20)
    assert spread([f, 1.0, 1.0, 1.0, 1.0, 1.0]).own[0] == own
    assert not spread([1.0, f, 1.0, 1.0, 1.0, 1.0]).own[1]


def test_two_unstable_arms_do_not_hide_each_other():
    found = spread([1.0, 400.0, 500.0, 1.0, 1.0, 1.0, 1.0])
    assert found.own.tolist() == [False, True, True, False, False, False, False]
    assert found.variance[0] == pytest.approx(1)


def test_seeds_that_happen_to_agree_are_no_proof_of_stability():
    found = spread([0.1, 0.2, 0.1], noise=1.0)
    assert found.variance == pytest.approx(1.0)
    assert spread([0.1, 0.2], noise=1.0).variance == pytest.approx(1.0)


def test_arms_without_any_spread_are_pooled_at_zero():
    found = spread([0.0, 0.0, 0.0])
    assert found.variance == pytest.approx(0)
    assert spread([0.0, 2.0, 0.0, 0.0]).own.tolist() == [False, True, False, False]
