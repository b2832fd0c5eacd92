import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score
from study_runs import add_predictions, history_of, softmax_probabilities, write_ended_run

from convtrials.core.errors import RunError, StudyError
from convtrials.evaluation.evaluate import evaluate_predictions
from convtrials.evaluation.predictions import Predictions
from convtrials.study.results.metrics import (
    SECONDARY_METRICS,
    VERDICT_METRICS,
    mean_metrics,
    metric_differences,
    secondary_metrics,
    verdict_metric,
)


@pytest.fixture
def predicted_run(tmp_path):
    labels = np.random.default_rng(1).integers(0, 6, 400)
    run = write_ended_run(tmp_path / "run", history_of([0.5]))
    return add_predictions(run, labels, softmax_probabilities(labels, 6))


def arrays(run):
    with np.load(run.predictions_path) as stored:
        return stored["probabilities"], stored["labels"]


def test_accuracy_scores_each_image_one_or_zero(predicted_run):
    probabilities, labels = arrays(predicted_run)
    scores = verdict_metric("accuracy").scores(predicted_run.read_predictions())
    assert scores.dtype == np.float64
    assert set(np.unique(scores)) == {0.0, 1.0}
    assert [bool(score) for score in scores] == [
        row.tolist().index(max(row)) == label for row, label in zip(probabilities, labels, strict=True)
    ]
    assert verdict_metric("accuracy").as_reported(scores.mean()) == accuracy_score(
        labels, probabilities.argmax(axis=1)
    )


def test_log_loss_scores_are_higher_where_better_and_told_as_sklearn_tells_them(predicted_run):
    probabilities, labels = arrays(predicted_run)
    scores = verdict_metric("log_loss").scores(predicted_run.read_predictions())
    assert (scores <= 0).all()
    assert scores[probabilities[np.arange(400), labels].argmax()] == scores.max()
    exact = probabilities.astype(np.float64)
    reference = log_loss(labels, exact / exact.sum(axis=1, keepdims=True))
    assert verdict_metric("log_loss").as_reported(scores.mean()) == pytest.approx(reference, abs=1e-6)


@pytest.mark.parametrize("metric", ["macro_f1", "Accuracy", "", "val_accuracy"])
def test_a_metric_that_is_no_mean_over_images_is_refused_with_the_reason(metric):
    with pytest.raises(StudyError, match=f"allowed are {', '.join(VERDICT_METRICS)}") as caught:
        verdict_metric(metric)
    assert "mean over test images" in str(caught.value)


def test_numbers_beside_the_verdict_agree_with_sklearn(predicted_run):
    probabilities, labels = arrays(predicted_run)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    chosen = probabilities.argmax(axis=1)
    found = secondary_metrics(predicted_run.read_predictions())
    assert list(found) == list(SECONDARY_METRICS)
    assert found["accuracy"] == accuracy_score(labels, chosen)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, chosen, average="macro"), abs=1e-12)
    assert found["macro_precision"] == pytest.approx(
        precision_score(labels, chosen, average="macro"), abs=1e-12
    )
    assert found["macro_recall"] == pytest.approx(recall_score(labels, chosen, average="macro"), abs=1e-12)
    assert found["macro_auc"] == pytest.approx(
        roc_auc_score(labels, exact, multi_class="ovr", average="macro"), abs=1e-6
    )
    assert found["log_loss"] == pytest.approx(log_loss(labels, exact), abs=1e-6)


@pytest.mark.parametrize("present", [range(6), range(1, 4), [2]])
def test_numbers_beside_the_verdict_are_those_of_evaluate(present):
    labels = np.random.default_rng(2).choice(list(present), 300)
    probabilities = softmax_probabilities(labels, 6, skill=1.0).astype(np.float64)
    probabilities = np.round(probabilities, 2)  # ties between images
    probabilities[:, 5] += 1 - probabilities.sum(axis=1)
    probabilities = np.abs(probabilities)
    predictions = Predictions(probabilities, labels, np.arange(300))
    expected = evaluate_predictions(probabilities, labels, list("abcdef"), resamples=0)
    assert secondary_metrics(predictions) == {
        "accuracy": expected["accuracy"],
        "macro_precision": pytest.approx(expected["precision"]["macro"], abs=1e-12),
        "macro_recall": pytest.approx(expected["recall"]["macro"], abs=1e-12),
        "macro_f1": pytest.approx(expected["f1"]["macro"], abs=1e-12),
        "macro_auc": None if len(present) == 1 else pytest.approx(expected["roc_auc"]["macro"], abs=1e-12),
        "log_loss": expected["log_loss"],
        "calibration_error": expected["expected_calibration_error"],
    }


def test_a_study_of_many_runs_need_not_wait_for_them():
    labels = np.random.default_rng(0).integers(0, 36, 12_750)
    probabilities = softmax_probabilities(labels, 36).astype(np.float64)
    predictions = Predictions(probabilities, labels, np.arange(len(labels)))
    secondary_metrics(predictions)  # imports
    fastest = min(_seconds(lambda: secondary_metrics(predictions)) for _ in range(3))
    assert fastest < 0.3


def _seconds(work):
    started = time.process_time()
    work()
    return time.process_time() - started


def test_means_leave_out_what_does_not_exist():
    runs = [
        {"accuracy": 0.5, "macro_auc": None, "log_loss": 1.0},
        {"accuracy": 0.75, "macro_auc": 0.9, "log_loss": 3.0},
    ]
    mean = mean_metrics(runs)
    absent = dict.fromkeys(SECONDARY_METRICS)
    assert mean == {**absent, "accuracy": 0.625, "macro_auc": 0.9, "log_loss": 2.0}
    assert metric_differences(mean, {**mean, "log_loss": 2.5, "macro_f1": 0.5}) == {
        **absent,
        "accuracy": 0.0,
        "macro_auc": 0.0,
        "log_loss": -0.5,
    }
    assert mean_metrics([]) == absent


@given(st.sampled_from(list(VERDICT_METRICS.values())), st.floats(-20, 20))
def test_telling_twice_gives_the_score_back(metric, score):
    assert metric.as_reported(metric.as_reported(score)) == score
    assert str(metric.as_reported(0.0)) == "0.0"


def test_a_diverged_run_has_no_scores(tmp_path):
    run = write_ended_run(tmp_path / "run", [], status="diverged")
    with pytest.raises(RunError, match="diverged at step 0 and has no predictions"):
        verdict_metric("accuracy").scores(run.read_predictions())


def test_an_unfinished_run_has_no_scores(tmp_path):
    run = write_ended_run(tmp_path / "run", history_of([0.5]))
    (run.folder / "result.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        run.read_predictions()


@pytest.mark.parametrize("damage", ["missing", "cut", "result"])
def test_a_damaged_file_is_named_in_a_line(predicted_run, damage):
    name = "result.json" if damage == "result" else "predictions-test.npz"
    path = predicted_run.folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RunError, match=name) as caught:
        verdict_metric("accuracy").scores(predicted_run.read_predictions())
    assert "\n" not in str(caught.value)


def test_a_status_that_nobody_writes_is_refused(tmp_path):
    run = write_ended_run(tmp_path / "run", history_of([0.5]), status="finished")
    text = (run.folder / "result.json").read_text()
    (run.folder / "result.json").write_text(text.replace("finished", "splendid"))
    with pytest.raises(RunError, match=r"result\.json: status = 'splendid'"):
        run.read_predictions()
