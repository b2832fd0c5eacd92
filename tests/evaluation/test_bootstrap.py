"""The bootstrap: its statistics on repeated data, its draws, and how often its intervals are right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import CHARACTERS, lifelike_probabilities

from convtrials.evaluation import bootstrap, evaluate_predictions
from convtrials.evaluation.bootstrap import MACRO_AVERAGES, bootstrap_intervals, macro_auc, macro_average
from convtrials.evaluation.calibration import expected_calibration_error
from convtrials.evaluation.calibration_interval import calibration_error
from convtrials.evaluation.resampling import resample_counts


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_weights_count_like_repeated_images(seed, classes):
    from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

    draws = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), draws.integers(0, classes, 12)])
    raw = draws.integers(1, 4, (len(labels), classes)).astype(np.float64)
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    weights = draws.integers(0, 4, len(labels))
    weights[:classes] = np.maximum(weights[:classes], 1)
    repeated = np.repeat(np.arange(len(labels)), weights)
    column = weights[:, None].astype(np.float64)

    areas = [roc_auc_score(labels[repeated] == k, probabilities[repeated, k]) for k in range(classes)]
    assert macro_auc(probabilities, labels)(column)[0] == pytest.approx(np.mean(areas))
    predicted = probabilities.argmax(axis=1)
    averages = {"macro_f1": f1_score, "macro_precision": precision_score, "macro_recall": recall_score}
    for name, score in averages.items():
        expected = score(labels[repeated], predicted[repeated], average="macro", zero_division=0)
        assert macro_average(name, labels, predicted, classes)(column)[0] == pytest.approx(expected)
    confidence, correct = probabilities.max(axis=1), predicted == labels
    error = calibration_error(confidence, correct)(column)[0]
    assert error == pytest.approx(expected_calibration_error(confidence[repeated], correct[repeated]))


def test_a_class_that_a_resample_misses_is_left_out_of_its_average():
    labels = np.array([0, 0, 1, 1, 2])
    probabilities = lifelike_probabilities(labels, 3).astype(np.float64)
    without = np.array([[1.0, 1, 1, 1, 0]]).T
    kept = slice(0, 4)
    expected = macro_auc(probabilities[kept], labels[kept])(np.ones((4, 1)))
    assert macro_auc(probabilities, labels)(without) == pytest.approx(expected)


def test_resamples_have_as_many_images_as_the_split():
    counts = resample_counts(np.random.default_rng(0), 50, 400)
    assert counts.shape == (50, 400)
    assert (counts.sum(axis=0) == 50).all()
    # Each image is drawn once on average, with the binomial's variance 1 - 1/50.
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(0.98, rel=0.05)


def test_groups_are_drawn_whole():
    groups = np.array([0, 0, 0, 1, 1, 2])
    counts = resample_counts(np.random.default_rng(0), 6, 100, groups)
    for group in range(3):
        rows = counts[groups == group]
        assert (rows == rows[0]).all()
    assert (counts[[0, 3, 5]].sum(axis=0) == 3).all()


def test_the_seed_decides():
    labels = np.random.default_rng(2).integers(0, 36, 300)
    probabilities = lifelike_probabilities(labels, 36)
    one, same, other = (
        evaluate_predictions(probabilities, labels, CHARACTERS, seed=seed, resamples=100)["intervals"]
        for seed in (5, 5, 6)
    )
    assert one == same
    assert one != other


def test_intervals_contain_the_estimate():
    labels = np.random.default_rng(2).integers(0, 36, 300)
    metrics = evaluate_predictions(lifelike_probabilities(labels, 36), labels, CHARACTERS, resamples=200)
    estimates = {
        "accuracy": metrics["accuracy"],
        "top_3": metrics["top_k"]["3"],
        "top_5": metrics["top_k"]["5"],
        "macro_precision": metrics["precision"]["macro"],
        "macro_recall": metrics["recall"]["macro"],
        "macro_f1": metrics["f1"]["macro"],
        "macro_auc": metrics["roc_auc"]["macro"],
        "log_loss": metrics["log_loss"],
        "expected_calibration_error": metrics["expected_calibration_error"],
    }
    assert estimates.keys() == metrics["intervals"].keys()
    for name, estimate in estimates.items():
        interval = metrics["intervals"][name]
        assert interval["low"] <= estimate <= interval["high"], name


def test_the_interval_of_accuracy_has_the_width_of_the_normal_one():
    labels = np.zeros(4000, dtype=np.int64)
    probabilities = np.full((4000, 2), (0.9, 0.1))
    probabilities[:1000] = (0.2, 0.8)
    interval = bootstrap_intervals(probabilities, labels, resamples=1000)["accuracy"]
    assert interval is not None
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 4000), rel=0.08)


def test_images_of_one_group_count_as_one():
    draws = np.random.default_rng(0)
    labels = np.zeros(2000, dtype=np.int64)
    right = draws.random(40) < 0.7
    probabilities = np.where(np.repeat(right, 50)[:, None], (0.9, 0.1), (0.1, 0.9))
    alone = bootstrap_intervals(probabilities, labels, resamples=400)["accuracy"]
    grouped = bootstrap_intervals(probabilities, labels, resamples=400, groups=np.arange(2000) // 50)[
        "accuracy"
    ]
    assert alone is not None
    assert grouped is not None
    # The effective number of images is 40, not 2000: the interval is wider by the root of 50.
    assert (grouped.high - grouped.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(50), rel=0.15)


def test_a_large_split_gets_fewer_rankings_or_none_and_says_so(monkeypatch):
    labels = np.random.default_rng(3).integers(0, 4, 200)
    probabilities = lifelike_probabilities(labels, 4)
    monkeypatch.setattr(bootstrap, "RANKING_WORK", probabilities.size * 250)
    metrics = evaluate_predictions(probabilities, labels, "abcd", resamples=300)
    assert metrics["intervals"]["macro_auc"]["resamples"] == 250
    assert metrics["intervals"]["accuracy"]["resamples"] == 300
    assert any("rests on 250 resamples" in note for note in metrics["notes"])
    monkeypatch.setattr(bootstrap, "RANKING_WORK", probabilities.size * 100)
    metrics = evaluate_predictions(probabilities, labels, "abcd", resamples=300)
    assert metrics["intervals"]["macro_auc"] is None
    assert any("Too many images" in note for note in metrics["notes"])


def population(count, temperature):
    """Images of four classes whose posterior is known; `temperature` misstates it (1 is calibrated)."""
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 4, count)
    evidence = draws.normal(size=(count, 4))
    evidence[np.arange(count), labels] += 1.8
    # Unit variance, shift 1.8: the log odds are 1.8 times the evidence.
    odds = np.exp(temperature * 1.8 * evidence)
    return odds / odds.sum(axis=1, keepdims=True), labels


def estimates_of(probabilities, labels):
    """The headline numbers, without intervals."""
    everything = np.ones((len(labels), 1))
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": (predicted == labels).mean(),
        **{name: macro_average(name, labels, predicted, 4)(everything)[0] for name in MACRO_AVERAGES},
        "macro_auc": macro_auc(probabilities, labels)(everything)[0],
        "expected_calibration_error": expected_calibration_error(
            probabilities.max(axis=1), predicted == labels
        ),
    }


@pytest.mark.parametrize("temperature", [1.0, 1.4])
def test_intervals_cover_the_truth_as_often_as_they_say_and_are_no_wider_than_that_needs(temperature):
    probabilities, labels = population(200_000, temperature)
    truth = estimates_of(probabilities, labels)
    repetitions = 100
    ends = {name: np.empty((repetitions, 2)) for name in truth}
    estimates = {name: np.empty(repetitions) for name in truth}
    for repetition in range(repetitions):
        rows = np.random.default_rng(repetition + 1).integers(0, len(labels), 400)
        intervals = bootstrap_intervals(probabilities[rows], labels[rows], seed=repetition, resamples=200)
        for name, value in estimates_of(probabilities[rows], labels[rows]).items():
            interval = intervals[name]
            assert interval is not None
            ends[name][repetition] = interval.low, interval.high
            estimates[name][repetition] = value
    for name, value in truth.items():
        # 95% of 100 has a standard deviation of 2.2; percentiles of 200 resamples are a little narrow.
        covered = ((ends[name][:, 0] <= value) & (value <= ends[name][:, 1])).sum()
        assert covered >= 88, (name, covered)
        # The width that the estimates' true spread asks for; 100 of them know it to 7%.
        asked = 2 * 1.96 * estimates[name].std(ddof=1)
        ratio = (ends[name][:, 1] - ends[name][:, 0]).mean() / asked
        if name == "expected_calibration_error":
            # It reaches from 0 over the noise that pushes the estimate up.
            assert ratio < 2.5, ratio
        else:
            assert ratio == pytest.approx(1, abs=0.2), name


def test_calibrated_networks_are_seldom_called_uncalibrated_where_images_of_a_group_go_together():
    missed = 0
    for repetition in range(60):
        draws = np.random.default_rng(repetition)
        confidence = draws.uniform(0.55, 1, (40, 20))
        # Half of a group's images share one draw: each is right as often as it says, but not by itself.
        luck = np.where(draws.random((40, 20)) < 0.5, draws.random((40, 1)), draws.random((40, 20)))
        first = np.where(luck < confidence, confidence, 1 - confidence).ravel()
        probabilities = np.stack([first, 1 - first], axis=1)
        # The true class is 0 where the network's first choice is right.
        interval = bootstrap_intervals(
            probabilities,
            np.zeros(800, dtype=np.int64),
            seed=repetition,
            resamples=200,
            groups=np.arange(800) // 20,
        )["expected_calibration_error"]
        assert interval is not None
        missed += interval.low > 0
    # 2.5% or a little more are expected; were images independent, some 15% would be.
    assert missed <= 5


def test_a_badly_calibrated_network_is_found_out_from_groups_too():
    draws = np.random.default_rng(0)
    right = draws.random(800) < 0.6
    probabilities = np.where(right[:, None], (0.9, 0.1), (0.1, 0.9))
    interval = bootstrap_intervals(
        probabilities, np.zeros(800, dtype=np.int64), resamples=200, groups=np.arange(800) // 20
    )["expected_calibration_error"]
    assert interval is not None
    assert 0.2 < interval.low < 0.3 < interval.high < 0.4
