"""Metrics against references written out in plain Python and float64, and against closed forms."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import CHARACTERS, lifelike_probabilities

from convtrials.core.errors import RunError
from convtrials.evaluation import evaluate_predictions


def reference_auc(is_member, scores):
    """The chance that a member outscores another, pair by pair; ties are half a win."""
    wins = [
        1.0 if inside > outside else 0.5 if inside == outside else 0.0
        for inside in scores[is_member]
        for outside in scores[~is_member]
    ]
    return sum(wins) / len(wins)


def reference_average_precision(is_member, scores):
    """Sum over thresholds of precision times the rise of recall."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        named = scores >= threshold
        hits = (named & is_member).sum()
        recall = hits / is_member.sum()
        total += hits / named.sum() * (recall - before)
        before = recall
    return total


def reference_scores(labels, predicted, k):
    hits = sum(1 for t, p in zip(labels, predicted, strict=True) if t == p == k)
    claims, support = sum(p == k for p in predicted), sum(t == k for t in labels)
    precision = hits / claims if claims else 0.0
    recall = hits / support if support else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return precision, recall, f1


@st.composite
def small_predictions(draw):
    """A few images, a few classes, coarse probabilities: ties and absent classes are the rule."""
    classes = draw(st.integers(2, 5))
    count = draw(st.integers(1, 14))
    labels = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)))
    parts = st.lists(st.integers(0, 3), min_size=classes, max_size=classes).filter(any)
    raw = np.array(draw(st.lists(parts, min_size=count, max_size=count)), dtype=np.float64)
    return raw / raw.sum(axis=1, keepdims=True), labels, [f"c{k}" for k in range(classes)]


@settings(max_examples=60, deadline=None)
@given(small_predictions())
def test_every_number_equals_its_plain_reference(case):
    probabilities, labels, names = case
    metrics = evaluate_predictions(probabilities, labels, names, resamples=0)
    predicted = [int(np.argmax(row)) for row in probabilities]
    present = [k for k in range(len(names)) if k in labels]

    assert metrics["accuracy"] == pytest.approx(
        np.mean([t == p for t, p in zip(labels, predicted, strict=True)])
    )
    told = [reference_scores(labels, predicted, k) for k in range(len(names))]
    for row, (precision, recall, f1) in zip(metrics["per_class"], told, strict=True):
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx((precision, recall, f1))
    support = [int((labels == k).sum()) for k in present]
    for place, name in enumerate(("precision", "recall", "f1")):
        values = [told[k][place] for k in present]
        assert metrics[name]["macro"] == pytest.approx(np.mean(values))
        assert metrics[name]["weighted"] == pytest.approx(np.dot(values, support) / sum(support))

    clipped = [max(p[t], np.finfo(np.float32).eps) for p, t in zip(probabilities, labels, strict=True)]
    assert metrics["log_loss"] == pytest.approx(-np.mean(np.log(clipped)))
    truth = np.eye(len(names))[labels]
    assert metrics["brier_score"] == pytest.approx(((probabilities - truth) ** 2).sum(axis=1).mean())
    for k, row in enumerate(metrics["per_class"]):
        inside = labels == k
        if inside.any() and not inside.all():
            assert row["roc_auc"] == pytest.approx(reference_auc(inside, probabilities[:, k]))
            assert row["average_precision"] == pytest.approx(
                reference_average_precision(inside, probabilities[:, k])
            )
        else:
            assert row["roc_auc"] is None
            assert row["average_precision"] is None
    flat = truth.ravel().astype(bool)
    assert metrics["roc_auc"]["micro"] == pytest.approx(reference_auc(flat, probabilities.ravel()))
    confusion = np.zeros((len(names), len(names)), int)
    for t, p in zip(labels, predicted, strict=True):
        confusion[t, p] += 1
    assert metrics["confusion_matrix"] == confusion.tolist()


@settings(max_examples=20, deadline=None)
@given(small_predictions())
def test_the_answer_is_json_whatever_is_missing(case):
    metrics = evaluate_predictions(*case, resamples=20)
    assert json.loads(json.dumps(metrics, allow_nan=False))["images"] == len(case[1])


def test_top_k_agrees_with_scikit_learn_without_ties():
    from sklearn.metrics import top_k_accuracy_score

    labels = np.random.default_rng(1).integers(0, 36, 400)
    probabilities = lifelike_probabilities(labels, 36, sharpness=1.0).astype(np.float64)
    metrics = evaluate_predictions(probabilities, labels, CHARACTERS, resamples=0)
    for k in (3, 5):
        expected = top_k_accuracy_score(labels, probabilities, k=k, labels=np.arange(36))
        assert metrics["top_k"][str(k)] == pytest.approx(expected)
    assert metrics["accuracy"] < metrics["top_k"]["3"] < metrics["top_k"]["5"] < 1


