"""Runs as earlier versions left them: they open, evaluate to the same numbers, and go on from their checkpoints."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import convtrials as ct

FIXTURES = Path(__file__).parents[1] / "fixtures"
RUNS = sorted(path.parent for path in FIXTURES.glob("study-1*/runs/*/seed*/run.json"))

#: What the first version found in two of its runs: accuracy, macro F1, log loss, macro AUC, calibration error.
FOUND = {
    "baseline": [
        0.05555555555555555,
        0.00771604938271605,
        3.547270542904963,
        0.6492063492063492,
        0.017606413198841937,
    ],
    "cosine": [
        0.05555555555555555,
        0.012566137566137565,
        3.571794133988142,
        0.5912698412698413,
        0.019437481856180557,
    ],
}


def test_there_are_runs_of_both_versions() -> None:
    assert {path.parts[-4] for path in RUNS} == {"study-1a", "study-1b"}
    assert len(RUNS) == 18


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: "-".join(path.parts[-4:]))
def test_a_run_opens_with_its_recorded_numbers(folder: Path) -> None:
    run, study = ct.load_run(folder), folder.parents[2]
    seed = int(folder.name.removeprefix("seed"))
    assert run.identity.seed == run.result.seed == seed
    assert run.recipe.model == "alexnet-lite"
    assert run.recipe.fingerprint() == run.identity.recipe
    assert run.dataset.fingerprint == run.identity.dataset
    assert (run.execution.threads, run.environment.convtrials) == (1, "0.1.0")
    assert len(run.read_history()) == run.result.epochs
    verdicts = json.loads((study / "verdicts.json").read_text())
    arms = {arm["slug"]: arm for arm in (verdicts["baseline"], *verdicts["techniques"])}
    arm = arms[folder.parent.name]
    place = arm.get("run_seeds", arm["seeds"]).index(seed)
    assert run.status == arm["status"][place]
    if not run.result.diverged:
        assert run.predictions.correct.mean() == run.result.test_accuracy == arm["scores"][place]
        assert run.history.val_accuracy.iloc[-1] == run.result.val_accuracy


@pytest.mark.parametrize("version", ["study-1a", "study-1b"])
@pytest.mark.parametrize("arm", FOUND)
def test_a_run_evaluates_to_the_same_numbers(version: str, arm: str, tmp_path: Path) -> None:
    [folder] = (FIXTURES / version / "runs").glob(f"{arm}-*/seed0")
    run = ct.load_run(shutil.copytree(folder, tmp_path / "run"))
    ct.build_report(run, resamples=0)
    metrics = json.loads((run.folder / "metrics.json").read_text())
    found = [metrics["accuracy"], metrics["f1"]["macro"], metrics["log_loss"], metrics["roc_auc"]["macro"],
             metrics["expected_calibration_error"]]  # fmt: skip
    assert found == pytest.approx(FOUND[arm], rel=1e-12)


def test_an_unfinished_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    run = ct.load_run(shutil.copytree(FIXTURES / "run-1a-unfinished", tmp_path / "run"))
    assert run.status == "unfinished"
    before = run.read_history()
    assert ct.resume(run.folder) == run
    assert run.result.status == "finished"
    assert (run.result.steps, run.result.epochs) == (32, 2)
    assert run.read_history()[:1] == before  # not trained again
    data = ct.load_dataset("glyphs", samples_per_class=10)
    whole = ct.train(run.recipe, data, seed=3, out=tmp_path / "whole", execution=run.execution)
    resumed, expected = load_file(run.weights_path), load_file(whole.weights_path)
    # Bit for bit on the machine that wrote the checkpoint; others round otherwise.
    for name, weights in expected.items():
        assert np.allclose(resumed[name], weights, rtol=1e-3, atol=1e-4), name
