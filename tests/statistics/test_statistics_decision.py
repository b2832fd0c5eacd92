"""Verdicts of whole studies: looks, stopping, lost runs, and that nothing but the looks' own runs counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convtrials.core.errors import StudyError
from convtrials.statistics.decide import decide
from convtrials.statistics.design import BASELINE, DIVERGED, FAILED, Design, looks_for
from convtrials.statistics.error_rates import information, levels

IMAGES = 2000
SEQUENTIAL = Design(margin=0.005, looks=(3, 5, 7, 10))


def arms(seed, count, seeds=10, gains=(), spread=0.003):
    """Right/wrong answers of some arms; `gains` are added to their accuracy of 0.9."""
    generator = np.random.default_rng(seed)
    easy = generator.normal(size=IMAGES)
    found = []
    for arm in range(count):
        gain = gains[arm] if arm < len(gains) else 0.0
        centre = 1.28 + gain / 0.1755  # the normal density at 1.28, the slope of accuracy
        taste = generator.normal(size=IMAGES)
        level = 2.7 * centre + 2.4 * easy + 0.6 * taste
        luck = generator.normal(0, 2.7 * spread / 0.1755, seeds)
        found.append([(level + one + generator.normal(size=IMAGES) > 0).astype(float) for one in luck])
    return found


def study(seed, gains=(), count=3, **options):
    baseline, *techniques = arms(seed, count + 1, gains=(0.0, *gains), **options)
    return baseline, {f"t{number}": runs for number, runs in enumerate(techniques)}


def test_a_large_effect_is_found_and_none_is_not():
    decision = decide(*study(0, gains=(0.04, -0.04, 0.0)), Design(0.005, (5,)))
    assert [r.verdict for r in decision.results.values()] == ["better", "worse", "inconclusive"]
    assert decision.complete
    assert all(r.final and r.look == 0 and r.seeds == 5 for r in decision.results.values())
    assert decision.results["t0"].p_adjusted < 0.01


def test_swapping_technique_and_baseline_mirrors_the_result():
    one, other = arms(1, 2, gains=(0.0, 0.02))
    there = decide(one, {"t": other}, SEQUENTIAL).results["t"]
    back = decide(other, {"t": one}, SEQUENTIAL).results["t"]
    assert there.verdict == "better"
    assert back.verdict == "worse"
    assert (back.low, back.high, back.seeds) == pytest.approx((-there.high, -there.low, there.seeds))


def test_techniques_stop_each_on_its_own_and_the_baseline_goes_on():
    baseline, techniques = study(2, gains=(0.06, 0.012, 0.0))
    decision = decide(baseline, techniques, SEQUENTIAL)
    seeds = {name: r.seeds for name, r in decision.results.items()}
    assert seeds["t0"] == 3 < max(seeds.values())
    assert decision.needed == {BASELINE: max(seeds.values()), **seeds}


def test_runs_beyond_those_of_a_look_change_nothing():
    baseline, techniques = study(3, gains=(0.06, 0.012, 0.0))
    whole = decide(baseline, techniques, SEQUENTIAL)
    used = {name: runs[: whole.needed[name]] for name, runs in techniques.items()}
    assert decide(baseline[: whole.needed[BASELINE]], used, SEQUENTIAL) == whole


@given(st.integers(0, 10), st.lists(st.integers(0, 10), min_size=3, max_size=3))
@settings(max_examples=25, deadline=None)
def test_only_complete_looks_count_whoever_is_ahead(of_baseline, ended):
    baseline, techniques = STUDY
    so_far = {name: runs[:n] for (name, runs), n in zip(techniques.items(), ended, strict=True)}
    decision = decide(baseline[:of_baseline], so_far, SEQUENTIAL)
    whole = decide(baseline, techniques, SEQUENTIAL)
    for name, result in decision.results.items():
        if result.final:
            assert result == whole.results[name]
        elif result.look is not None:
            # the latest look that all open arms have reached: what they would say with exactly those runs
            n = SEQUENTIAL.looks[result.look]
            exact = {other: runs[:n] for other, runs in techniques.items()}
            assert result == decide(baseline[:n], exact, SEQUENTIAL).results[name]
    assert decision.complete == all(r.final for r in decision.results.values())
    assert decision.needed[BASELINE] == max(decision.needed.values())


STUDY = study(4, gains=(0.06, 0.012, 0.0))


def test_what_is_needed_grows_look_by_look():
    baseline, techniques = STUDY
    asked = []
    runs = {name: 0 for name in (BASELINE, *techniques)}
    while True:
        ended = {name: techniques[name][: runs[name]] for name in techniques}
        decision = decide(baseline[: runs[BASELINE]], ended, SEQUENTIAL)
        if decision.complete:
            break
        asked.append(decision.needed[BASELINE])
        assert any(decision.needed[name] > runs[name] for name in runs)
        runs = decision.needed
    assert asked == list(SEQUENTIAL.looks[: len(asked)])


def test_an_early_look_has_a_wider_interval():
    baseline, techniques = STUDY
    early = decide(baseline[:3], {n: r[:3] for n, r in techniques.items()}, SEQUENTIAL).results["t1"]
    alone = decide(baseline[:3], {n: r[:3] for n, r in techniques.items()}, Design(0.005, (3,))).results["t1"]
    assert not early.final
    assert early.high - early.low > 1.2 * (alone.high - alone.low)


def test_a_single_technique_is_shown_at_the_level_of_its_look():
    baseline, other = arms(5, 2, gains=(0.0, 0.0))
    runs = baseline[:3], {"t": other[:3]}
    early, alone = (decide(*runs, design).results["t"] for design in (SEQUENTIAL, Design(0.005, (3,))))
    assert early.standard_error == alone.standard_error
    smallest = levels(information(SEQUENTIAL.looks), 0.05)[0]
    assert early.high - early.low > alone.high - alone.low
    # at least the level that information in seeds alone would give
    wide = decide(*runs, Design(0.005, (3,), alpha=smallest)).results["t"]
    assert early.high - early.low <= (wide.high - wide.low) * (1 + 1e-9)


def test_more_techniques_widen_the_intervals():
    baseline, *others = arms(6, 9)
    few = decide(baseline, {"a": others[0], "b": others[1]}, Design(0.005, (10,)))
    many = decide(baseline, {f"t{i}": runs for i, runs in enumerate(others)}, Design(0.005, (10,)))
    assert many.results["t0"].p_adjusted > many.results["t0"].p_value
    width = [(r.high - r.low) / r.standard_error for r in (few.results["a"], many.results["t0"])]
    assert width[1] > width[0]


def test_preliminary_answers_need_two_runs_of_both():
    baseline, techniques = STUDY
    decision = decide(
        baseline[:2], {"t0": techniques["t0"][:4], "t1": techniques["t1"][:1]}, Design(0.005, (5,))
    )
    first, second = decision.results.values()
    assert (first.final, first.look, first.seeds) == (False, None, 4)
    assert first.low is not None
    assert (second.verdict, second.final, second.difference) == ("inconclusive", False, None)
    assert not decision.complete
    assert decision.needed == {BASELINE: 5, "t0": 5, "t1": 5}
    nothing = decide([], {"t0": []}, Design(0.005, (5,)))
    assert nothing.results["t0"].reason == "more seeds"


@pytest.mark.parametrize(("lost", "verdict"), [(DIVERGED, "unstable"), (FAILED, "failed")])
def test_a_lost_run_leaves_a_technique_without_a_verdict(lost, verdict):
    baseline, techniques = study(7, gains=(0.05, 0.05, 0.0), seeds=5)
    clean = decide(baseline, {n: techniques[n] for n in ("t1", "t2")}, Design(0.005, (5,)))
    techniques["t0"] = [*techniques["t0"][:3], lost, techniques["t0"][4]]
    decision = decide(baseline, techniques, Design(0.005, (5,)))
    result = decision.results["t0"]
    assert (result.verdict, result.final, result.reason, result.low) == (verdict, True, lost.value, None)
    assert result.difference == pytest.approx(0.05, abs=0.03)  # of the four that finished
    assert decision.complete
    # the others have their verdicts; its spread is not in their pool
    other = decision.results["t1"]
    assert other.verdict == "better"
    assert other.standard_error == clean.results["t1"].standard_error


def test_a_diverged_run_tells_more_than_a_failed_one():
    baseline, techniques = study(8, seeds=5)
    decision = decide(baseline, {"t": [FAILED, DIVERGED, *techniques["t0"][:3]]}, Design(0.005, (5,)))
    assert decision.results["t"].verdict == "unstable"


@pytest.mark.parametrize(("lost", "verdict"), [(DIVERGED, "unstable"), (FAILED, "failed")])
def test_a_lost_run_of_the_baseline_leaves_nobody_a_verdict(lost, verdict):
    baseline, techniques = study(9, gains=(0.05,), seeds=5)
    decision = decide([*baseline[:4], lost], techniques, Design(0.005, (5,)))
    assert decision.complete
    assert {(r.verdict, r.reason) for r in decision.results.values()} == {(verdict, f"baseline {lost.value}")}


def test_a_run_lost_after_a_technique_stopped_changes_nothing_for_it():
    baseline, techniques = study(2, gains=(0.06, 0.012, 0.0))
    techniques["t0"] = [*techniques["t0"][:3], DIVERGED]
    decision = decide([*baseline[:4], DIVERGED], techniques, SEQUENTIAL)
    assert decision.results["t0"].verdict == "better"
    assert decision.results["t1"].reason == "baseline diverged"


def test_a_technique_that_changes_nothing_is_identical():
    baseline, techniques = study(10, seeds=5)
    decision = decide(baseline, {"same": list(baseline), **techniques}, Design(0.005, (5,)))
    same = decision.results["same"]
    assert (same.verdict, same.reason, same.difference) == ("equivalent", "identical", 0.0)
    assert 0 < same.high < 0.005
    assert decision.results["t0"].reason != "identical"


def test_a_saturated_test_set_proves_little():
    right = [np.ones(100)] * 5
    result = decide(right, {"t": list(right)}, Design(0.005, (5,))).results["t"]
    assert (result.verdict, result.reason) == ("inconclusive", "identical")


def test_writers_widen_the_interval():
    baseline, techniques = study(11, seeds=5)
    copied = (
        [np.tile(run, 3) for run in baseline],
        {n: [np.tile(r, 3) for r in runs] for n, runs in techniques.items()},
    )
    known = decide(*copied, Design(0.005, (5,), units=np.tile(np.arange(IMAGES), 3)))
    once = decide(baseline, techniques, Design(0.005, (5,)))
    ignored = decide(*copied, Design(0.005, (5,)))
    for name in techniques:
        assert known.results[name].low == pytest.approx(once.results[name].low)
        assert (
            ignored.results[name].high - ignored.results[name].low
            < known.results[name].high - known.results[name].low
        )


def test_an_unstable_technique_is_told_and_does_not_widen_the_others():
    baseline, techniques = study(12, count=6, seeds=5, spread=0.001)
    wild = [
        np.clip(run + shift, 0, 1)
        for run, shift in zip(techniques["t0"], (-0.2, 0.1, 0, 0.2, -0.1), strict=True)
    ]
    before = decide(baseline, techniques, Design(0.005, (5,)))
    after = decide(baseline, {**techniques, "t0": wild}, Design(0.005, (5,)))
    assert after.results["t0"].own_variance
    assert after.results["t0"].standard_error > 3 * before.results["t0"].standard_error
    assert after.results["t1"].standard_error == pytest.approx(before.results["t1"].standard_error, rel=0.1)


def test_looks():
    assert looks_for(3, 20) == (3, 5, 7, 10, 15, 20)
    assert looks_for(4, 4) == (4,)
    assert looks_for(6, 8) == (6, 7, 8)
    for fewest, most in ((0, 3), (5, 4)):
        with pytest.raises(StudyError, match="min"):
            looks_for(fewest, most)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"margin": 0.0, "looks": (5,)}, "margin"),
        ({"margin": 0.1, "looks": ()}, "looks"),
        ({"margin": 0.1, "looks": (5, 3)}, "looks"),
    ],
)
def test_impossible_designs_are_refused(options, word):
    with pytest.raises(StudyError, match=word):
        Design(**options)


def test_runs_that_do_not_fit_are_refused():
    run = np.ones(50)
    with pytest.raises(StudyError, match="t, run 1"):
        decide([run, run], {"t": [run, np.ones(49)]}, Design(0.005, (2,)))
    with pytest.raises(StudyError, match="finite"):
        decide([run, np.full(50, np.nan)], {"t": [run, run]}, Design(0.005, (2,)))
    with pytest.raises(StudyError, match="two test images"):
        decide([run, run], {"t": [run, run]}, Design(0.005, (2,), units=np.zeros(50, dtype=int)))
