from statistics import mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from study_runs import history_of, write_ended_run

from convtrials.core.errors import StudyError
from convtrials.study.results.ended_runs import EndedRun, ended_run
from convtrials.study.results.time_to_baseline import (
    baseline_target,
    images_to_baseline,
    images_to_reach,
    mean_history,
    probability_better,
    seconds_to_baseline,
    seconds_to_reach,
)

CURVE = history_of([0.2, 0.6, 0.4, 0.8])  # 10 steps, 2 seconds, 3 CPU seconds an epoch


@pytest.mark.parametrize(
    ("target", "images"),
    [
        (0.1, 1000),  # below the first validation: the first epoch counts whole
        (0.2, 1000),
        (0.3, 1250),  # a quarter of the way from 0.2 to 0.6
        (0.6, 2000),
        (0.7, 3750),  # the fall to 0.4 is no progress; three quarters of the way from there to 0.8
        (0.8, 4000),
        (0.81, None),
    ],
)
def test_images_until_an_accuracy_is_first_reached(target, images):
    assert images_to_reach(CURVE, target, 1000) == images


def test_time_until_an_accuracy_is_first_reached():
    assert seconds_to_reach(CURVE, 0.3) == pytest.approx(2.5)
    assert seconds_to_reach(CURVE, 0.3, "cpu_seconds") == pytest.approx(3.75)
    assert seconds_to_reach(CURVE, 0.9) is None


def test_nothing_is_reached_without_a_history():
    assert images_to_reach([], 0.0, 1000) is None
    assert seconds_to_reach([], 0.0) is None


def test_half_a_last_epoch_counts_half():
    history = history_of([0.2, 0.6])
    history[1]["step"] = 15
    assert images_to_reach(history, 0.6, 1000) == 1500


accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(accuracies, st.floats(0, 1))
def test_what_is_reached_lies_on_the_drawn_curve(values, target):
    history = history_of(values)
    seconds = seconds_to_reach(history, target)
    if seconds is None:
        assert max(values) < target
        return
    times = [entry["seconds"] for entry in history]
    assert times[0] <= seconds <= times[-1]
    assert np.interp(seconds, times, values) >= target - 1e-9
    earlier = np.linspace(times[0], seconds, 50)[:-1]
    if seconds > times[0]:
        assert (np.interp(earlier, times, values) < target + 1e-9).all()


@given(accuracies, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_aim_takes_longer(values, one, other):
    low, high = (seconds_to_reach(history_of(values), target) for target in sorted((one, other)))
    assert high is None or low <= high


def test_the_mean_curve_holds_runs_that_stopped_early():
    mean_curve = mean_history([history_of([0.4, 0.6, 0.8]), history_of([0.6, 0.5])])
    assert [entry["val_accuracy"] for entry in mean_curve] == pytest.approx([0.5, 0.6, 0.7])
    assert [entry["step"] for entry in mean_curve] == [10, 20, 25]
    assert [entry["seconds"] for entry in mean_curve] == [2, 4, 5]


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=6))
def test_the_mean_curve_against_plain_loops(runs):
    found = mean_history([history_of(values) for values in runs])
    for epoch in range(3):
        assert found[epoch]["val_accuracy"] == pytest.approx(
            mean(max(values[: epoch + 1]) for values in runs)
        )


def arm(folder, *curves, **options):
    return [
        ended_run(write_ended_run(folder / str(k), history_of(curve), **options))
        for k, curve in enumerate(curves)
    ]


def test_the_baseline_reaches_its_own_mean_at_the_latest_at_its_end(tmp_path):
    baseline = arm(tmp_path, [0.5, 0.8], [0.4, 0.7], [0.5, 0.6])
    assert baseline_target(baseline) == pytest.approx(0.7)
    assert images_to_baseline(baseline, baseline) == 2 * 1280
    assert seconds_to_baseline(baseline, baseline, "cpu_seconds") == 6.0


def test_rounding_never_keeps_the_baseline_from_its_own_mean():
    # The mean of final accuracies and the end of the mean curve are sums in another order: some differ by a bit.
    finals = np.random.default_rng(0).random((200, 20))
    for accuracies in finals:
        baseline = [EndedRun(False, 4.0, 6.0, 20, 200, a, history_of([0.0, a]), 100) for a in accuracies]
        assert images_to_baseline(baseline, baseline) == 200
    ends = [mean_history([history_of([0.0, a]) for a in row])[1]["val_accuracy"] for row in finals]
    assert min(ends - finals.mean(axis=1)) < 0  # otherwise this test proves nothing


def test_a_faster_technique_reaches_the_baseline_sooner_and_a_weak_one_never(tmp_path):
    baseline = arm(tmp_path / "b", [0.5, 0.7], [0.5, 0.7])
    faster = arm(tmp_path / "f", [0.6, 0.8], [0.6, 0.8])
    weak = arm(tmp_path / "w", [0.6, 0.65])
    assert images_to_baseline(baseline, faster) == 1280 + 640
    assert seconds_to_baseline(baseline, faster, "seconds") == pytest.approx(3.0)
    assert images_to_baseline(baseline, weak) is None
    assert seconds_to_baseline(baseline, weak, "seconds") is None


def test_the_best_weights_of_early_stopping_count(tmp_path):
    # The result tells the accuracy of the kept weights (epoch 1), not of the last epoch.
    baseline = arm(tmp_path / "b", [0.7, 0.6], val_accuracy=0.7)
    assert baseline_target(baseline) == 0.7
    assert images_to_baseline(baseline, baseline) == 1280


def test_diverged_runs_reach_nothing(tmp_path):
    good = arm(tmp_path / "b", [0.5])
    lost = arm(tmp_path / "l", [0.9], status="diverged")
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
