"""The network of the benchmark in PyTorch's own layers, as torchvision orders them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def build(network: dict[str, Any]) -> nn.Sequential:
    """Build what network.json describes."""
    layers: list[nn.Module] = []
    height, width, inputs = network["image"]
    if network["padding"]:
        layers.append(nn.ZeroPad2d(network["padding"]))
        height, width = height + 2 * network["padding"], width + 2 * network["padding"]
    for feature in network["features"]:
        if feature == "pool":
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        else:
            outputs, kernel = feature
            layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
            inputs = outputs
    layers.append(nn.Flatten())
    inputs *= height * width
    for units in network["classifier"]:
        if units == "dropout":
            layers.append(nn.Dropout(network["dropout"]))
        else:
            layers += [nn.Linear(inputs, units), nn.ReLU(inplace=True)]
            inputs = units
    layers.append(nn.Linear(inputs, network["classes"]))
    return nn.Sequential(*layers)


def tensors(folder: Path) -> tuple[Tensor, Tensor]:
    """Read images as float, (N, C, H, W), 0 to 1, and their labels."""
    images = torch.from_numpy(np.load(folder / "images.npy")).permute(0, 3, 1, 2).float() / 255
    return images.contiguous(), torch.from_numpy(np.load(folder / "labels.npy"))


def parameters(model: nn.Module) -> int:
    """Count weights and biases."""
    return sum(parameter.numel() for parameter in model.parameters())
