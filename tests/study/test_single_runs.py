"""What one run each would have said: counted against pairs written out by hand, and properties of any scores."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convtrials.study.results.single_runs import SingleRuns, compare_single_runs, single_runs_sentence

scores = st.lists(st.integers(0, 1000).map(lambda hits: hits / 1000), min_size=1, max_size=6)
verdicts = st.sampled_from(["better", "worse", "equivalent", "inconclusive", "unstable", ""])


def test_pairs_are_counted_one_by_one() -> None:
    # Differences: +2, +1, 0 / 0, -1, -2 / +4, +3, +2 points.
    technique, baseline = [0.92, 0.90, 0.94], [0.90, 0.91, 0.92]
    found = compare_single_runs(technique, baseline, verdict="better", margin=0.015)
    assert found is not None
    assert found.largest == pytest.approx(0.04)
    counts = SingleRuns(pairs=9, better=5, worse=2, equal=2, beyond_margin=5, largest=found.largest, wrong=2)
    assert found == counts
    worse = compare_single_runs(technique, baseline, verdict="worse", margin=0.015)
    assert worse is not None
    assert worse.wrong == 5
    equivalent = compare_single_runs(technique, baseline, verdict="equivalent", margin=0.015)
    assert equivalent is not None
    assert equivalent.wrong == 5


def test_a_pair_that_differs_by_just_the_margin_is_within_it() -> None:
    found = compare_single_runs([0.91], [0.90], verdict="equivalent", margin=0.01)
    assert found is not None
    assert (found.beyond_margin, found.wrong) == (0, 0)


def test_the_baseline_under_another_name_never_has_a_winner() -> None:
    for verdict in ("better", "worse", "inconclusive", ""):
        found = compare_single_runs([0.93, 0.90], [0.90], verdict=verdict, margin=0.01, same_recipe=True)
        assert found is not None
        assert found.wrong == 1


def test_no_run_no_pairs() -> None:
    assert compare_single_runs([], [0.9], verdict="better", margin=0.01) is None
    assert compare_single_runs([0.9], [], verdict="better", margin=0.01) is None


@given(scores, scores, verdicts, st.sampled_from([0.0005, 0.01, 0.3]))
def test_any_scores(technique: list[float], baseline: list[float], verdict: str, margin: float) -> None:
    found = compare_single_runs(technique, baseline, verdict=verdict, margin=margin)
    assert found is not None
    gaps = [round(1000 * (one - other)) for one, other in itertools.product(technique, baseline)]
    assert found.pairs == len(gaps) == found.better + found.worse + found.equal
    assert found.better == sum(gap > 0 for gap in gaps)
    assert found.worse == sum(gap < 0 for gap in gaps)
    assert found.beyond_margin == sum(abs(gap) > 1000 * margin + 1e-6 for gap in gaps)
    assert (found.wrong is None) == (verdict not in ("better", "worse", "equivalent"))
    mirrored = compare_single_runs(baseline, technique, verdict=verdict, margin=margin)
    assert mirrored is not None
    assert (mirrored.better, mirrored.worse) == (found.worse, found.better)


def test_the_sentence_counts_techniques_whose_answer_is_known() -> None:
    found = [
        compare_single_runs([0.92, 0.90], [0.91], verdict=verdict, margin=0.005)
        for verdict in ("better", "inconclusive")
    ]
    known = [one for one in found if one is not None]
    assert single_runs_sentence(known[:1], "0.5 points") == (
        "With one run of each, 1 of 2 possible comparisons would have misled: the wrong one wins, or one wins by more "
        "than 0.5 points where there is nothing to win."
    )
    assert "1 of 2 possible comparisons would have misled (techniques without a clear answer left out)" in (
        single_runs_sentence(known, "0.5 points")
    )
    assert single_runs_sentence(known[1:], "0.5 points") == ""
    right = compare_single_runs([0.92, 0.93], [0.91], verdict="better", margin=0.005)
    assert right is not None
    assert single_runs_sentence([right], "0.5 points") == (
        "With one run of each, none of the 2 possible comparisons would have misled."
    )
