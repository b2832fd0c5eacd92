"""The interval of one recipe's mean: against formulas written out, and by simulation with known truth."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.calibration.simulated_studies import World, simulate
from convtrials.statistics.interval import mean_interval

STUDIES = 300


def test_it_is_what_the_formulas_say() -> None:
    generator = np.random.default_rng(0)
    scores = (generator.random((4, 500)) < 0.9).astype(np.float64)
    means, mean_image = scores.mean(axis=1), scores.mean(axis=0)
    seeds, images = scores.shape
    rest = scores - mean_image - means[:, None] + means.mean()
    noise = (rest**2).sum() / ((seeds - 1) * (images - 1)) / images
    over_seeds = max(means.var(ddof=1), noise) / seeds
    sampling = mean_image.var(ddof=1) / images
    variance = over_seeds + max(0.0, sampling - noise / seeds)
    freedom = variance**2 / (over_seeds**2 / (seeds - 1) + sampling**2 / (images - 1))
    half = stats.t.ppf(0.975, freedom) * variance**0.5
    assert mean_interval(list(scores)) == pytest.approx((means.mean() - half, means.mean() + half), rel=1e-9)


@pytest.mark.parametrize(
    "world", [World(), World(seed_sd=0.004), World(writer_share=0.2, images_a_writer=20)]
)
@pytest.mark.parametrize("seeds", [3, 10])
def test_it_holds(world: World, seeds: int) -> None:
    held = 0
    for number in range(STUDIES):
        study = simulate(world, np.zeros(0), seeds, 1500, np.random.default_rng([number, seeds]))
        found = mean_interval(list(study.scores[0].astype(np.float64)), units=study.writers)
        assert found is not None
        held += found[0] <= study.truth[0] <= found[1]
    assert held / STUDIES >= 0.95 - 2 * (0.95 * 0.05 / STUDIES) ** 0.5


def test_what_cannot_be_known_is_none() -> None:
    assert mean_interval([np.ones(5)]) is None
    assert mean_interval([np.ones(5), np.ones(5)]) is None
    assert mean_interval([np.array([0.0, 1.0])] * 2, units=np.zeros(2, dtype=np.int64)) is None
