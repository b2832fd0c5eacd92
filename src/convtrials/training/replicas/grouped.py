"""One network that computes k replicas: grouped convolutions and batched matrix products over their stacked weights.

Between layers the replicas' channels lie side by side: maps (B, k*C, H, W), vectors (B, k*F), replica after replica.
Layers that treat every channel alike need no change; the others are swapped for the ones below.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtrials.models.layers import AveragePoolTo, ConvNet, PadToAtLeast
from convtrials.training.replicas.noise import GivenDropout
from convtrials.training.replicas.stack import Stack

#: Every channel alike, or only a frame around other layers.
_UNCHANGED = {
    ConvNet, PadToAtLeast, AveragePoolTo, nn.Sequential, nn.Identity, nn.Flatten, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
}  # fmt: skip


def unknown_layer(network: nn.Module) -> str | None:
    """Return the kind of a layer that cannot be grouped, or None if all can."""
    for module in network.modules():
        kind = type(module)
        if kind not in _UNCHANGED and kind not in _SWAPPED:
            return kind.__name__
        if isinstance(module, nn.Conv2d) and (
            module.padding_mode != "zeros" or isinstance(module.padding, str)
        ):
            return f"{kind.__name__} with padding {module.padding_mode} {module.padding}"
        if isinstance(module, nn.BatchNorm2d) and (module.momentum is None or not module.affine):
            return f"{kind.__name__} without momentum or weights"
    return None


def grouped_network(network: nn.Module, stack: Stack) -> nn.Module:
    """Build the network that computes all replicas of a stack.

    Parameters
    ----------
    network : nn.Module
        Any of the stacked ones: its layers are copied, its weights are not used.

    Returns
    -------
    nn.Module
        Maps (B, k*C, H, W) to logits (B, k*K), in training mode. Weights and buffers are those of the stack.
    """
    grouped = deepcopy(network)
    for name, module in network.named_modules():
        if type(module) in _SWAPPED:
            owner, _, leaf = name.rpartition(".")
            setattr(grouped.get_submodule(owner), leaf, _SWAPPED[type(module)](module, name, stack))
    return grouped.train()


class _Convolutions(nn.Module):
    def __init__(self, layer: nn.Conv2d, name: str, stack: Stack) -> None:
        super().__init__()
        self.weight, self.bias = stack.parameters[f"{name}.weight"], stack.parameters.get(f"{name}.bias")
        assert not isinstance(layer.padding, str)  # see `unknown_layer`
        self._stride, self._padding, self._dilation = layer.stride, layer.padding, layer.dilation
        self._groups = stack.size * layer.groups

    def forward(self, maps: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.flatten()
        return functional.conv2d(
            maps, self.weight.flatten(0, 1), bias, self._stride, self._padding, self._dilation, self._groups
        )


class _Linears(nn.Module):
    def __init__(self, layer: nn.Linear, name: str, stack: Stack) -> None:
        super().__init__()
        self.weight, self.bias = stack.parameters[f"{name}.weight"], stack.parameters.get(f"{name}.bias")

    def forward(self, vectors: Tensor) -> Tensor:
        each = vectors.view(len(vectors), len(self.weight), -1).transpose(0, 1)
        weights = self.weight.transpose(1, 2)
        if self.bias is None:
            outputs = torch.bmm(each, weights)
        else:
            outputs = torch.baddbmm(self.bias.unsqueeze(1), each, weights)
        return outputs.transpose(0, 1).flatten(1)


class _BatchNorms(nn.Module):
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, layer: nn.BatchNorm2d, name: str, stack: Stack) -> None:
        super().__init__()
        self.weight, self.bias = stack.parameters[f"{name}.weight"], stack.parameters[f"{name}.bias"]
        for buffer in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(buffer, stack.buffers.get(f"{name}.{buffer}"))
        assert layer.momentum is not None  # see `unknown_layer`
        self._momentum, self._eps = layer.momentum, layer.eps

    def forward(self, maps: Tensor) -> Tensor:
        mean = None if self.running_mean is None else self.running_mean.flatten()
        var = None if self.running_var is None else self.running_var.flatten()
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        weight, bias = self.weight.flatten(), self.bias.flatten()
        return functional.batch_norm(maps, mean, var, weight, bias, True, self._momentum, self._eps)


class _PReLUs(nn.Module):
    def __init__(self, layer: nn.PReLU, name: str, stack: Stack) -> None:
        super().__init__()
        self.weight = stack.parameters[f"{name}.weight"]  # (k, 1), or one slope a channel

    def forward(self, values: Tensor) -> Tensor:
        channels = values.shape[1] // len(self.weight)
        return functional.prelu(values, self.weight.expand(-1, channels).flatten())


class _ResponseNorms(nn.Module):
    """Neighbouring channels: only those of the same replica."""

    def __init__(self, layer: nn.LocalResponseNorm, name: str, stack: Stack) -> None:
        super().__init__()
        self._layer, self._size = deepcopy(layer), stack.size

    def forward(self, maps: Tensor) -> Tensor:
        count, channels, height, width = maps.shape
        each = maps.reshape(count * self._size, channels // self._size, height, width)
        normed: Tensor = self._layer(each)
        return normed.reshape(maps.shape)


class GroupedDropout(GivenDropout):
    """Takes noise of shape (k, B, F, ...) for values of shape (B, k*F, ...)."""

    def _laid_out(self, noise: Tensor) -> Tensor:
        return noise.transpose(0, 1).flatten(1, 2)


_SWAPPED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Conv2d: _Convolutions,
    nn.Linear: _Linears,
    nn.BatchNorm2d: _BatchNorms,
    nn.PReLU: _PReLUs,
    nn.LocalResponseNorm: _ResponseNorms,
    nn.Dropout: lambda layer, name, stack: GroupedDropout(layer.p),
    GivenDropout: lambda layer, name, stack: GroupedDropout(layer.p),
}
