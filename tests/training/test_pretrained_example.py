"""The example for networks of timm does what its page says, with timm or with a stand-in of the same interface."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner

from convtrials.cli.main import app
from convtrials.core.errors import RecipeError
from convtrials.models.parts import layer_names
from convtrials.training.run_directory import Run

PAGE = Path(__file__).parents[2] / "docs" / "pretrained.md"


class Block(nn.Module):
    """A residual block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(outputs), nn.ReLU()
        self.downsample = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = self.relu(self.bn1(self.conv1(maps)) + self.downsample(maps))
        return outputs


class ResNet(nn.Module):
    """The parts of timm's ResNet-18, by their names, narrow."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_chans, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        for number, stride in enumerate((1, 2, 2, 2), 1):
            first = Block(8, 8, stride)
            setattr(self, f"layer{number}", nn.Sequential(first, Block(8, 8, 1)))
        self.global_pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.bn1(self.conv1(images)).relu()
        for number in range(1, 5):
            maps = getattr(self, f"layer{number}")(maps)
        logits: Tensor = self.fc(self.global_pool(maps).flatten(1))
        return logits


def create_model(
    name: str, pretrained: bool = False, *, num_classes: int = 1000, in_chans: int = 3
) -> nn.Module:
    """Make what timm's function of this name makes, with these arguments; no weights are downloaded."""
    assert name == "resnet18"
    network = ResNet(num_classes, in_chans)
    if pretrained:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's file, and data."""
    stand_in = ModuleType("timm")
    stand_in.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my_pretrained.py").write_text(
        next(one for one in blocks if one.startswith("# my_pretrained.py"))
    )
    names: dict[str, Any] = {}
    exec(next(one for one in blocks if "save_published_weights" in one), names)
    names["save_published_weights"]()
    draws = np.random.default_rng(0)
    np.savez(
        tmp_path / "photos.npz",
        images=draws.integers(0, 256, (60, 32, 32, 1), dtype=np.uint8),
        labels=np.repeat(np.arange(3), 20),
    )
    yield tmp_path
    sys.modules.pop("my_pretrained", None)


def command() -> list[str]:
    """The page's own line, for a few small images."""
    fence = r"^```\n(convtrials train --data photos.*?)```"
    (block,) = re.findall(fence, PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    words = block.replace("\\\n", " ").split()
    tiny = "--image-size 32 --epochs 3 --batch-size 12 --threads 1 --precision fp32 --no-channels-last --no-report"
    words[words.index("photos")] = "photos.npz"
    return [*words[1:], *tiny.split(), "--out", "run"]


def test_the_page_s_command(workplace: Path) -> None:
    done = CliRunner().invoke(app, command())
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "conv1: weights are summed over the channels" in said
    assert "fc starts from scratch: the file is for 1000 classes, the model has 3" in said
    assert "images are normalised with ImageNet's statistics (mean 0.449, std 0.226)" in said
    assert "all layers are trained from step" in said
    run = Run("run")
    assert run.dataset.mean == (0.449,)
    assert run.result.epochs == 3
    exported = CliRunner().invoke(app, ["export", "run", "--format", "torch", "--quiet"])
    assert exported.exit_code == 0, exported.output
    assert json.loads(Path("run/model.json").read_text())["network"]["model"] == "my_pretrained:resnet18"


def test_what_is_frozen_stays_the_published_weights(workplace: Path) -> None:
    words = command()
    at = words.index("unfreeze_at=2")
    done = CliRunner().invoke(app, words[: at - 1] + words[at + 1 :])
    assert done.exit_code == 0, done.output
    published, trained = torch.load("resnet18.pt", weights_only=True), load_file("run/weights.safetensors")
    for name, tensor in trained.items():
        if name.startswith(("bn1", "layer1", "layer2")):
            assert torch.equal(tensor, published[name]), name
        elif name.startswith(("layer3", "layer4")) and not name.endswith("num_batches_tracked"):
            assert not torch.equal(tensor, published[name]), name
    assert torch.equal(trained["conv1.weight"], published["conv1.weight"].sum(dim=1, keepdim=True))


def test_features_of_a_network_without_such_a_part(workplace: Path) -> None:
    done = CliRunner().invoke(app, [*command(), "--set", "freeze=features"])
    assert isinstance(done.exception, RecipeError)
    told = str(done.exception)
    assert "no 'features'; its parts are conv1, bn1, layer1, layer2, layer3, layer4, global_pool, fc" in told


def test_the_layers_are_those_of_timm() -> None:
    blocks = [f"layer{number}.{place}" for number in range(1, 5) for place in (0, 1)]
    assert layer_names(create_model("resnet18")) == ["conv1", *blocks, "fc"]
