"""Several techniques: levels and adjusted p-values, against tables and SciPy's multivariate normal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convtrials.statistics.error_rates import adjusted, any_false_call, shared_correlation, shared_level
from convtrials.statistics.interval import compare
from convtrials.statistics.moments import Moments
from convtrials.statistics.spread import spread_of


@pytest.mark.parametrize(
    ("techniques", "tabled"), [(1, 1.96), (2, 2.21), (5, 2.51), (10, 2.72), (15, 2.83), (20, 2.91)]
)
def test_critical_values_are_dunnetts(techniques, tabled):
    # Dunnett 1964, Biometrics 20, table II: two-sided, 5%, infinite degrees of freedom
    assert -stats.norm.ppf(shared_level(0.05, techniques, 0.5) / 2) == pytest.approx(tabled, abs=0.006)


def test_without_correlation_it_is_sidaks():
    assert shared_level(0.05, 15, 0.0) == pytest.approx(1 - 0.95 ** (1 / 15))


@pytest.mark.parametrize(
    ("techniques", "correlation", "level"), [(3, 0.3, 0.02), (6, 0.45, 0.001), (4, 0.5, 0.2)]
)
def test_the_chance_of_any_false_call_is_that_of_the_multivariate_normal(techniques, correlation, level):
    together = np.full((techniques, techniques), correlation)
    np.fill_diagonal(together, 1)
    edge = np.full(techniques, -stats.norm.ppf(level / 2))
    inside = stats.multivariate_normal.cdf(edge, cov=together, lower_limit=-edge, abseps=2e-6, maxpts=10**5)
    assert any_false_call(level, techniques, correlation) == pytest.approx(1 - inside, abs=2e-5)


def test_a_tiny_p_value_keeps_its_digits():
    assert any_false_call(1e-12, 15, 0.5) == pytest.approx(15e-12, rel=1e-3)


p_values = st.lists(st.floats(0, 1), min_size=1, max_size=15)


@given(p_values, st.sampled_from([0.0, 0.25, 0.5]))
@settings(max_examples=50, deadline=None)
def test_adjusted_p_values_lie_between_the_raw_ones_and_bonferronis(raw, correlation):
    for p, mine in zip(raw, adjusted(raw, correlation), strict=True):
        assert p * (1 - 1e-9) <= mine <= min(1.0, len(raw) * p) * (1 + 1e-9) + 1e-15


@given(p_values, st.sampled_from([0.0, 0.25, 0.5]))
@settings(max_examples=50, deadline=None)
def test_an_adjusted_p_value_is_small_exactly_where_the_interval_leaves_out_zero(raw, correlation):
    level = shared_level(0.05, len(raw), correlation)
    for p, mine in zip(raw, adjusted(raw, correlation), strict=True):
        if abs(p / level - 1) > 1e-6:
            assert (mine <= 0.05) == (p <= level)


def test_equal_arms_have_a_correlation_of_one_half():
    techniques = 4
    arms = techniques + 1
    # every arm: 2 of image variance and 1 of noise a run, seeds apart by 3 a run; 5 runs per arm
    sampling = np.full((arms, arms), 7.0) + np.eye(arms) * (2 + 1 / 5)
    sums = Moments(
        names=tuple("btuvw"),
        seeds=np.full(arms, 5),
        mean=np.zeros(arms),
        between=np.full(arms, 3.0),
        noise=np.ones(arms),
        sampling=sampling,
        identical=np.zeros(arms, dtype=bool),
        images=100,
        units=100,
    )
    spread = spread_of(sums.between, sums.noise, sums.seeds)
    compared = [compare(sums, spread, arm) for arm in range(1, arms)]
    assert compared[0].seeds_variance == pytest.approx(2 * 3 / 5)
    assert compared[0].images_variance == pytest.approx(2 * 2)
    assert shared_correlation(sums, spread, compared) == 0.5


def test_one_odd_technique_lowers_the_correlation_of_all():
    sampling = np.diag([1.0, 1.0, 1.0, 50.0])
    sums = Moments(
        tuple("btuv"),
        np.full(4, 5),
        np.zeros(4),
        np.full(4, 0.1),
        np.full(4, 0.05),
        sampling,
        np.zeros(4, bool),
        9,
        9,
    )
    spread = spread_of(sums.between, sums.noise, sums.seeds)
    compared = [compare(sums, spread, arm) for arm in range(1, 4)]
    # about 1 / sqrt(2 * 51), rounded down to a step
    assert shared_correlation(sums, spread, compared) == pytest.approx(0.05)