def test_perfect_predictions_score_perfectly():
    labels = np.arange(36).repeat(3)
    metrics = evaluate_predictions(np.eye(36)[labels], labels, CHARACTERS, resamples=50)
    for value in (metrics["accuracy"], metrics["f1"]["macro"], metrics["roc_auc"]["macro"]):
        assert value == 1
    assert metrics["average_precision"]["macro"] == 1
    assert metrics["log_loss"] == metrics["expected_calibration_error"] == metrics["brier_score"] == 0
    assert metrics["intervals"]["accuracy"] == {"low": 1, "high": 1, "resamples": 50}
    assert metrics["notes"] == []


def test_uniform_predictions_know_nothing():
    labels = np.arange(4).repeat(5)
    metrics = evaluate_predictions(np.full((20, 4), 0.25), labels, "abcd", resamples=0)
    assert metrics["accuracy"] == metrics["top_k"]["3"] - 0.5 == 0.25
    assert metrics["roc_auc"]["macro"] == metrics["roc_auc"]["micro"] == 0.5
    assert metrics["log_loss"] == pytest.approx(np.log(4))
    assert metrics["brier_score"] == pytest.approx(0.75)
    assert metrics["expected_calibration_error"] == 0
    assert "Never predicted: b, c, d" in metrics["notes"][0]
    assert "5" not in metrics["top_k"]


def test_two_classes_have_no_top_k_and_equal_areas():
    labels = np.array([0, 0, 1, 1])
    second = np.array([0.1, 0.6, 0.4, 0.9])
    metrics = evaluate_predictions(np.stack([1 - second, second], axis=1), labels, ["no", "yes"], resamples=0)
    assert metrics["top_k"] == {}
    assert [row["roc_auc"] for row in metrics["per_class"]] == [0.75, 0.75]


def test_an_absent_class_is_left_out_of_averages_and_said_so():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    metrics = evaluate_predictions(probabilities, labels, ["a", "b", "c"], resamples=0)
    assert metrics["f1"]["macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert metrics["per_class"][2]["support"] == 0
    assert metrics["per_class"][2]["roc_auc"] is None
    assert metrics["notes"] == ["No test images of c: left out of averages over classes."]


def test_a_single_class_in_the_split_has_no_areas():
    metrics = evaluate_predictions(
        np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]), ["a", "b"], resamples=30
    )
    assert metrics["roc_auc"]["macro"] is None
    assert metrics["intervals"]["macro_auc"] is None
    assert any("single class" in note for note in metrics["notes"])


def test_groups_are_the_unit_where_they_are_given():
    labels = np.random.default_rng(0).integers(0, 5, 300)
    probabilities = lifelike_probabilities(labels, 5)
    groups = np.arange(300) // 50 * 7
    metrics = evaluate_predictions(probabilities, labels, "abcde", resamples=50, groups=groups)
    assert metrics["bootstrap"]["unit"] == "group"
    assert any("Only 6 sampled groups" in note for note in metrics["notes"])


@pytest.mark.parametrize(
    ("probabilities", "labels", "names", "said"),
    [
        (np.full((2, 2), 0.5), np.array([0, 2]), "ab", "0 to 1 is allowed"),
        (np.full((2, 2), 0.5), np.array([0, -1]), "ab", "0 to 1 is allowed"),
        (np.full((2, 2), 0.6), np.array([0, 1]), "ab", "sum to 1.2000"),
        (np.array([[1.5, -0.5]]), np.array([0]), "ab", "outside 0 to 1"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "ab", "not a number"),
        (np.full((2, 2), 0.5), np.array([0.0, 1.0]), "ab", "integers of shape"),
        (np.full((2, 2), 0.5), np.array([0]), "ab", "integers of shape"),
        (np.full((2, 1), 1.0), np.array([0, 0]), "a", "two classes or more"),
        (np.zeros((0, 3)), np.zeros(0, int), "abc", "at least one image"),
        (np.full((2, 2), 0.5), np.array([0, 1]), "abc", "2 classes, the dataset 3"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(probabilities, labels, names, said):
    with pytest.raises(RunError, match=said):
        evaluate_predictions(probabilities, labels, names, resamples=0)


def test_training_and_evaluation_tell_the_same_numbers():
    from convtrials.training.engine.predict import validation_metrics

    labels = np.random.default_rng(1).integers(0, 5, 60)
    probabilities = lifelike_probabilities(labels, 6)
    # The truth of one image is rounded to nothing, and a class has no images.
    probabilities[0] = 0
    probabilities[0, (labels[0] + 1) % 6] = 1
    told, measured = (
        validation_metrics(probabilities, labels),
        evaluate_predictions(probabilities, labels, "abcdef", resamples=0),
    )
    assert told["val_loss"] == pytest.approx(measured["log_loss"], rel=1e-12)
    assert told["val_accuracy"] == measured["accuracy"]
    assert told["val_macro_f1"] == pytest.approx(measured["f1"]["macro"], rel=1e-12)
