"""The light AlexNet: five convolutions and a classifier that fit into seconds."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convtrials.models import build_model, parameter_count

SPEC = {"classes": 36, "channels": 1, "image_size": 24, "batch_norm": True}


def test_it_has_five_convolutions_and_two_linear_layers() -> None:
    model = build_model("alexnet-lite", **SPEC)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16, 48, 64, 64, 128]
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(1152, 256), (256, 36)]


def test_its_work_is_what_its_documentation_says() -> None:
    model = build_model("alexnet-lite", **SPEC).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, 24, 24))
    assert round(counter.get_total_flops() / 1e6, 1) == 8.7
    assert parameter_count(model) == 450_932


def test_batch_norm_and_activation_see_pooled_maps() -> None:
    sizes = []
    model = build_model("alexnet-lite", **SPEC)
    for layer in model.features:
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda _layer, _inputs, output: sizes.append(output.shape[-1]))
    model(torch.rand(2, 1, 24, 24))
    assert sizes == [12, 6, 6, 3, 3]


@pytest.mark.parametrize("size", [5, 28, 32, 65])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_any_image_size_and_the_knobs(size: int, batch_norm: bool) -> None:
    model = build_model(
        "alexnet-lite", classes=3, channels=3, image_size=size, width=0.5, batch_norm=batch_norm,
        classifier_width=40, activation="gelu", dropout=0.25,
    )  # fmt: skip
    assert model(torch.rand(2, 3, size, size)).shape == (2, 3)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()) == batch_norm
    assert model.classifier[1].out_features == 40
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.25, 0.25]
