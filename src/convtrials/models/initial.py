"""Initial weights as a function of ``(seed, kind of layer, ordinal)``.

A layer draws by its place among the layers of its kind, not by its number in the network: batch norm or
another activation shifts the numbers, and the weights of equal shape stay the same. That is what lets two
recipes with one seed start from the same point.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from convtrials.core.streams import stream_seed

#: Fills the weight and bias of one convolution or linear layer from a generator.
_Fill = Callable[[nn.Conv2d | nn.Linear, torch.Generator], None]


def torch_weights(model: nn.Module, seed: int) -> None:
    """Draw weights as PyTorch's layers do by default: uniform within 1 / sqrt(fan in).

    He, Zhang, Ren & Sun, Delving Deep into Rectifiers, ICCV 2015, with PyTorch's gain (``a = sqrt(5)``).

    Parameters
    ----------
    model : nn.Module
        Changed in place. Layers other than ``Conv2d`` and ``Linear`` are left alone.
    seed : int
        The run's seed.
    """
    _fill_layers(model, seed, _fill_torch)


def vgg_weights(model: nn.Module, seed: int) -> None:
    """Draw weights as torchvision does for VGG.

    Convolutions: normal, He et al. 2015 for ReLU by fan out; linear layers: normal with deviation 0.01, as in
    the VGG paper; biases zero. Parameters as in `torch_weights`.
    """
    _fill_layers(model, seed, _fill_vgg)


@torch.no_grad()
def _fill_layers(model: nn.Module, seed: int, fill: _Fill) -> None:
    ordinals = {"conv": 0, "linear": 0}
    for layer in model.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        kind = "conv" if isinstance(layer, nn.Conv2d) else "linear"
        generator = torch.Generator().manual_seed(stream_seed(seed, f"init/{kind}", ordinals[kind]))
        fill(layer, generator)
        ordinals[kind] += 1


def _fill_torch(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    bias: Tensor | None = layer.bias
    if bias is not None:
        bound = 1 / math.sqrt(layer.weight[0].numel())
        nn.init.uniform_(bias, -bound, bound, generator=generator)


def _fill_vgg(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    else:
        nn.init.normal_(layer.weight, 0, 0.01, generator=generator)
    bias: Tensor | None = layer.bias
    if bias is not None:
        nn.init.zeros_(bias)
