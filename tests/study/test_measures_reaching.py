from statistics import mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from study_runs import entries_of, history_of, write_ended_run

from convtrials.core.errors import StudyError
from convtrials.study.results.time_to_baseline import (
    baseline_target,
    images_to_baseline,
    mean_curve,
    probability_better,
    spent_to_baseline,
    spent_to_reach,
)
from convtrials.training.run_directory import Run

CURVE = [0.2, 0.6, 0.4, 0.8]
STEPS = [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("target", "steps"),
    [
        (0.1, 10),  # below the first validation: the first epoch counts whole
        (0.2, 10),
        (0.3, 12.5),  # a quarter of the way from 0.2 to 0.6
        (0.6, 20),
        (0.7, 37.5),  # the fall to 0.4 is no progress; three quarters of the way from there to 0.8
        (0.8, 40),
        (0.81, None),
    ],
)
def test_what_is_spent_until_an_accuracy_is_first_reached(target, steps):
    assert spent_to_reach(CURVE, STEPS, target) == pytest.approx(steps)


def test_nothing_is_reached_without_a_history():
    assert spent_to_reach([], [], 0.0) is None


accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(accuracies, st.floats(0, 1))
def test_what_is_reached_lies_on_the_drawn_curve(values, target):
    times = [2.0 * n for n in range(1, len(values) + 1)]
    seconds = spent_to_reach(values, times, target)
    if seconds is None:
        assert max(values) < target
        return
    assert times[0] <= seconds <= times[-1]
    assert np.interp(seconds, times, values) >= target - 1e-9
    earlier = np.linspace(times[0], seconds, 50)[:-1]
    if seconds > times[0]:
        assert (np.interp(earlier, times, values) < target + 1e-9).all()


@given(accuracies, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_aim_takes_longer(values, one, other):
    low, high = (spent_to_reach(values, range(len(values)), target) for target in sorted((one, other)))
    assert high is None or low <= high


def test_the_mean_curve_holds_runs_that_stopped_early():
    histories = [entries_of([0.4, 0.6, 0.8]), entries_of([0.6, 0.5])]
    found, steps = mean_curve(histories, "step")
    assert found == pytest.approx([0.5, 0.6, 0.7])
    assert steps == [10, 20, 25]
    assert mean_curve(histories, "seconds") == (found, [2, 4, 5])
    assert mean_curve(histories, "cpu_seconds") == (found, [3, 6, 7.5])


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=6))
def test_the_mean_curve_against_plain_loops(runs):
    found, _ = mean_curve([entries_of(values) for values in runs], "step")
    assert found == pytest.approx([mean(max(values[: epoch + 1]) for values in runs) for epoch in range(3)])


def arm(folder, *curves, **options):
    return [write_ended_run(folder / str(k), history_of(curve), **options) for k, curve in enumerate(curves)]


def test_the_baseline_reaches_its_own_mean_at_the_latest_at_its_end(tmp_path):
    baseline = arm(tmp_path, [0.5, 0.8], [0.4, 0.7], [0.5, 0.6])
    assert baseline_target(baseline) == pytest.approx(0.7)
    assert images_to_baseline(baseline, baseline) == 2 * 1280
    assert spent_to_baseline(baseline, baseline, "cpu_seconds") == 6.0


def test_half_a_last_epoch_counts_half(tmp_path):
    history = history_of([0.2, 0.6])
    history[1]["step"] = 15
    run = write_ended_run(tmp_path / "run", history)
    assert run.images_seen == 1920
    assert images_to_baseline([run], [run]) == 1920


def test_rounding_never_keeps_the_baseline_from_its_own_mean():
    # The mean of final accuracies and the end of the mean curve are sums in another order: some differ by a bit.
    finals = np.random.default_rng(0).random((200, 20))
    curves = [mean_curve([entries_of([0.0, a]) for a in row], "step") for row in finals]
    for row, curve in zip(finals, curves, strict=True):
        assert spent_to_reach(*curve, float(np.mean(row))) == pytest.approx(20)
    ends = [heights[1] for heights, _ in curves]
    assert min(ends - finals.mean(axis=1)) < 0  # otherwise this test proves nothing


def test_a_faster_technique_reaches_the_baseline_sooner_and_a_weak_one_never(tmp_path):
    baseline = arm(tmp_path / "b", [0.5, 0.7], [0.5, 0.7])
    faster = arm(tmp_path / "f", [0.6, 0.8], [0.6, 0.8])
    weak = arm(tmp_path / "w", [0.6, 0.65])
    assert images_to_baseline(baseline, faster) == 1280 + 640
    assert spent_to_baseline(baseline, faster, "seconds") == pytest.approx(3.0)
    assert images_to_baseline(baseline, weak) is None
    assert spent_to_baseline(baseline, weak, "seconds") is None


def test_the_best_weights_of_early_stopping_count(tmp_path):
    # The result tells the accuracy of the kept weights (epoch 1), not of the last epoch.
    baseline = arm(tmp_path / "b", [0.7, 0.6], val_accuracy=0.7)
    assert baseline_target(baseline) == 0.7
    assert images_to_baseline(baseline, baseline) == 1280


def test_diverged_and_missing_runs_reach_nothing(tmp_path):
    good = arm(tmp_path / "b", [0.5])
    lost = [*arm(tmp_path / "l", [0.9], status="diverged"), Run(tmp_path / "nowhere")]
    assert baseline_target(lost) is None
    assert images_to_baseline(good, lost) is None
    assert images_to_baseline(lost, good) is None
    assert images_to_baseline(good, good + lost) == 1280


scores = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]) | st.floats(-5, 5), min_size=1, max_size=8)


@given(scores, scores)
def test_probability_of_a_better_run_is_mann_whitneys(technique, baseline):
    wins = sum((a > b) + (a == b) / 2 for a in technique for b in baseline)
    found = probability_better(technique, baseline)
    assert found == pytest.approx(wins / len(technique) / len(baseline))
    assert found == pytest.approx(
        mannwhitneyu(technique, baseline, method="asymptotic").statistic / len(technique) / len(baseline)
    )
    assert found + probability_better(baseline, technique) == pytest.approx(1)


def test_probability_of_a_better_run_needs_runs():
    assert probability_better([], [0.5]) is None
    assert probability_better([0.5], []) is None
    with pytest.raises(StudyError, match="must be numbers"):
        probability_better([float("nan")], [0.5])
