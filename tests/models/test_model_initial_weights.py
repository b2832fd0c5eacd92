"""Initial weights are a function of the seed and of a layer's place among its kind."""

import math
import subprocess
import sys
from unittest import mock

import pytest
import torch
from torch import nn

from convtrials.models import build_model, list_models, register_model
from convtrials.models.entries import ENTRIES

SMALL = {"classes": 36, "channels": 1, "image_size": 28, "width": 0.25}
ALL = ("alexnet", "alexnet-2012", "vgg11", "vgg11-bn")


def layers(model, kind):
    return [layer for layer in model.modules() if isinstance(layer, kind)]


def same_layers(one, other):
    """Whether convolution and linear layers agree in weights, in order of their kind."""
    return [
        torch.equal(a.weight, b.weight) and torch.equal(a.bias, b.bias)
        for kind in (nn.Conv2d, nn.Linear)
        for a, b in zip(layers(one, kind), layers(other, kind), strict=True)
    ]


@pytest.mark.parametrize("name", ALL)
def test_one_seed_gives_the_same_bits_and_another_seed_others(name):
    one, again = (build_model(name, **SMALL, seed=3).state_dict() for _ in range(2))
    other = build_model(name, **SMALL, seed=4).state_dict()
    assert all(torch.equal(one[key], again[key]) for key in one)
    changed = [key for key in one if key.endswith("weight") and one[key].dim() > 1]
    assert not any(torch.equal(one[key], other[key]) for key in changed)


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "vgg11"])
@pytest.mark.parametrize("change", [{"batch_norm": True}, {"activation": "prelu"}, {"dropout": 0.0}])
def test_recipes_share_the_weights_of_equal_shape(name, change):
    base = build_model(name, **SMALL)
    changed = build_model(name, **(SMALL | change))
    assert all(same_layers(base, changed))


def test_another_class_count_changes_the_last_layer_alone():
    base = build_model("alexnet", **SMALL)
    fewer = build_model("alexnet", **(SMALL | {"classes": 10}))
    assert same_layers(base, fewer) == [True] * 7 + [False]


def test_layers_of_equal_shape_within_a_model_differ():
    model = build_model("vgg11", **SMALL)
    sixth, seventh = layers(model, nn.Conv2d)[6:8]
    assert sixth.weight.shape == seventh.weight.shape
    assert not torch.equal(sixth.weight, seventh.weight)


def test_alexnet_draws_uniformly_within_one_over_the_root_of_fan_in():
    model = build_model("alexnet-2012", **SMALL)
    for layer in layers(model, nn.Conv2d) + layers(model, nn.Linear):
        bound = 1 / math.sqrt(layer.weight[0].numel())
        for tensor in (layer.weight, layer.bias):
            assert tensor.abs().max() <= bound
        assert layer.weight.abs().max() > 0.9 * bound
        spread = layer.weight.std().item() * math.sqrt(3) / bound
        assert abs(spread - 1) < 3 / math.sqrt(layer.weight.numel())


def test_vgg_draws_as_torchvision():
    model = build_model("vgg11-bn", **SMALL)
    deviations = {
        layer: math.sqrt(2 / (layer.out_channels * 9)) for layer in layers(model, nn.Conv2d)
    } | dict.fromkeys(layers(model, nn.Linear), 0.01)
    for layer, deviation in deviations.items():
        # Four standard errors of a standard deviation.
        tolerance = 4 / math.sqrt(2 * layer.weight.numel())
        assert abs(layer.weight.std().item() / deviation - 1) < tolerance
        assert not layer.bias.any()
    assert all(norm.weight.eq(1).all() and norm.bias.eq(0).all() for norm in layers(model, nn.BatchNorm2d))


@pytest.mark.parametrize("name", ALL)
def test_the_global_generator_is_neither_read_nor_moved(name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = build_model(name, **SMALL).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = build_model(name, **SMALL).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_threads_do_not_change_the_bits():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = build_model("vgg11", **SMALL).state_dict()
        torch.set_num_threads(4)
        four = build_model("vgg11", **SMALL).state_dict()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one[key], four[key]) for key in one)


@pytest.fixture
def own_registry():
    """Forget afterwards what a test registers."""
    list_models()
    with mock.patch.dict(ENTRIES):
        yield


@pytest.mark.usefixtures("own_registry")
def test_a_registered_model_is_listed_and_built():
    @register_model("softmax-regression", summary="one linear layer", paper="Cox, JRSS B 20, 1958")
    def softmax_regression(spec):
        height, width = spec.image_size
        return nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * height * width, spec.classes))

    entry = next(entry for entry in list_models() if entry.name == "softmax-regression")
    assert entry.parameters == 1000 * (3 * 224 * 224 + 1)
    one, again = (build_model("softmax_regression", classes=4, channels=1, image_size=5) for _ in range(2))
    assert torch.equal(one[1].weight, again[1].weight)
    with pytest.raises(ValueError, match="registered already"):
        register_model("softmax-regression", summary="", paper="")(softmax_regression)


def test_every_entry_describes_itself():
    for entry in list_models():
        assert entry.summary
        assert entry.paper
        assert entry.build.__doc__


def test_importing_the_room_does_not_import_torch():
    code = "import sys, convtrials.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
