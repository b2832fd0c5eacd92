"""The measures against runs that were really trained: the files are those of training, not of a test."""

import pytest

from convtrials.evaluation.evaluate import evaluate_predictions
from convtrials.evaluation.predictions import read_predictions
from convtrials.study.results.costs import study_costs
from convtrials.study.results.metrics import secondary_metrics, verdict_metric
from convtrials.study.results.runs_table import RunRow, write_runs_table
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe

RECIPE = Recipe(width=0.125, epochs=1.5, batch_size=16, optimizer={"name": "adam", "lr": 2e-3})
PINNED = Execution("cpu", "fp32", channels_last=True, threads=1)


@pytest.fixture
def dataset(make_dataset):
    return make_dataset()  # 72 images in train: 5 steps of 16 and fewer


@pytest.fixture
def trained(tmp_path, dataset):
    return train(RECIPE, dataset, seed=3, out=tmp_path / "run", execution=PINNED)


def test_scores_and_numbers_agree_with_the_result_and_with_evaluate(trained, dataset):
    assert (
        verdict_metric("accuracy").scores(trained.read_predictions()).mean() == trained.result.test_accuracy
    )
    predictions = read_predictions(trained.predictions_path)
    expected = evaluate_predictions(
        predictions.probabilities, predictions.labels, dataset.class_names, resamples=0
    )
    found = secondary_metrics(trained.read_predictions())
    assert found["macro_auc"] == pytest.approx(expected["roc_auc"]["macro"], abs=1e-12)
    assert found["calibration_error"] == expected["expected_calibration_error"]


def test_costs_are_those_of_the_run(trained):
    assert trained.result.steps == 8  # an epoch and a half of 5 steps, rounded up
    assert trained.images_seen == round(72 * 8 / 5)
    costs = study_costs([trained], {"same": [trained]}, device="cpu")
    assert costs.techniques[0].cost_ratio == 1.0
    assert 0 < costs.techniques[0].cpu_seconds < 60
    assert costs.baseline.seconds_to_baseline <= costs.baseline.cpu_seconds


def test_a_run_that_really_diverged_is_in_the_table_and_has_no_cost(tmp_path, dataset):
    recipe = RECIPE.changed({"optimizer": {"name": "sgd", "lr": 1000.0}})
    run = train(recipe, dataset, seed=3, out=tmp_path / "run", execution=PINNED)
    assert run.result.status == "diverged"
    costs = study_costs([run], {}, device="cpu")
    assert costs.baseline.runs == 0
    assert costs.baseline.diverged == 1
    write_runs_table(tmp_path / "runs.csv", [RunRow("wild", 3, run, True)], metric="accuracy")
    assert "wild,3,diverged,," in (tmp_path / "runs.csv").read_text()
