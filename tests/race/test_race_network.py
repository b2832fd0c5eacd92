"""The network's description against PyTorch's own count, our models, and the network that peers build from it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.race.errors import BenchError
from benchmarks.race.network import (
    MODELS,
    describe_network,
    forward_flops,
    parameter_count,
    training_flops,
)
from benchmarks.race.peers.torch_network import build, parameters, tensors
from convtrials.models.registry import build_model

CASES = [(model, width, channels) for model in MODELS for width, channels in ((1.0, 1), (0.3, 3), (0.05, 1))]


@pytest.mark.parametrize(("model", "width", "channels"), CASES)
def test_ours_and_the_peers_train_the_network_that_is_described(
    model: str, width: float, channels: int
) -> None:
    network = describe_network(model, width=width, channels=channels, classes=36)
    with torch.device("meta"):
        theirs = build(network)
    ours = build_model(model, classes=36, channels=channels, image_size=28, width=width)
    shapes = [parameter.shape for parameter in ours.parameters()]
    assert [parameter.shape for parameter in theirs.parameters()] == shapes
    assert parameter_count(network) == parameters(theirs) == sum(shape.numel() for shape in shapes)
    assert [type(one).__name__ for one in theirs if "Drop" in type(one).__name__] == ["Dropout", "Dropout"]


@pytest.mark.parametrize(("model", "width", "channels"), CASES)
def test_operations_are_those_that_torch_counts(model: str, width: float, channels: int) -> None:
    network = describe_network(model, width=width, channels=channels, classes=36)
    with torch.device("meta"):
        theirs, images = build(network), torch.empty(1, channels, 28, 28)
    with FlopCounterMode(display=False) as forward:
        logits = theirs(images)
    assert forward_flops(network) == forward.get_total_flops()
    with FlopCounterMode(display=False) as both:
        theirs(images).sum().backward()
    assert training_flops(network) == both.get_total_flops()
    assert logits.shape == (1, 36)


def test_the_figure_that_everybody_quotes() -> None:
    network = describe_network("alexnet", width=1.0, channels=1, classes=36)
    assert parameter_count(network) == 5_351_652
    assert round(forward_flops(network) / 1e6) == 338


def test_ours_and_the_peers_answer_alike(tmp_path: Path) -> None:
    network = describe_network("alexnet", width=0.1, channels=1, classes=5)
    ours, theirs = (
        build_model("alexnet", classes=5, channels=1, image_size=28, width=0.1).eval(),
        build(network).eval(),
    )
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(mine)
        images = torch.rand(3, 1, 28, 28)
        torch.testing.assert_close(theirs(images), ours(images))


def test_tensors_are_read_as_written(tmp_path: Path) -> None:
    pixels = np.arange(2 * 28 * 28 * 3, dtype=np.uint32).reshape(2, 28, 28, 3).astype(np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    np.save(tmp_path / "labels.npy", np.array([1, 0]))
    images, labels = tensors(tmp_path)
    assert images.shape == (2, 3, 28, 28)
    assert images.is_contiguous()
    assert float(images[1, 2, 3, 4]) == pytest.approx(pixels[1, 3, 4, 2] / 255)
    assert labels.tolist() == [1, 0]


def test_the_description_is_json_and_other_models_are_refused() -> None:
    network = describe_network("vgg11", width=0.5, channels=3, classes=4)
    assert json.loads(json.dumps(network)) == network
    with pytest.raises(BenchError, match="the benchmark knows alexnet and vgg11"):
        describe_network("resnet", width=1, channels=1, classes=2)
