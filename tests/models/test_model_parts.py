"""Layers are counted from the input to the head, whatever the network; parts are found by their names."""

import pytest
import torch
from torch import nn

from convtrials.core.errors import RecipeError
from convtrials.models import build_model
from convtrials.models.parts import frozen_parts, layer_names, layer_numbers, matching

SMALL = {"classes": 6, "channels": 1, "image_size": 12, "width": 0.05}


class Block(nn.Module):
    """A residual block with a shortcut of its own, as torchvision's and timm's have."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = self.bn2(self.conv2(self.bn1(self.conv1(maps)).relu()))
        return (inner + self.downsample(maps)).relu()


class Residual(nn.Module):
    """The modules of a ResNet-18, by torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.layer1 = nn.Sequential(Block(4, 4), Block(4, 4))
        self.layer2 = nn.Sequential(Block(4, 8), Block(8, 8))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 6)


class Wrapped(nn.Module):
    """A network as a part of another."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Residual()


class Transformer(nn.Module):
    """The modules of a vision transformer, by timm's names."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, 8, 4, 4)})
        self.blocks = nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 16) for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 6)


RESIDUAL = ["conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "fc"]


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_layers_of_ours_do_not_depend_on_what_follows_a_convolution(
    batch_norm: bool, activation: str
) -> None:
    network = build_model("alexnet", batch_norm=batch_norm, activation=activation, **SMALL)
    numbers = layer_numbers(network)
    convolutions = [name for name, one in network.named_modules() if isinstance(one, nn.Conv2d)]
    linears = [name for name, one in network.named_modules() if isinstance(one, nn.Linear)]
    assert layer_names(network) == [*convolutions, *linears]
    assert [numbers[name] for name in (*convolutions, *linears)] == list(range(8))
    for name, one in network.named_modules():
        if isinstance(one, nn.BatchNorm2d | nn.PReLU) and name.startswith("features"):
            before = [at for at in convolutions if int(at.split(".")[1]) < int(name.split(".")[1])][-1]
            assert numbers[name] == numbers[before]


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (Residual(), RESIDUAL),
        (Wrapped(), [f"net.{name}" for name in RESIDUAL]),
        (Transformer(), ["patch_embed", "blocks.0", "blocks.1", "blocks.2", "head"]),
        (nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2)), ["1", "3"]),
    ],
    ids=["residual", "wrapped", "transformer", "norm first"],
)
def test_a_block_is_one_layer(network: nn.Module, names: list[str]) -> None:
    assert layer_names(network) == names
    numbers = layer_numbers(network)
    assert [numbers[name] for name in names] == list(range(len(names)))
    assert set(numbers) == {name for name, _ in network.named_modules()}


def test_every_parameter_has_a_layer() -> None:
    numbers = layer_numbers(Transformer())
    assert numbers[""] == 0  # cls_token is the network's own
    assert numbers["norm"] == 3
    assert numbers["blocks.1.self_attn.out_proj"] == 2


def test_names_mean_whole_parts() -> None:
    network = nn.ModuleDict({"layer1": nn.Linear(2, 2), "layer10": nn.Linear(2, 2)})
    assert set(matching(network, ["layer1"], "freeze")) == {"layer1", "layer1.weight", "layer1.bias"}
    found = matching(Residual(), ["layer1", "layer1.1", "layer1.1.conv1.weight"], "freeze")
    assert found["layer1.0.bn2.bias"] == "layer1"
    assert found["layer1.1.bn1"] == "layer1.1"
    assert found["layer1.1.conv1.weight"] == "layer1.1.conv1.weight"


@pytest.mark.parametrize(
    ("freeze", "trained"),
    [
        ("layer1", {"conv1", "bn1", "layer2", "fc"}),
        (["conv1", "bn1", "layer1", "layer2"], {"fc"}),
        (1, {"layer1", "layer2", "fc"}),
        (3, {"layer2", "fc"}),
        (-1, {"fc"}),
        (-2, {"layer2", "fc"}),
    ],
)
def test_what_is_frozen(freeze: object, trained: set[str]) -> None:
    network = Residual()
    frozen = frozen_parts(network, freeze)  # type: ignore[arg-type]
    left = {name for name, _ in network.named_parameters()} - frozen
    assert {name.split(".")[0] for name in left} == trained


def test_the_frozen_part_of_ours_is_what_comes_before_the_classifier() -> None:
    network = build_model("vgg11-bn", **SMALL)
    frozen = frozen_parts(network, "features")
    assert {name for name, _ in network.named_parameters() if name not in frozen} == {
        f"classifier.{place}.{kind}" for place in (0, 3, 6) for kind in ("weight", "bias")
    }
    assert frozen_parts(network, 8) >= {name for name in frozen if name != "features"}


@pytest.mark.parametrize(
    ("freeze", "line"),
    [
        (
            "features",
            r"^freeze: the network has no 'features'; its parts are conv1, bn1, relu, layer1, layer2, avgpool, fc",
        ),
        (["layer1", "layer9"], "the network has no 'layer9'"),
        ("layer", "no 'layer'"),
        (
            6,
            r"freeze = 6: the network has 6 layers \(conv1, layer1.0, .*fc\); allowed are 1 to 5, or -1 to -5",
        ),
        (-6, "allowed are 1 to 5"),
        (["conv1", "bn1", "layer1", "layer2", "fc"], "nothing would be left to train"),
    ],
)
def test_what_cannot_be_frozen_is_a_line(freeze: object, line: str) -> None:
    with pytest.raises(RecipeError, match=line) as caught:
        frozen_parts(Residual(), freeze)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1
