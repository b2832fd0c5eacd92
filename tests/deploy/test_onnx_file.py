"""An exported run does what the run did: compared with the probabilities that training itself wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deploy_runs import own_probabilities

from convtrials.deploy.extra import DeployError
from convtrials.deploy.onnx_file import write_onnx
from convtrials.deploy.predictor import FinishedRun, load_finished_run
from convtrials.models.registry import build_model

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(trained_runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for name, (run, _) in trained_runs.items():
        write_onnx(load_finished_run(run), folder / f"{name}.onnx")
    return folder


def session_of(path: Path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", ["grey", "colour"])
def test_it_gives_the_probabilities_that_training_wrote(exported, trained_runs, name):
    run, dataset = trained_runs[name]
    expected, labels, positions = own_probabilities(run)
    session = session_of(exported / f"{name}.onnx")
    (given,) = session.get_inputs()
    (taken,) = session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("images", "tensor(uint8)", [*dataset.image_shape])
    assert (taken.name, taken.type, taken.shape[1:]) == ("probabilities", "tensor(float)", [6])
    (got,) = session.run(None, {"images": dataset.images[positions]})
    assert np.abs(got - expected).max() < 1e-5
    assert np.abs(got.sum(axis=1) - 1).max() < 1e-5
    assert (got.argmax(axis=1) == labels).mean() == run.result.test_accuracy


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_the_number_of_images_is_free(exported, trained_runs, count):
    run, dataset = trained_runs["colour"]
    expected, _, positions = own_probabilities(run)
    (got,) = session_of(exported / "colour.onnx").run(None, {"images": dataset.images[positions[:count]]})
    assert np.abs(got - expected[:count]).max() < 1e-5


def test_other_kinds_of_images_are_refused(exported, trained_runs):
    _, dataset = trained_runs["grey"]
    session = session_of(exported / "grey.onnx")
    for wrong in (dataset.images[:2].astype(np.float32), dataset.images[:2, :-1], dataset.images[:2, ..., 0]):
        with pytest.raises(Exception, match=r"INVALID_ARGUMENT|Unexpected input data type|Invalid rank"):
            session.run(None, {"images": np.ascontiguousarray(wrong)})


def test_the_metadata_says_what_it_is_and_not_where_it_was_made(exported, trained_runs):
    run, dataset = trained_runs["grey"]
    facts = session_of(exported / "grey.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(facts["convtrials.class_names"]) == list(dataset.class_names)
    assert json.loads(facts["convtrials.image_shape"]) == [16, 16, 1]
    assert facts["convtrials.recipe"] == run.recipe.fingerprint()
    assert facts["convtrials.dataset"] == dataset.fingerprint
    assert (facts["convtrials.model"], facts["convtrials.seed"]) == ("alexnet", "0")
    content = (exported / "grey.onnx").read_bytes()
    for trace in (str(Path(torch.__file__).parent), str(Path(__file__).parents[2]), "site-packages", ".py"):
        assert trace.encode() not in content


def test_it_is_sound_and_always_the_same_bytes(exported, trained_runs, tmp_path):
    model = onnx.load(exported / "grey.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}  # folded
    write_onnx(load_finished_run(trained_runs["grey"][0]), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (exported / "grey.onnx").read_bytes()


@pytest.mark.parametrize(("model", "activation"), [("vgg11", "prelu"), ("alexnet-2012", "gelu")])
def test_padding_groups_response_norm_and_activations_are_exported(grey_run, tmp_path, model, activation):
    # 20 pixels: VGG11 pads them, AlexNet's map is no longer of the size that the classifier reads.
    network = build_model(
        model, classes=4, channels=1, image_size=20, width=0.125, activation=activation, seed=3
    ).eval()
    finished = FinishedRun(grey_run[0], network, tuple("abcd"), (20, 20, 1), (0.4,), (0.2,), {"model": model})
    write_onnx(finished, tmp_path / "m.onnx")
    images = np.random.default_rng(0).integers(0, 256, (5, 20, 20, 1), dtype=np.uint8)
    with torch.no_grad():
        pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.4) / 0.2
        expected = network(pixels).softmax(dim=1).numpy()
    (got,) = session_of(tmp_path / "m.onnx").run(None, {"images": images})
    assert np.abs(got - expected).max() < 1e-5


class _LooksAtValues(torch.nn.Module):
    def forward(self, images):
        total = images.sum()
        return torch.ones(len(images), 4) * (1.0 if total > 0 else 2.0)


def test_a_network_that_cannot_be_expressed_is_told_in_a_line(grey_run, tmp_path):
    network = _LooksAtValues().eval()
    finished = FinishedRun(
        grey_run[0], network, tuple("abcd"), (16, 16, 1), (0.4,), (0.2,), {"model": "my:net"}
    )
    with pytest.raises(DeployError, match="my:net: cannot be exported to ONNX") as told:
        write_onnx(finished, tmp_path / "m.onnx")
    assert "\n" not in str(told.value)
    assert not [*tmp_path.iterdir()]


def test_an_old_torch_is_refused_in_a_line(
    grey_run: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = load_finished_run(grey_run[0])
    monkeypatch.setattr(torch, "__version__", "2.6.0+cu124")
    with pytest.raises(DeployError, match=r"needs torch 2.9 or newer; here is 2.6.0\+cu124"):
        write_onnx(finished, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
