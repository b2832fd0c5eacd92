"""Muon for the weight matrices, AdamW for everything else, as one optimizer."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from convtrials.training.engine.environment import vector_units
from convtrials.training.optim.optimizers import learning_rate_of, set_learning_rate

#: Coefficients of the quintic iteration, and how often it is applied (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5

#: Norms are not taken to be smaller than this.
SMALLEST_NORM = 1e-7


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon on weights, torch's AdamW on biases, norms and the last layer.

    Updates are scaled to AdamW's size (Liu et al., arXiv 2502.16982), so one learning rate serves both. The
    classifier's last layer goes to AdamW, as Muon's authors advise.

    Parameters
    ----------
    groups : list of dict
        Parameter groups with ``params`` and ``weight_decay``; the classifier's last layer is the last weight in them.
    lr : float
        Learning rate of both; a group's own counts.
    momentum, nesterov
        Of Muon.
    betas, eps
        Of AdamW.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        nesterov: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(groups, {"lr": lr})
        weights = [p for group in self.param_groups for p in group["params"] if p.ndim >= 2]
        last = weights[-1] if weights else None
        muon_groups, adam_groups = [], []
        self._muon_from, self._adam_from = [], []  # which of our groups each of theirs was made of
        for number, group in enumerate(self.param_groups):
            matrices = [p for p in group["params"] if p.ndim >= 2 and p is not last]
            rest = [p for p in group["params"] if p.ndim < 2 or p is last]
            if matrices:
                self._muon_from.append(number)
                muon_groups.append({"params": matrices, "weight_decay": group["weight_decay"]})
            if rest:
                self._adam_from.append(number)
                adam_groups.append({"params": rest, "weight_decay": group["weight_decay"]})
        self._muon = Muon(muon_groups, lr, momentum, nesterov) if muon_groups else None
        self._adam = torch.optim.AdamW(adam_groups, lr=lr, betas=betas, eps=eps) if adam_groups else None

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step with both."""
        loss = closure() if closure is not None else None
        for inner, made_of in self._inner():
            for group, number in zip(inner.param_groups, made_of, strict=True):
                group["lr"] = self.param_groups[number]["lr"]
            inner.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both."""
        return {"parts": [inner.state_dict() for inner, _ in self._inner()], "lr": learning_rate_of(self)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the states of both back."""
        for (inner, _), state in zip(self._inner(), state_dict["parts"], strict=True):
            inner.load_state_dict(state)
        set_learning_rate(self, state_dict["lr"])

    def _inner(self) -> list[tuple[torch.optim.Optimizer, list[int]]]:
        pairs = ((self._muon, self._muon_from), (self._adam, self._adam_from))
        return [(inner, made_of) for inner, made_of in pairs if inner is not None]


class Muon(torch.optim.Optimizer):
    """Steps along the momentum of each weight, made orthogonal (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    A convolution's weight (out, in, h, w) is stepped as the matrix (out, in*h*w); the order of columns does not matter
    to the method. It does what `torch.optim.Muon` does, which takes matrices alone and computes in bf16 everywhere:
    on a processor without bf16 products that makes a whole training step several times slower.

    Parameters
    ----------
    groups : list of dict
        Parameter groups with ``params``, of two dimensions or more, and ``weight_decay``.
    lr : float
        Learning rate; a step of it has the size of AdamW's.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float, nesterov: bool) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Step every weight that has a gradient."""
        for group in self.param_groups:
            for weight in (one for one in group["params"] if one.grad is not None):
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight.grad)
                memory = state["momentum_buffer"]
                memory.lerp_(weight.grad, 1 - group["momentum"])
                wanted = weight.grad.lerp(memory, group["momentum"]) if group["nesterov"] else memory
                matrix = wanted.flatten(1)
                update = orthogonal(matrix, product_dtype(matrix.device.type))
                rate = group["lr"] * 0.2 * math.sqrt(max(matrix.shape))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.reshape(weight.shape), alpha=-rate)


def orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a matrix with the same singular vectors and singular values near 1, by Newton and Schulz' iteration.

    Parameters
    ----------
    matrix : Tensor, shape (m, n)
    dtype : torch.dtype
        To compute in, and of the result; the iteration bears bf16.
    """
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    found = wide.to(dtype)
    found = found / found.norm().clamp(min=SMALLEST_NORM)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.T if wide is not matrix else found


@lru_cache(maxsize=8)
def product_dtype(device: str) -> torch.dtype:
    """Return bf16 where the device multiplies matrices faster in it, else fp32."""
    if device == "mps":
        return torch.float32  # where not every system has bf16
    if device != "cpu":
        return torch.bfloat16
    return torch.bfloat16 if {"amx_bf16", "avx512_bf16"}.intersection(vector_units()) else torch.float32
