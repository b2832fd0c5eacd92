"""Mixup: images and labels of pairs are blended (Zhang et al., arXiv 1710.09412)."""

import torch
from torch import Tensor


def mixup(
    images: Tensor, labels: Tensor, alpha: float, *, generator: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """Blend each image with another of the batch: ``lam * image + (1 - lam) * partner``.

    The loss is blended in the same way: ``lam * loss(labels) + (1 - lam) * loss(partner_labels)``. One weight
    serves the whole batch, as in the paper's own code.

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        On any device.
    labels : Tensor of int64, shape (B,)
        On the same device.
    alpha : float
        ``lam`` is drawn from Beta(alpha, alpha); 0 is the identity with ``lam`` 1.
    generator : torch.Generator
        On the CPU. One uniform number becomes ``lam`` by the inverse distribution function, so recipes with
        different alphas share the draw and the partners.

    Returns
    -------
    images : Tensor of float, shape (B, C, H, W)
    partner_labels : Tensor of int64, shape (B,)
    lam : float
        Weight of the first image, 0 to 1.
    """
    draw = float(torch.rand(1, generator=generator, dtype=torch.float64))
    partner = torch.randperm(len(images), generator=generator)
    if alpha == 0:
        return images, labels, 1.0
    from scipy.special import betaincinv

    lam = float(betaincinv(alpha, alpha, draw))
    partner = partner.to(images.device)
    return torch.lerp(images[partner], images, lam), labels[partner], lam
