"""What it would take to know more: against closed forms and simulated continuations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convtrials.statistics.interval import Comparison
from convtrials.statistics.planning import (
    chance_of_verdict,
    images_to_settle,
    resolvable,
    seeds_to_settle,
    with_images,
    with_seeds,
)

Z = stats.norm.ppf(0.975)
MANY = 1e9  # degrees of freedom at which t is normal


def comparison(difference, one_seed, images, seeds=5, freedom=MANY, noise=0.0):
    """V = one_seed / seeds + images; `noise` is the part of `one_seed` that more images reduce."""
    return Comparison(
        difference, one_seed / seeds, images, freedom, images + noise / seeds, MANY, noise / seeds
    )


def test_seeds_to_settle_solves_for_the_interval():
    now = comparison(0.01, one_seed=4e-4, images=0.0)
    exact = Z**2 * 4e-4 / 0.01**2  # Z sqrt(one_seed / n) = difference
    assert exact > 5
    assert seeds_to_settle(now, 5, margin=0.001, level=0.05) == int(np.ceil(exact))


def test_with_image_doubt_it_takes_more_and_then_nothing_helps():
    exact = Z**2 * 4e-4 / (0.01**2 - Z**2 * 1e-5)
    assert seeds_to_settle(comparison(0.01, 4e-4, 1e-5), 5, 0.001, 0.05) == int(np.ceil(exact))
    assert seeds_to_settle(comparison(0.01, 4e-4, 3e-5), 5, 0.001, 0.05) is None
    assert resolvable(comparison(0.01, 4e-4, 3e-5), 0.05) == pytest.approx(Z * 3e-5**0.5)


def test_no_difference_settles_as_equivalent():
    exact = Z**2 * 4e-4 / (0.005 - 0.002) ** 2
    assert seeds_to_settle(comparison(0.002, 4e-4, 0.0), 5, margin=0.005, level=0.05) == int(np.ceil(exact))


def test_few_degrees_of_freedom_grow_with_the_seeds():
    now = comparison(0.01, 4e-4, 0.0, freedom=4)
    n = seeds_to_settle(now, 5, 0.001, 0.05)
    half = [stats.t.ppf(0.975, m - 1) * (4e-4 / m) ** 0.5 for m in (n - 1, n)]
    assert half[0] >= 0.01 > half[1]


def test_images_to_settle_solves_for_the_interval():
    now = comparison(0.01, one_seed=4e-5, images=3e-5, noise=2e-5)
    stays, shrinks = 2e-5 / 5, 2e-5 / 5 + 3e-5
    exact = 1000 * shrinks / (0.01**2 / Z**2 - stays)
    assert images_to_settle(now, 1000, 0.001, 0.05) == pytest.approx(exact, abs=1)
    assert images_to_settle(comparison(0.01, 4e-3, 3e-5), 1000, 0.001, 0.05) is None


def test_more_of_both_scales_the_parts():
    now = comparison(0.01, 4e-4, 3e-5, noise=1e-4, freedom=40)
    seeds, images = with_seeds(now, 5, 20), with_images(now, 1000, 4000)
    assert seeds.variance == pytest.approx(4e-4 / 20 + 3e-5)
    assert seeds.seeds_freedom == pytest.approx(40 * 19 / 4)
    assert images.variance == pytest.approx(3e-4 / 5 + 1e-4 / 20 + 3e-5 / 4)
    assert images.paired_freedom == pytest.approx(4 * MANY)
    assert (seeds.noise_variance, images.noise_variance) == pytest.approx((1e-4 / 20, 1e-4 / 20))
    # s2_D / N is the images' part and the noise of the runs; with more runs the noise goes.
    assert seeds.paired_variance == pytest.approx(3e-5 + 1e-4 / 20)
    assert images.paired_variance == pytest.approx((3e-5 + 1e-4 / 5) / 4)


def test_noise_in_the_pairs_does_not_keep_many_seeds_from_settling():
    # No doubt about images at all, and few of them: all that is in the way is the runs' own noise.
    now = Comparison(0.0, 4e-5, 0.0, 20, 4e-5, 999, 4e-5)
    assert resolvable(now, 0.05) == 0
    n = seeds_to_settle(now, 5, margin=0.005, level=0.05)
    assert n is not None
    assert with_seeds(now, 5, n).half_width(0.05) < 0.005 <= with_seeds(now, 5, n - 1).half_width(0.05)


@pytest.mark.parametrize("difference", [0.0, 0.002, 0.004, 0.007])
@pytest.mark.parametrize("one_seed", [2e-5, 2e-4])
def test_the_chance_of_a_verdict_is_that_of_simulated_continuations(difference, one_seed):
    generator, margin, level, images = np.random.default_rng(0), 0.005, 0.02, 1e-6
    now = comparison(difference, one_seed, images)
    # 5 seeds gave `difference`; the true mean of seeds is spread around it, 15 more seeds are drawn around the truth
    truth = difference + generator.normal(0, (one_seed / 5) ** 0.5, 100_000)
    last = (5 * difference + 15 * generator.normal(truth, (one_seed / 15) ** 0.5)) / 20
    half = stats.norm.ppf(1 - level / 2) * (one_seed / 20 + images) ** 0.5
    share = np.mean((np.abs(last) > half) | (np.abs(last) + half < margin))
    assert chance_of_verdict(now, 5, 20, margin, level) == pytest.approx(share, abs=0.006)


def test_without_spread_the_chance_is_certainty():
    assert chance_of_verdict(comparison(0.01, 0.0, 1e-6), 5, 20, 0.005, 0.05) == 1
    assert chance_of_verdict(comparison(0.001, 0.0, 1e-4), 5, 20, 0.005, 0.05) == 0


variances = st.floats(1e-8, 1e-3)


@given(st.floats(0, 0.02), variances, variances, st.integers(2, 20), st.sampled_from([4, 30, MANY]))
@settings(max_examples=60, deadline=None)
def test_what_is_said_to_settle_settles_and_one_less_does_not(difference, one_seed, images, seeds, freedom):
    now, margin, level = comparison(difference, one_seed, images, seeds, freedom), 0.005, 0.01
    n = seeds_to_settle(now, seeds, margin, level)
    if n is None:
        return

    def settled(n):
        then = with_seeds(now, seeds, n)
        half = stats.t.ppf(1 - level / 2, then.freedom) * then.variance**0.5
        return abs(difference) > half or abs(difference) + half < margin

    assert settled(n)
    assert n == seeds + 1 or not settled(n - 1)
