"""Words for intervals, and what is said of one technique at one look."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convtrials.statistics.interval import Comparison
from convtrials.statistics.judge import Stage, judge, judge_identical
from convtrials.statistics.result import beyond_margin, conclusive, verdict_of

MANY = 1e9


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.02, "better"),
        (-0.02, -0.001, "worse"),
        (-0.004, 0.004, "equivalent"),
        (-0.004, 0.006, "inconclusive"),
        (-0.006, 0.004, "inconclusive"),
        (-0.005, 0.004, "inconclusive"),  # the margin itself is not inside
        (0.0, 0.004, "equivalent"),
        (0.0, 0.02, "inconclusive"),
    ],
)
def test_words(low, high, verdict):
    assert verdict_of(low, high, 0.005) == verdict


@pytest.mark.parametrize(
    ("low", "high", "part"),
    [
        (0.006, 0.02, "all"),
        (0.004, 0.02, "part"),
        (0.001, 0.004, "none"),
        (-0.02, -0.006, "all"),
        (-0.02, -0.001, "part"),
    ],
)
def test_beyond_the_margin(low, high, part):
    assert beyond_margin(low, high, 0.005) == part


@given(st.floats(-1, 1), st.floats(1e-6, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_a_narrower_interval_never_loses_a_verdict(difference, half, narrower, margin):
    wide = verdict_of(difference - half, difference + half, margin)
    if wide in ("better", "worse"):
        assert verdict_of(difference - narrower * half, difference + narrower * half, margin) == wide
    if wide == "equivalent":
        assert conclusive(difference, narrower * half, margin)


@given(st.floats(-1, 1), st.floats(1e-6, 1), st.floats(0.01, 1))
def test_words_are_symmetric(difference, half, margin):
    mirrored = {"better": "worse", "worse": "better"}
    there = verdict_of(difference - half, difference + half, margin)
    back = verdict_of(-difference - half, -difference + half, margin)
    assert back == mirrored.get(there, there)


def comparison(difference, seeds_part, images_part, freedom=MANY):
    return Comparison(difference, seeds_part, images_part, freedom, images_part, MANY, seeds_part / 2)


LAST = Stage(look=0, seeds=5, last=5, level=0.01, last_level=0.01, fixed_level=0.01)
FIRST = Stage(look=0, seeds=3, last=20, level=0.0001, last_level=0.009, fixed_level=0.01)


def test_a_call():
    result = judge(comparison(0.02, 1e-6, 1e-6), LAST, 0.005, 1000)
    assert (result.verdict, result.beyond_margin, result.reason, result.final) == (
        "better",
        "all",
        None,
        True,
    )
    assert result.low > 0.005
    assert (result.more_seeds, result.images_needed) == (None, None)


def test_seeds_are_wanting():
    result = judge(comparison(0.01, 4e-5, 1e-7), LAST, 0.005, 1000)
    assert (result.verdict, result.reason) == ("inconclusive", "more seeds")
    assert result.more_seeds > 0
    assert result.images_needed is None


def test_the_test_set_is_the_limit():
    result = judge(comparison(0.01, 1e-6, 4e-5), LAST, 0.005, 1000)
    assert (result.verdict, result.reason, result.more_seeds) == ("inconclusive", "test set", None)
    assert result.images_needed > 1000
    assert result.resolvable > 0.01
    # for these test images it is settled, and that is only said beside
    assert result.fixed_verdict == "better"


def test_the_spread_of_runs_is_the_limit():
    # any number of seeds would settle it, but not a thousand times as many; more images would not either
    result = judge(comparison(1e-4, 1e-3, 1e-10), LAST, 1e-5, 1000)
    assert (result.verdict, result.reason) == ("inconclusive", "spread of runs")
    assert (result.more_seeds, result.images_needed) == (None, None)
    # the test set's own limit is beyond the difference, but a small part of an interval this wide
    assert judge(comparison(0.001, 1e-2, 1e-5), LAST, 0.005, 1000).reason == "spread of runs"
    assert judge(comparison(0.001, 1e-4, 4e-5), LAST, 0.005, 1000).reason == "test set"


parts = st.floats(1e-9, 1e-3)


@given(st.floats(0, 0.03), parts, st.one_of(st.just(0.0), parts), st.floats(2, 200), st.integers(50, 20_000))
def test_the_test_set_is_the_limit_only_where_no_number_of_seeds_would_do(
    difference, seeds_part, images_part, freedom, images
):
    noise = seeds_part / 2
    now = Comparison(difference, seeds_part, images_part, freedom, images_part + noise, images - 1.0, noise)
    result = judge(now, LAST, 0.005, images)
    if result.reason == "test set":
        assert result.resolvable > 0
        assert difference <= result.resolvable
        assert difference + result.resolvable >= 0.005


def test_what_cannot_matter_stops():
    # an ordinary interval lies inside the margin, and the level of the last look is out of reach
    now = comparison(0.0012, 2e-7, 3e-6)
    assert 0.0012 + now.half_width(0.05) < 0.005
    stage = replace(FIRST, last_level=0.005)
    result = judge(now, stage, 0.005, 1000)
    assert (result.verdict, result.reason, result.final) == ("inconclusive", "cannot matter", True)


def test_what_may_still_be_settled_goes_on():
    result = judge(comparison(0.008, 1e-5, 1e-7), FIRST, 0.005, 1000)
    assert (result.verdict, result.final) == ("inconclusive", False)


def test_a_hopeless_technique_stops_with_its_reason():
    result = judge(comparison(0.003, 1e-6, 4e-5), FIRST, 0.005, 1000)
    assert (result.verdict, result.reason, result.final) == ("inconclusive", "test set", True)
    # the same at a preliminary look is not final
    assert not judge(comparison(0.003, 1e-6, 4e-5), replace(FIRST, look=None), 0.005, 1000).final


@pytest.mark.parametrize(("units", "verdict"), [(10_000, "equivalent"), (100, "inconclusive")])
def test_identical_runs_still_say_how_much_could_stay_unseen(units, verdict):
    result = judge_identical(0.0, replace(LAST, level=0.05), 0.005, units)
    assert (result.verdict, result.reason) == (verdict, "identical")
    assert result.high == pytest.approx(3 / units, rel=0.002)  # the rule of three
    assert result.low == -result.high
