"""Weights of several networks side by side: one tensor per name, of which every network is a view."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Stack:
    """Parameters, gradients and buffers of k networks of one kind.

    The networks are changed: their parameters, gradients and buffers become views of the stack, with the strides that
    they had. Values stay.

    Parameters
    ----------
    networks : sequence of nn.Module
        Of equal shapes, on one device.
    trained : bool
        Whether gradients are wanted; an average of weights has none.

    Attributes
    ----------
    parameters : dict of str to nn.Parameter, each of shape (k, ...)
        Leaves; gradients are allocated once, and begin at zero.
    buffers : dict of str to Tensor, each of shape (k, ...)
    """

    def __init__(self, networks: Sequence[nn.Module], *, trained: bool = True) -> None:
        self.size = len(networks)
        self.parameters: dict[str, nn.Parameter] = {}
        self.buffers: dict[str, Tensor] = {}
        for name, first in networks[0].named_parameters():
            parts = [network.get_parameter(name) for network in networks]
            wanted = trained and first.requires_grad
            whole = nn.Parameter(stacked([part.detach() for part in parts]), requires_grad=wanted)
            self.parameters[name] = whole
            if wanted:
                whole.grad = torch.empty_strided(
                    whole.shape, whole.stride(), dtype=whole.dtype, device=whole.device
                ).zero_()
            for place, part in enumerate(parts):
                part.data = whole.data[place]
                part.grad = None if whole.grad is None else whole.grad[place]
        for name, _ in networks[0].named_buffers():
            self.buffers[name] = stacked([network.get_buffer(name) for network in networks])
            for place, network in enumerate(networks):
                owner, _, leaf = name.rpartition(".")
                setattr(network.get_submodule(owner), leaf, self.buffers[name][place])

    @property
    def gradients(self) -> list[Tensor]:
        """Gradients of all parameters that are trained."""
        return [whole.grad for whole in self.parameters.values() if whole.grad is not None]

    @torch.no_grad()
    def zero_gradients(self) -> None:
        """Set all gradients to zero where they are: views of them stay views."""
        torch._foreach_zero_(self.gradients)

    @torch.no_grad()
    def clip_gradients(self, limit: float) -> None:
        """Scale every replica's gradient to a norm of at most ``limit``, as `torch.nn.utils.clip_grad_norm_` does."""
        norms = torch.stack([torch.linalg.vector_norm(_rows(grad), dim=1) for grad in self.gradients])
        scale = (limit / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for grad in self.gradients:
            grad.mul_(scale.view(-1, *[1] * (grad.ndim - 1)))


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """Copy tensors of equal shape into one of shape (k, ...); each part keeps its order in memory.

    `torch.stack` would forget channels_last, and with it which kernels the convolutions use.
    """
    layout = parts[0].clone()  # dense, in the order of its strides
    whole = torch.empty_strided(
        (len(parts), *layout.shape),
        (layout.numel(), *layout.stride()),
        dtype=layout.dtype,
        device=layout.device,
    )
    for place, part in enumerate(parts):
        whole[place].copy_(part)
    return whole


def _rows(whole: Tensor) -> Tensor:
    """View a stacked tensor as (k, values), whatever the order of the values."""
    return whole.as_strided((whole.shape[0], whole[0].numel()), (whole.stride(0), 1))
