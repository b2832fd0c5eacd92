"""The interval of one technique: against the formulas written out, against SciPy, and under symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convtrials.statistics.interval import compare
from convtrials.statistics.moments import moments_of
from convtrials.statistics.spread import Spread, spread_of


def runs(generator, seeds, images, accuracy=0.9):
    """Correlated right/wrong answers: some images are easy for all."""
    easy = generator.random(images)
    return [((easy + generator.random(images)) / 2 < accuracy).astype(float) for _ in range(seeds)]


def compared(baseline, technique, units=None):
    sums = moments_of({"baseline": baseline, "technique": technique}, units)
    return compare(sums, spread_of(sums.between, sums.noise, sums.seeds), 1)


def unpooled(baseline, technique):
    sums = moments_of({"baseline": baseline, "technique": technique}, None)
    own = Spread(np.maximum(sums.between, sums.noise), sums.seeds - 1.0, np.ones(2, dtype=bool))
    return compare(sums, own, 1)


def written_out(technique, baseline):
    """The method as its formulas stand in docs/statistics.md, sum by sum, without pooling."""
    images, variance, degrees, residual = len(technique[0]), [], [], []
    for arm in (technique, baseline):
        n = len(arm)
        means = [sum(run) / images for run in arm]
        mean = sum(means) / n
        of_image = [sum(run[i] for run in arm) / n for i in range(images)]
        v = sum(
            (run[i] - of_image[i] - m + mean) ** 2
            for run, m in zip(arm, means, strict=True)
            for i in range(images)
        ) / ((n - 1) * (images - 1))
        s2 = sum((m - mean) ** 2 for m in means) / (n - 1)
        variance.append(max(s2, v / images) / n)
        degrees.append(n - 1)
        residual.append(v / (n * images))
    difference = np.mean(technique, axis=0) - np.mean(baseline, axis=0)
    paired = difference.var(ddof=1) / images
    total = sum(variance) + max(0.0, paired - sum(residual))
    freedom = total**2 / (
        sum(a**2 / d for a, d in zip(variance, degrees, strict=True)) + paired**2 / (images - 1)
    )
    return difference.mean(), total, freedom


@pytest.mark.parametrize(("seeds", "others"), [(5, 5), (3, 7)])
def test_the_interval_is_the_one_of_the_formulas(seeds, others):
    generator = np.random.default_rng(seeds)
    technique, baseline = runs(generator, seeds, 60), runs(generator, others, 60, 0.8)
    now = unpooled(baseline, technique)
    difference, variance, freedom = written_out(technique, baseline)
    assert now.difference == pytest.approx(difference)
    assert now.variance == pytest.approx(variance)
    assert now.freedom == pytest.approx(freedom)
    half = stats.t.ppf(0.975, freedom) * variance**0.5
    assert now.half_width(0.05) == pytest.approx(half)
    assert now.p_value == pytest.approx(2 * stats.t.sf(abs(difference) / variance**0.5, freedom))


def test_without_image_variance_it_is_welchs_test():
    generator = np.random.default_rng(0)
    one, other = generator.normal(0.90, 0.002, 5), generator.normal(0.91, 0.006, 4)
    technique, baseline = ([np.full(50, score) for score in scores] for scores in (one, other))
    now = unpooled(baseline, technique)
    welch = stats.ttest_ind(one, other, equal_var=False)
    low, high = welch.confidence_interval()
    assert now.p_value == pytest.approx(welch.pvalue)
    assert now.difference - now.half_width(0.05) == pytest.approx(low)
    assert now.difference + now.half_width(0.05) == pytest.approx(high)


def test_a_pool_of_equal_arms_is_students_test():
    generator = np.random.default_rng(1)
    scores = generator.normal(0.9, 0.003, (2, 6))
    sums = moments_of({n: [np.full(9, s) for s in row] for n, row in zip("bt", scores, strict=True)}, None)
    common = Spread(np.full(2, sums.between.mean()), np.full(2, 10.0), np.zeros(2, dtype=bool))
    now = compare(sums, common, 1)
    assert now.p_value == pytest.approx(stats.ttest_ind(scores[1], scores[0]).pvalue)


def test_with_the_same_runs_everywhere_images_alone_are_in_doubt():
    generator = np.random.default_rng(2)
    one, other = runs(generator, 1, 400), runs(generator, 1, 400, 0.85)
    now = compared(other * 3, one * 3)
    assert now.seeds_variance == pytest.approx(0, abs=1e-30)
    paired = stats.ttest_rel(one[0], other[0])
    assert now.p_value == pytest.approx(paired.pvalue)


def test_a_group_of_one_image_is_an_image():
    generator = np.random.default_rng(3)
    technique, baseline = runs(generator, 4, 80), runs(generator, 4, 80)
    plain, grouped = compared(baseline, technique), compared(baseline, technique, np.arange(80)[::-1] * 7)
    assert grouped.variance == pytest.approx(plain.variance, rel=1e-12)
    assert grouped.freedom == pytest.approx(plain.freedom, rel=1e-12)


def test_copies_of_images_by_one_writer_tell_nothing_new():
    generator = np.random.default_rng(4)
    technique, baseline = runs(generator, 4, 80), runs(generator, 4, 80)
    fourfold = [[np.tile(run, 4) for run in arm] for arm in (baseline, technique)]
    once = compared(baseline, technique)
    known = compared(*fourfold, units=np.tile(np.arange(80), 4))
    assert known.variance == pytest.approx(once.variance)
    assert known.freedom == pytest.approx(once.freedom)
    assert compared(*fourfold).images_variance < once.images_variance / 3  # what ignoring writers would claim


def test_writers_of_unequal_diligence_are_a_ratio_of_sums():
    generator = np.random.default_rng(5)
    sizes = np.array([1, 9, 3, 5, 14, 2, 6])
    units = np.repeat(np.arange(7), sizes)
    technique, baseline = runs(generator, 1, 40), runs(generator, 1, 40, 0.7)
    now = compared(baseline * 2, technique * 2, units)
    difference = technique[0] - baseline[0]
    of_writer = np.bincount(units, difference) - sizes * difference.mean()
    # the linearised variance of a ratio estimator (Cochran 1977, 6.3)
    assert now.paired_variance == pytest.approx(7 / 6 * (of_writer**2).sum() / 40**2)
    assert now.paired_freedom == 6


cases = st.tuples(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 5), st.integers(20, 60))


@given(cases)
@settings(max_examples=40, deadline=None)
def test_swapping_the_arms_mirrors_the_interval(case):
    seed, n, m, images = case
    generator = np.random.default_rng(seed)
    one, other = runs(generator, n, images), runs(generator, m, images, 0.7)
    there, back = compared(one, other), compared(other, one)
    assert there.difference == pytest.approx(-back.difference, abs=1e-15)
    assert there.variance == pytest.approx(back.variance)
    assert there.seeds_freedom == pytest.approx(back.seeds_freedom)


@given(cases, st.floats(0.001, 1000))
@settings(max_examples=40, deadline=None)
def test_order_of_images_and_seeds_and_the_unit_do_not_matter(case, unit):
    seed, n, m, images = case
    generator = np.random.default_rng(seed)
    one, other = runs(generator, n, images), runs(generator, m, images, 0.7)
    units = generator.integers(0, 12, images)
    before = compared(one, other, units)
    order = generator.permutation(images)
    shuffled = [[unit * run[order] for run in arm[::-1]] for arm in (one, other)]
    after = compared(*shuffled, units=units[order])
    assert after.difference == pytest.approx(unit * before.difference, abs=1e-12 * unit)
    assert after.variance == pytest.approx(unit**2 * before.variance, rel=1e-9)
    assert after.freedom == pytest.approx(before.freedom, rel=1e-9)
