"""What a recipe sets changes the network as it says, and nothing else; the impossible is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from convtrials.core.errors import RecipeError
from convtrials.models import ACTIVATIONS, ModelSpec, build_model
from convtrials.models.activations import activation_name, make_activation

SMALL = {"classes": 36, "channels": 1, "image_size": 28}


def kinds(model, kind):
    return [layer for layer in model.modules() if isinstance(layer, kind)]


def test_width_scales_every_hidden_layer():
    model = build_model("alexnet", **SMALL, width=0.5)
    assert [layer.out_channels for layer in kinds(model, nn.Conv2d)] == [32, 96, 192, 128, 128]
    assert [layer.out_features for layer in kinds(model, nn.Linear)] == [512, 256, 36]


@given(full=st.sampled_from([64, 96, 192, 256, 384, 512, 1024, 4096]), width=st.floats(1e-6, 16))
def test_scaled_widths_are_the_nearest_multiples_of_eight(full, width):
    scaled = ModelSpec(2, 1, (8, 8), width=width).scaled(full)
    assert scaled % 8 == 0
    assert scaled >= 8
    assert scaled == 8 or abs(scaled - full * width) <= 4


@pytest.mark.parametrize(
    ("name", "size", "widths"),
    [
        ("alexnet", 28, [300, 150]),
        ("alexnet", 224, [300, 300]),
        ("vgg11", 28, [300, 300]),
        ("vgg11", 224, [300, 300]),
    ],
)
def test_classifier_width_takes_the_first_hidden_place(name, size, widths):
    # The width multiplier leaves it alone.
    model = build_model(name, classes=5, channels=1, image_size=size, width=0.1, classifier_width=300)
    assert [layer.out_features for layer in kinds(model, nn.Linear)] == [*widths, 5]


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_dropout_sets_both_layers(name):
    model = build_model(name, **SMALL, width=0.1, dropout=0.25)
    assert [layer.p for layer in kinds(model, nn.Dropout)] == [0.25, 0.25]


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "vgg11"])
def test_batch_norm_stands_between_convolution_and_activation(name):
    model = build_model(name, **SMALL, width=0.1, batch_norm=True)
    layers = list(model.features)
    places = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert places
    for place in places:
        assert isinstance(layers[place + 1], nn.BatchNorm2d)
        assert layers[place + 1].num_features == layers[place].out_channels
        following = [layer for layer in layers[place + 2 : place + 4] if not isinstance(layer, nn.MaxPool2d)]
        assert isinstance(following[0], nn.ReLU)
    assert not kinds(build_model(name, **SMALL, width=0.1), nn.BatchNorm2d)


def test_vgg11_with_batch_norm_is_vgg11_bn():
    one = build_model("vgg11", **SMALL, width=0.1, batch_norm=True).state_dict()
    other = build_model("vgg11-bn", **SMALL, width=0.1).state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def float64_activation(name: str, x: torch.Tensor) -> torch.Tensor:
    softplus = torch.log1p(torch.exp(x))
    sigmoid = 1 / (1 + torch.exp(-x))
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    below = torch.exp(x) - 1
    forms = {
        "relu": x.clamp(min=0),
        "leaky_relu": torch.where(x > 0, x, 0.01 * x),
        "prelu": torch.where(x > 0, x, 0.25 * x),
        "elu": torch.where(x > 0, x, below),
        "selu": scale * torch.where(x > 0, x, alpha * below),
        "gelu": x * (1 + torch.erf(x / 2**0.5)) / 2,
        "silu": x * sigmoid,
        "mish": x
        * (torch.exp(softplus) - torch.exp(-softplus))
        / (torch.exp(softplus) + torch.exp(-softplus)),
        "tanh": 2 / (1 + torch.exp(-2 * x)) - 1,
        "sigmoid": sigmoid,
    }
    return forms[name]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_follow_their_formulas(name):
    points = torch.linspace(-6, 6, 49, dtype=torch.float64)
    with torch.no_grad():
        values = make_activation(name).double()(points.clone())
    torch.testing.assert_close(values, float64_activation(name, points), atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_trains(name):
    # Behind batch norm and before response normalisation: where an in-place layer could spoil a gradient.
    knobs = {"width": 0.05, "activation": name, "batch_norm": True}
    model = build_model("alexnet-2012", classes=3, channels=3, image_size=12, **knobs)
    kind = type(make_activation(name))
    assert len(kinds(model, kind)) == len(kinds(model, nn.Conv2d)) + 2
    nn.functional.cross_entropy(model(torch.rand(4, 3, 12, 12)), torch.tensor([0, 1, 2, 0])).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.classifier[-1].bias.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("LeakyReLU", "leaky_relu"), ("leaky-relu", "leaky_relu"), (" SiLU ", "silu"), ("P_ReLU", "prelu")],
)
def test_spellings_of_activations(spelling, name):
    assert activation_name(spelling) == name


@given(st.text(max_size=12))
def test_an_activation_is_known_or_refused(text):
    try:
        assert activation_name(text) in ACTIVATIONS
    except RecipeError as error:
        assert "leaky_relu" in str(error)  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", 1),
        ("classes", 3.5),
        ("channels", 0),
        ("image_size", 0),
        ("image_size", "28"),
        ("image_size", (28, 28, 1)),
        ("image_size", 10**9),
        ("width", 0),
        ("width", float("nan")),
        ("width", 1e9),
        ("width", "wide"),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("activation", "sine"),
        ("batch_norm", "yes"),
        ("classifier_width", 0),
        ("classifier_width", True),
    ],
)
def test_impossible_values_are_refused_with_what_is_allowed(key, value):
    with pytest.raises(RecipeError, match=rf"^{key}: .*(allowed|choose)") as caught:
        build_model("alexnet", **(SMALL | {key: value}))
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(
        RecipeError,
        match="'resnet' does not exist; choose one of alexnet, alexnet-2012, alexnet-lite, vgg11, vgg11-bn",
    ):
        build_model("resnet", **SMALL)


@pytest.mark.parametrize("name", ["AlexNet_2012", " alexnet-2012"])
def test_spellings_of_models(name):
    assert any(
        isinstance(layer, nn.LocalResponseNorm) for layer in build_model(name, **SMALL, width=0.1).modules()
    )


def test_a_model_too_large_for_memory_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object, **__: object) -> None:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 8 GB"
        )

    monkeypatch.setattr("torch.nn.Linear.__init__", too_large)
    with pytest.raises(RecipeError, match="does not fit into memory; lower width"):
        build_model("alexnet", classes=3, channels=1, image_size=28)
