"""The loss of a micro-batch: cross-entropy, with smoothed labels and mixed images where the recipe has them."""

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy_sum(
    logits: Tensor, labels: Tensor, mixed: Tensor | None = None, share: float = 1.0, smoothing: float = 0.0
) -> Tensor:
    """Sum the loss over a micro-batch; the caller divides by the size of the whole group.

    Parameters
    ----------
    logits : Tensor, shape (B, K)
    labels : Tensor of int64, shape (B,)
    mixed : Tensor of int64, shape (B,), optional
        Labels of the images that mixup laid over these (Zhang et al., arXiv 1710.09412).
    share : float
        Weight of `labels` against `mixed`, 0 to 1.
    smoothing : float
        Share of the target spread evenly over all classes (Szegedy et al., arXiv 1512.00567).

    Returns
    -------
    Tensor
        A scalar, in nats.
    """
    loss = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
    if mixed is None:
        return loss
    other = functional.cross_entropy(logits, mixed, reduction="sum", label_smoothing=smoothing)
    return torch.lerp(other, loss, share)
