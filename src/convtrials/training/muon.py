"""Muon for the weight matrices, AdamW for everything else, as one optimizer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class MuonWithAdamW(torch.optim.Optimizer):
    """torch's Muon on weights, torch's AdamW on biases, norms and the last layer.

    Muon orthogonalises the momentum of a matrix (Jordan et al. 2024, kellerjordan.github.io/posts/muon). torch's
    takes matrices alone, so a convolution's weight (out, in, h, w) is stepped as the matrix (out, in*h*w); column
    order does not matter to the method. Updates are scaled to AdamW's size (Liu et al., arXiv 2502.16982), so one
    learning rate serves both. The classifier's last layer goes to AdamW, as Muon's authors advise.

    Parameters
    ----------
    groups : list of dict
        Parameter groups with ``params`` and ``weight_decay``.
    lr : float
        Learning rate of both.
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
        self._matrices: list[tuple[Tensor, Tensor]] = []  # (parameter, the matrix that Muon steps)
        muon_groups, adam_groups = [], []
        for group in self.param_groups:
            matrices = []
            for parameter in group["params"]:
                if parameter.ndim >= 2 and parameter is not last:
                    matrix = torch.nn.Parameter(parameter.detach().flatten(1).clone())
                    self._matrices.append((parameter, matrix))
                    matrices.append(matrix)
            rest = [p for p in group["params"] if p.ndim < 2 or p is last]
            if matrices:
                muon_groups.append({"params": matrices, "weight_decay": group["weight_decay"]})
            if rest:
                adam_groups.append({"params": rest, "weight_decay": group["weight_decay"]})
        self._muon = (
            torch.optim.Muon(
                muon_groups, lr=lr, momentum=momentum, nesterov=nesterov, adjust_lr_fn="match_rms_adamw"
            )
            if muon_groups
            else None
        )
        self._adam = torch.optim.AdamW(adam_groups, lr=lr, betas=betas, eps=eps) if adam_groups else None

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step with both."""
        loss = closure() if closure is not None else None
        rate = self.param_groups[0]["lr"]
        for inner in self._inner():
            for group in inner.param_groups:
                group["lr"] = rate
        with torch.no_grad():
            for parameter, matrix in self._matrices:
                matrix.copy_(parameter.flatten(1))
                matrix.grad = None if parameter.grad is None else parameter.grad.flatten(1)
        for inner in self._inner():
            inner.step()
        with torch.no_grad():
            for parameter, matrix in self._matrices:
                parameter.copy_(matrix.view(parameter.shape))
                matrix.grad = None
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both."""
        return {"parts": [inner.state_dict() for inner in self._inner()], "lr": self.param_groups[0]["lr"]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the states of both back."""
        for inner, state in zip(self._inner(), state_dict["parts"], strict=True):
            inner.load_state_dict(state)
        for group in self.param_groups:
            group["lr"] = state_dict["lr"]

    def _inner(self) -> list[torch.optim.Optimizer]:
        return [inner for inner in (self._muon, self._adam) if inner is not None]
