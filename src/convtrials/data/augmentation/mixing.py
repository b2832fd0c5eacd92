"""CutMix, and the choice between CutMix and mixup where a recipe has both."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from convtrials.data.augmentation.config import AugmentConfig
from convtrials.data.augmentation.operations import mixup


def cutmix(
    images: Tensor, labels: Tensor, alpha: float, *, generator: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """Paste a rectangle of another image into each (Yun et al., arXiv 1905.04899).

    As in the paper's own code, one rectangle serves the whole batch. Its sides are ``sqrt(1 - l)`` of the image's with
    l from Beta(alpha, alpha), its centre is any pixel, and what lies outside the image is cut off. The labels are
    weighted by the area that is left.

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        On any device.
    labels : Tensor of int64, shape (B,)
        On the same device.
    alpha : float
        Of the Beta distribution; the paper has 1. 0 is the identity with ``lam`` 1.
    generator : torch.Generator
        On the CPU. One uniform number becomes l by the inverse distribution function, so recipes with different
        alphas share the draw, the centre and the partners.

    Returns
    -------
    images : Tensor of float, shape (B, C, H, W)
    partner_labels : Tensor of int64, shape (B,)
    lam : float
        Share of each image's area that is its own, 0 to 1.
    """
    draw, down, right = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    partner = torch.randperm(len(images), generator=generator)
    if alpha == 0:
        return images, labels, 1.0
    from scipy.special import betaincinv

    height, width = images.shape[-2:]
    side = math.sqrt(1 - float(betaincinv(alpha, alpha, draw)))
    rows, columns = _cut(height, side, down), _cut(width, side, right)
    partner = partner.to(images.device)
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[partner, :, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, labels[partner], 1 - area / (height * width)


def _cut(size: int, side: float, draw: float) -> slice:
    """The rectangle along one axis: a share of the size, about a drawn pixel, inside the image."""
    half, centre = int(size * side) // 2, int(size * draw)
    return slice(max(centre - half, 0), min(centre + half, size))


def mix(
    images: Tensor, labels: Tensor, config: AugmentConfig, draws: Callable[[str], torch.Generator]
) -> tuple[Tensor, Tensor, float] | None:
    """Mix by mixup or CutMix; None where the recipe has neither.

    With both, one is drawn for each step, 1:1, as in timm and in torchvision's reference recipes. Either draws what it
    draws alone.
    """
    by_cutmix = bool(config.cutmix)
    if config.mixup and config.cutmix:
        by_cutmix = float(torch.rand(1, generator=draws("mix"))) < 0.5
    if by_cutmix:
        return cutmix(images, labels, config.cutmix, generator=draws("cutmix"))
    if config.mixup:
        return mixup(images, labels, config.mixup, generator=draws("mixup"))
    return None
