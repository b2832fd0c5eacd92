"""A small calibration: simulated studies with known truth. ``make calibrate`` is the large one."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from benchmarks.calibration.simulated_studies import World, simulate
from benchmarks.calibration.summed_runs import SummedRuns
from convtrials.statistics.decide import decide, replay
from convtrials.statistics.design import Design
from convtrials.statistics.error_rates import shared_level

STUDIES = 160
TECHNIQUES = 4


def judged(world, design, images=1500, effects=(0.0,) * TECHNIQUES, known=True):
    """Verdicts of simulated studies, with the truth."""
    for number in range(STUDIES):
        generator = np.random.default_rng([number, images])
        study = simulate(world, np.array(effects), design.looks[-1], images, generator)
        decision = replay(SummedRuns(study, images, known), design)
        yield list(decision.results.values()), study.truth[1:] - study.truth[0]


def two_errors(rate):
    return 2 * (rate * (1 - rate) / STUDIES) ** 0.5


@pytest.mark.parametrize("loss", [False, True])
def test_truth_is_what_many_seeds_and_images_show(loss):
    world = World(loss=loss, pairing=0.5, seed_sd=0.004)
    generator = np.random.default_rng(0)
    effects = np.array([0.0, 0.02, -0.03])
    drawn = np.array(
        [
            [study.scores.mean(axis=(1, 2)), study.truth]
            for study in (simulate(world, effects, 5, 2000, generator) for _ in range(60))
        ]
    )
    mean, truth = drawn.mean(axis=0)
    error = drawn[:, 0].std(axis=0, ddof=1) / 60**0.5
    assert np.all(np.abs(mean - truth) < 3.5 * error)
    assert error.max() < 0.002 * (5 if loss else 1)


def test_simulated_runs_disagree_as_real_ones_do():
    world = World()
    study = simulate(world, np.zeros(1), 6, 20_000, np.random.default_rng(1))
    same = np.mean([study.scores[0, a] != study.scores[0, b] for a in range(6) for b in range(a)])
    other = np.mean([study.scores[0, a] != study.scores[1, b] for a in range(6) for b in range(6)])
    assert 0.04 < world.disagreement() < 0.05
    assert same == pytest.approx(world.disagreement(), abs=0.003)
    assert other == pytest.approx(world.disagreement(same_recipe=False), abs=0.004)


@pytest.mark.parametrize("world", [World(), World(loss=True), World(writer_share=0.2, images_a_writer=20)])
def test_sums_decide_as_scores_do(world):
    study = simulate(world, np.array([0.0, 0.01, 0.03]), 10, 1500, np.random.default_rng(2))
    design = Design(0.005, (3, 5, 7, 10), units=study.writers)
    baseline, *techniques = study.scores.astype(np.float64)
    whole = decide(list(baseline), {f"technique {i}": list(t) for i, t in enumerate(techniques, 1)}, design)
    summed = replay(SummedRuns(study, 1500), design)
    for name, result in whole.results.items():
        for field in fields(result):
            mine, theirs = getattr(summed.results[name], field.name), getattr(result, field.name)
            assert mine == (
                pytest.approx(theirs, rel=1e-6, abs=1e-9) if isinstance(theirs, float) else theirs
            )


@pytest.mark.parametrize("design", [Design(0.005, (5,)), Design(0.005, (3, 5, 7, 10))])
def test_false_calls_are_rare_and_intervals_hold(design):
    false, missed = 0, 0
    for results, truth in judged(World(), design):
        false += any(r.verdict in ("better", "worse") for r in results)
        missed += any(not r.low <= t <= r.high for r, t in zip(results, truth, strict=True))
    assert false / STUDIES <= 0.05 + two_errors(0.05)
    assert missed / STUDIES <= 0.05 + two_errors(0.05)


def test_without_the_image_part_intervals_would_not_hold():
    fixed, whole = 0, 0
    for results, truth in judged(World(), Design(0.005, (10,))):
        pairs = list(zip(results, truth, strict=True))
        fixed += any(not r.fixed_low <= t <= r.fixed_high for r, t in pairs)
        whole += any(not r.low <= t <= r.high for r, t in pairs)
    assert fixed / STUDIES > 0.15  # the interval for this fixed test set makes no such promise
    assert whole / STUDIES <= 0.05 + two_errors(0.05)


def test_writers_must_be_known():
    world = World(writer_share=0.3, images_a_writer=25)
    missed = {}
    for known in (True, False):
        missed[known] = np.mean(
            [
                any(not r.low <= t <= r.high for r, t in zip(results, truth, strict=True))
                for results, truth in judged(world, Design(0.005, (5,)), images=3000, known=known)
            ]
        )
    assert missed[True] <= 0.05 + two_errors(0.05)
    assert missed[False] > 0.10


def test_effects_at_the_margin_are_not_called_equivalent():
    design = Design(0.005, (3, 5, 7, 10))
    false = equivalent = 0
    for results, _ in judged(World(seed_sd=0.001, taste_sd=0.3), design, images=6000, effects=(0.005, 0.0)):
        false += results[0].verdict == "equivalent"
        equivalent += results[1].verdict == "equivalent"
    assert false / STUDIES <= 0.05 + two_errors(0.05)
    assert equivalent / STUDIES > 0.5


def test_an_unstable_baseline_is_not_taken_for_five_techniques():
    false = sum(
        any(r.verdict in ("better", "worse") for r in results)
        for results, _ in judged(World(unstable=0), Design(0.005, (5,)), images=4000)
    )
    assert false / STUDIES <= 0.05 + two_errors(0.05)


def test_stopping_saves_runs_and_finds_effects():
    design = Design(0.005, (3, 5, 7, 10, 15, 20))
    found, seeds = [], []
    for results, _ in judged(World(), design, images=3000, effects=(0.02, 0.0)):
        found.append(results[0].verdict == "better")
        seeds.append([r.seeds for r in results])
    assert np.mean(found) > 0.9
    assert np.mean(seeds, axis=0)[0] < 14
    assert np.mean(seeds, axis=0)[1] < 14


def test_the_smallest_resolvable_difference_is_that_of_the_world():
    world, images = World(), 3000
    # images on which recipes disagree beyond what seeds of one recipe do
    truth = (world.disagreement(same_recipe=False) - world.disagreement()) / images
    level = shared_level(0.05, TECHNIQUES, 0.5)
    found = [r.resolvable for results, _ in judged(world, Design(0.005, (5,)), images) for r in results]
    assert np.median(found) == pytest.approx(-stats.norm.ppf(level / 2) * truth**0.5, rel=0.04)


def test_the_seeds_that_are_said_to_settle_it_do_so_more_often_than_not():
    settled = []
    for number in range(STUDIES):
        generator = np.random.default_rng([number, 9])
        runs = SummedRuns(simulate(World(), np.array([0.0075, 0.01, 0.005]), 20, 3000, generator), 3000)
        for name, result in replay(runs, Design(0.005, (3,))).results.items():
            if result.more_seeds is not None and result.more_seeds <= 17:
                then = replay(runs, Design(0.005, (3 + result.more_seeds,))).results[name]
                settled.append(then.verdict != "inconclusive")
    assert len(settled) > 100
    assert 0.5 < np.mean(settled) < 0.75
