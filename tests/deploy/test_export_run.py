"""Exporting a run: what is checked, what is refused, what is left on disk."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from deploy_runs import PINNED, own_probabilities

from convtrials.core.errors import ConvtrialsError, RunError
from convtrials.core.files import read_json, write_json
from convtrials.deploy.export_run import export_onnx
from convtrials.deploy.extra import DeployError
from convtrials.deploy.onnx_file import open_onnx
from convtrials.deploy.predictor import load_finished_run
from convtrials.models.weights import save_weights
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run

pytest.importorskip("onnxruntime")


@pytest.fixture
def copied(grey_run, tmp_path):
    """A run of one's own to spoil, and its data."""
    shutil.copytree(grey_run[0].folder, tmp_path / "run")
    return Run(tmp_path / "run"), grey_run[1]


def test_it_tells_how_near_the_file_is_to_torch(copied):
    run, dataset = copied
    done = export_onnx(run, dataset)
    assert done.path == run.folder / "model.onnx"
    assert done.bytes == done.path.stat().st_size
    assert (done.images, done.of_test_split, done.changed) == (288, True, 0.0)
    assert 0 < done.largest_difference < 1e-5
    again = export_onnx(run, None)  # an earlier export may be replaced
    assert (again.images, again.of_test_split) == (64, False)
    assert 0 < again.largest_difference < 1e-5


def test_int8_is_smaller_and_nearly_as_good(copied, tmp_path):
    run, dataset = copied
    done = export_onnx(run, dataset, tmp_path / "small.onnx", precision="int8")
    expected, labels, positions = own_probabilities(run)
    got = open_onnx(done.path)(dataset.images[positions])
    assert np.abs((got.argmax(1) == labels).mean() - run.result.test_accuracy) < 0.03
    assert done.largest_difference == pytest.approx(np.abs(got - expected).max(), abs=1e-5)
    assert done.largest_difference > 1e-4
    assert done.bytes < 0.5 * run.weights_path.stat().st_size
    with pytest.raises(DeployError, match="int8 needs the run's dataset"):
        export_onnx(run, None, precision="int8")


def test_other_files_are_not_overwritten(copied, tmp_path):
    run, dataset = copied
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DeployError, match="was not exported by convtrials"):
        export_onnx(run, dataset, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(DeployError, match="is a folder"):
        export_onnx(run, dataset, tmp_path)


def test_other_data_is_refused(copied):
    run, dataset = copied
    with pytest.raises(RunError, match="was trained on other data"):
        export_onnx(run, dataclasses.replace(dataset, fingerprint="0" * 32))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: shutil.rmtree(run.folder), "no such run directory"),
        (lambda run: (run.folder / "run.json").unlink(), "not a run directory"),
        (lambda run: (run.folder / "result.json").unlink(), "not finished"),
        (lambda run: _diverge(run), "diverged"),
        (lambda run: run.weights_path.unlink(), "keeps the weights of each arm's first seed"),
        (lambda run: run.weights_path.write_bytes(b"damaged"), "not a readable file of weights"),
        (lambda run: _describe(run, class_names=["one", "two"]), "does not fit the run"),
        (lambda run: _describe(run, class_names=[]), r"class_names = \[\]"),
        (lambda run: _describe(run, image_shape=[16, 1e9, 1]), r"image_shape\.1 = 1000000000\.0"),
        (
            lambda run: _describe(run, image_shape=[10**7, 16, 1]),
            "image_shape: allowed are at most 4096 pixels",
        ),
        (lambda run: _describe(run, mean=["dark"]), r"mean\.0 = 'dark'"),
        (lambda run: _describe(run, std=[float("inf")]), r"std\.0 = None"),
        (lambda run: _describe(run, std=[]), "std must be 1 number"),
    ],
)
def test_a_run_that_cannot_be_exported_is_told(copied, spoil, told):
    run, _ = copied
    _age(run)
    spoil(run)
    with pytest.raises(ConvtrialsError, match=told):
        export_onnx(run, None)
    assert not (run.folder / "model.onnx").exists()


def _age(run: Run) -> None:
    """Leave a run as earlier versions did, without digests of its files: what is in them is checked all the same."""
    result = read_json(run.folder / "result.json")
    write_json(
        run.folder / "result.json", {key: result[key] for key in result if key not in ("run", "files")}
    )


def _diverge(run: Run) -> None:
    result = read_json(run.folder / "result.json")
    write_json(run.folder / "result.json", {**result, "status": "diverged", "diverged_at": 3})


def _describe(run: Run, **changes) -> None:
    write_json(run.folder / "dataset.json", {**read_json(run.folder / "dataset.json"), **changes})


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))

    def forward(self, images):
        return self.layers(images){extra}
"""


@pytest.fixture
def own_run(tmp_path, monkeypatch, grey_run):
    """Train a network of one's own, whose source the test writes."""

    def make(name: str, extra: str = "") -> tuple[Run, Path]:
        monkeypatch.chdir(tmp_path)
        source = tmp_path / f"{name}.py"
        source.write_text(OWN.format(extra=extra))
        recipe = Recipe(model=f"{name}:Net", epochs=0.1, batch_size=32)
        return train(recipe, grey_run[1], out=tmp_path / "own", execution=PINNED), source

    yield make
    for name in ("own_plain", "own_noisy"):
        sys.modules.pop(name, None)


def test_a_network_of_ones_own_is_exported_while_its_source_is_the_same(own_run, grey_run):
    run, source = own_run("own_plain")
    assert export_onnx(run, grey_run[1]).largest_difference < 1e-5
    source.write_text(source.read_text() + "\n# changed\n")
    with pytest.raises(RunError, match=r"own_plain:Net .* has changed since"):
        load_finished_run(run)


def test_a_file_that_does_something_else_is_not_written(own_run, grey_run):
    run, _ = own_run("own_noisy", extra=" + 5 * torch.rand(len(images), 6)")
    with pytest.raises(DeployError, match="does not agree with the run"):
        export_onnx(run, grey_run[1])
    assert not (run.folder / "model.onnx").exists()


def test_weights_of_another_network_are_refused(copied):
    run, dataset = copied
    finished = load_finished_run(run)
    finished.network.features[0] = finished.network.features[1]
    save_weights(finished.network, run.weights_path)
    with pytest.raises(ConvtrialsError, match="is not the file that this run wrote"):
        export_onnx(run, dataset)
    _age(run)
    with pytest.raises(ConvtrialsError, match="does not fit"):
        export_onnx(run, dataset)
