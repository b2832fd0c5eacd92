"""Forward and backward of all replicas at once: gradients are added to those of the stack."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from convtrials.data.batches import as_channels_last, as_contiguous
from convtrials.training.engine.loss_weights import LossWeights
from convtrials.training.replicas.batch import MicroBatch
from convtrials.training.replicas.grouped import GroupedDropout, grouped_network
from convtrials.training.replicas.noise import GivenDropout
from convtrials.training.replicas.stack import Stack

#: How the replicas are computed: in one network of grouped layers, or network after network.
Method = Literal["grouped", "side_by_side"]

#: ``(logits, labels, mixed, share, weights)`` of one replica to its summed loss.
Loss = Callable[..., Tensor]


class Passes(Protocol):
    """One forward and backward pass of every replica."""

    def give(self, noise: dict[str, Tensor]) -> None:
        """Take the dropout noise of the next pass, by layer, each of shape (k, B, ...)."""

    def __call__(self, batch: MicroBatch, of: int) -> tuple[Tensor, Tensor]:
        """Add the gradient of the micro-batch's share of a step's mean loss to the stack's gradients.

        Parameters
        ----------
        of : int
            Images of one replica in the whole step.

        Returns
        -------
        losses : Tensor of float, shape (k,)
            Sum over the micro-batch divided by ``of``, nats.
        correct : Tensor of int64, shape (k,)
        """


class GroupedPasses:
    """All replicas in one network, of as many kernels as one replica has.

    Parameters
    ----------
    networks : sequence of nn.Module
        The replicas, as `Stack` left them.
    loss : callable
        `convtrials.training.engine.loss.loss_sum` of the recipe: the summed loss of one replica.
    autocast : callable
        Returns the context of the forward pass.
    channels_last : bool
        Layout of the images.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        stack: Stack,
        loss: Loss,
        autocast: Any,
        *,
        channels_last: bool = True,
    ) -> None:
        self.network = grouped_network(networks[0], stack)
        self._layers = {
            name: module
            for name, module in self.network.named_modules()
            if isinstance(module, GroupedDropout)
        }
        self._loss, self._autocast = loss, autocast
        self._lay_out = as_channels_last if channels_last else as_contiguous

    def give(self, noise: dict[str, Tensor]) -> None:
        """Take the dropout noise of the next pass."""
        for name, values in noise.items():
            self._layers[name].noise = values

    def __call__(self, batch: MicroBatch, of: int) -> tuple[Tensor, Tensor]:
        """See `Passes`."""
        replicas, count = batch.labels.shape
        with self._autocast():
            outputs = self.network(self._lay_out(batch.images.transpose(0, 1).flatten(1, 2)))
        logits = _full_precision(outputs).view(count, replicas, -1).transpose(0, 1)
        losses = self._losses(logits, batch) / of
        losses.sum().backward()  # type: ignore[no-untyped-call]
        return losses.detach(), _correct(logits, batch.labels)

    def _losses(self, logits: Tensor, batch: MicroBatch) -> Tensor:
        """Return the summed loss of each replica: the one function for one replica, mapped over all."""
        given = (logits, batch.labels, *_mixing(batch), batch.weights)
        losses: Tensor = torch.vmap(self._loss, in_dims=tuple(_replica_axis(one) for one in given))(*given)
        return losses


class SideBySidePasses:
    """One network after the other; on a GPU each on a stream of its own, so that small kernels share the device.

    Takes any network. Parameters as for `GroupedPasses`; images keep the layout that they come in.
    """

    def __init__(
        self, networks: Sequence[nn.Module], stack: Stack, loss: Loss, autocast: Any, **_: Any
    ) -> None:
        self._networks, self._loss, self._autocast = networks, loss, autocast
        self._layers = [
            {name: module for name, module in network.named_modules() if isinstance(module, GivenDropout)}
            for network in networks
        ]
        on_gpu = next(networks[0].parameters()).device.type == "cuda"
        self._streams = [_stream() for _ in networks] if on_gpu else None

    def give(self, noise: dict[str, Tensor]) -> None:
        """Take the dropout noise of the next pass."""
        for name, values in noise.items():
            for place, layers in enumerate(self._layers):
                layers[name].noise = values[place]

    def __call__(self, batch: MicroBatch, of: int) -> tuple[Tensor, Tensor]:
        """See `Passes`."""
        main = torch.cuda.current_stream() if self._streams else None
        losses, correct = [], []
        for place, network in enumerate(self._networks):
            network.train()
            with self._on_stream(place, main):
                with self._autocast():
                    outputs = network(batch.images[place])
                logits = _full_precision(outputs)
                loss = self._loss_of(logits, batch, place) / of
                loss.backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
                correct.append(_correct(logits, batch.labels[place]))
        for stream in self._streams or ():
            assert main is not None
            main.wait_stream(stream)
        return torch.stack(losses), torch.stack(correct)

    def _on_stream(self, place: int, main: Any) -> AbstractContextManager[Any]:
        if self._streams is None:
            return nullcontext()
        self._streams[place].wait_stream(main)
        return torch.cuda.stream(self._streams[place])

    def _loss_of(self, logits: Tensor, batch: MicroBatch, place: int) -> Tensor:
        # The shares of mixup are on the device: a number would have to be waited for.
        mixed, share = (one if not isinstance(one, Tensor) else one[place] for one in _mixing(batch))
        weights = None if batch.weights is None else batch.weights.of_replica(place)
        return self._loss(logits, batch.labels[place], mixed, share, weights)


def _mixing(batch: MicroBatch) -> tuple[Tensor | None, Any]:
    """Return mixup's labels and shares, as `loss_sum` takes them."""
    return (None, 1.0) if batch.mixed_labels is None else (batch.mixed_labels, batch.lam)


def _replica_axis(given: Any) -> Any:
    """Say along which axis replicas lie: the first of every tensor, none of what all replicas share."""
    if isinstance(given, LossWeights):
        return LossWeights(None, 0, None if given.mixed is None else 0)  # type: ignore[arg-type]
    return 0 if isinstance(given, Tensor) else None


def _stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def _full_precision(outputs: Tensor) -> Tensor:
    return outputs.float() if outputs.dtype == torch.bfloat16 else outputs


def _correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the images that were classified right, along the last axis of the labels."""
    return (logits.detach().argmax(dim=-1) == labels).sum(dim=-1)
