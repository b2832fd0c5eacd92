"""Pooling stands before a monotone activation: a quarter of the work, and the same outputs and gradients."""

import copy

import pytest
import torch
from torch import nn

from convtrials.models import build_model
from convtrials.models.activations import ACTIVATIONS, make_activation

#: Written out by hand: a wrong entry in the list would change what a network computes.
MONOTONE = ("relu", "leaky_relu", "elu", "selu", "tanh", "sigmoid")


def usual_order(model: nn.Module) -> nn.Module:
    """Return a copy with every activation before its pooling, as papers draw it."""
    model = copy.deepcopy(model)
    layers = list(model.features)
    for at in range(len(layers) - 1):
        if isinstance(layers[at], nn.MaxPool2d) and not isinstance(layers[at + 1], nn.Conv2d):
            layers[at], layers[at + 1] = layers[at + 1], layers[at]
    model.features = nn.Sequential(*layers)
    return model


def gradients(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    logits = model.train()(images)
    logits.square().sum().backward()
    return logits.detach(), [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "vgg11"])
def test_outputs_and_gradients_are_those_of_the_usual_order(name: str, activation: str) -> None:
    spec = {"classes": 5, "channels": 1, "image_size": 28, "width": 0.1, "dropout": 0.0}
    model = build_model(name, **spec, activation=activation, batch_norm=name == "alexnet")
    images = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    if (
        activation != "relu"
    ):  # where fp32 rounds two inputs to one output, the larger input has the gradient now
        model, images = model.double(), images.double()
    here, there = gradients(model, images), gradients(usual_order(model), images)
    assert torch.equal(here[0], there[0])
    assert all(torch.equal(one, other) for one, other in zip(here[1], there[1], strict=True))
    assert any(gradient.abs().sum() > 0 for gradient in here[1])


def pools_after_activations(activation: str) -> list[bool]:
    layers = list(build_model("vgg11", classes=5, channels=1, image_size=28, activation=activation).features)
    kind = type(make_activation(activation))
    return [
        isinstance(layers[at - 1], kind) for at, one in enumerate(layers) if isinstance(one, nn.MaxPool2d)
    ]


def test_only_monotone_activations_change_places() -> None:
    for activation in ACTIVATIONS:
        assert pools_after_activations(activation) == [activation not in MONOTONE] * 5


@pytest.mark.parametrize("activation", MONOTONE)
def test_monotone_activations_never_fall(activation: str) -> None:
    values = make_activation(activation)(torch.linspace(-20, 20, 10_001))
    assert (values.diff() >= 0).all()
