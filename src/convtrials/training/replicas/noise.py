"""Dropout whose draws are given: every replica's are those that its own seed would have made in a run of its own."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtrials.core.errors import RunError
from convtrials.core.streams import stream_seed
from convtrials.training.engine.device import generator_state
from convtrials.training.engine.setup import seed_layers


class GivenDropout(nn.Dropout):
    """Dropout that multiplies by noise it was given instead of drawing it.

    Attributes
    ----------
    noise : Tensor or None
        0 where a value is dropped, 1 / (1 - p) elsewhere; None: nothing is dropped.
    """

    noise: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Multiply in training mode; pass values on otherwise."""
        if not self.training or self.noise is None:
            return values
        return values * self._laid_out(self.noise)

    def _laid_out(self, noise: Tensor) -> Tensor:
        return noise


def give_dropout(network: nn.Module) -> None:
    """Swap every ``nn.Dropout`` of a network for a `GivenDropout`, in place; nothing else changes."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.Dropout:
            owner, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(owner), leaf, GivenDropout(module.p).train(module.training))


class _Layer(NamedTuple):
    name: str
    p: float
    ones: Tensor  # of the shape and type that the layer sees, for one replica


class DropoutNoise:
    """Draws the dropout of all replicas for a micro-batch.

    Parameters
    ----------
    network : nn.Module
        One replica, after `give_dropout`: what its dropout layers see is looked up once for every size of micro-batch.
    seeds : sequence of int
        The replicas' seeds.
    autocast : callable
        Returns the context of the forward pass: it decides the type of what dropout sees.
    """

    def __init__(self, network: nn.Module, seeds: Sequence[int], autocast: Any) -> None:
        self._network, self._seeds, self._autocast = network, seeds, autocast
        self._layers: dict[int, list[_Layer]] = {}
        self._noise: dict[int, dict[str, Tensor]] = {}

    def draw(self, images: Tensor, micro: int, step: int) -> dict[str, Tensor]:
        """Return the noise of each dropout layer by its name, shape (k, B, ...).

        A size of micro-batch always gets the same tensors, with new draws: what reads them keeps its reference.

        Parameters
        ----------
        images : Tensor, shape (B, C, H, W)
            Of one replica; values do not matter.
        micro, step : int
            Number of the micro-batch within the step, and the step: what the draws follow from, apart from the seeds.
        """
        size = len(images)
        if size not in self._layers:
            self._layers[size] = _dropout_layers(self._network, images, self._autocast())
            self._noise[size] = {
                layer.name: layer.ones.repeat(len(self._seeds), *[1] * layer.ones.ndim)
                for layer in self._layers[size]
            }
        if self._layers[size]:
            for place, seed in enumerate(self._seeds):
                stream = "dropout" if micro == 0 else f"dropout/{micro}"
                seed_layers(stream_seed(seed, stream, step), images.device)
                for layer in self._layers[size]:  # in the order of the forward pass
                    self._noise[size][layer.name][place] = functional.dropout(layer.ones, layer.p)
        return self._noise[size]


def _dropout_layers(
    network: nn.Module, images: Tensor, autocast: AbstractContextManager[Any]
) -> list[_Layer]:
    """Send images through a copy of the network and note what its dropout layers see, in order."""
    copy = deepcopy(network).train()
    seen: list[_Layer] = []

    def note(name: str, module: nn.Dropout) -> None:
        def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
            if module.p > 0:
                seen.append(_Layer(name, module.p, torch.ones_like(inputs[0])))

        module.register_forward_pre_hook(hook)

    for name, module in copy.named_modules():
        if isinstance(module, GivenDropout):
            module.noise = None
            note(name, module)
    before = generator_state(images.device)
    with torch.no_grad(), autocast:
        copy(images)
    if not torch.equal(before, generator_state(images.device)):
        raise RunError(
            "replicas: the network draws random numbers outside nn.Dropout; train the runs separately"
        )
    if len({layer.name for layer in seen}) < len(seen):
        raise RunError("replicas: the network uses a dropout layer more than once; train the runs separately")
    return seen
