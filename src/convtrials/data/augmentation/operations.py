"""The operations that need no interpolation: flip, padded crop, erasing and mixup."""

import math

import torch
from torch import Tensor

from convtrials.core.errors import DataError
from convtrials.data.augmentation.config import Border


def flip(images: Tensor, probability: float = 0.5, *, generator: torch.Generator) -> Tensor:
    """Mirror images left-right, each with the given probability.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, W)
        On any device.
    probability : float
        From 0 (identity) to 1.
    generator : torch.Generator
        On the CPU; gives one number per image.

    Returns
    -------
    Tensor, shape (B, C, H, W)
    """
    chosen = torch.rand(len(images), generator=generator) < probability
    if probability == 0:
        return images
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(-1), images)


def random_crop(
    images: Tensor, padding: int, border: Border = "reflect", *, generator: torch.Generator
) -> Tensor:
    """Pad on all sides, then cut the old size out at a random place: a shift by whole pixels.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, W)
        On any device.
    padding : int
        Pixels, from 0 (identity) to less than the shorter side; all shifts from ``-padding`` to ``padding``
        are equally likely.
    border : {"edge", "zeros", "reflect"}
        What the padding shows.
    generator : torch.Generator
        On the CPU; gives two numbers per image.

    Returns
    -------
    Tensor, shape (B, C, H, W)

    Raises
    ------
    DataError
        If the padding does not fit the images.
    """
    height, width = images.shape[-2:]
    draws = torch.rand((len(images), 2), generator=generator)
    if padding == 0:
        return images
    if not 0 < padding < min(height, width):
        raise DataError(
            f"augment.crop {padding} does not fit images of {height}x{width}: "
            f"allowed are 0 to {min(height, width) - 1} pixels"
        )
    shifts = (draws * (2 * padding + 1)).long().clamp_(max=2 * padding).to(images.device) - padding
    rows, rows_inside = _source(shifts[:, 0], height, border)
    columns, columns_inside = _source(shifts[:, 1], width, border)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    # Indexed as (B, H, W, C), whole pixels are copied and the result is channels_last.
    moved = images.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if border == "zeros":
        moved = moved * (rows_inside[:, None, :, None] & columns_inside[:, None, None, :])
    return moved


def _source(shift: Tensor, size: int, border: Border) -> tuple[Tensor, Tensor]:
    """Where along one axis each output pixel is read, shape (B, size), and whether that lies in the image."""
    at = torch.arange(size, device=shift.device) + shift[:, None]
    inside = (at >= 0) & (at < size)
    if border == "reflect":
        at = torch.where(at < 0, -1 - at, at)
        at = torch.where(at >= size, 2 * size - 1 - at, at)
    return at.clamp_(0, size - 1), inside


def erase(
    images: Tensor,
    probability: float,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: float = 0.3,
    *,
    fill: Tensor | float = 0.0,
    generator: torch.Generator,
) -> Tensor:
    """Put `fill` into one rectangle of each chosen image (Zhong et al., arXiv 1708.04896).

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        On any device.
    probability : float
        Chance that an image is chosen, from 0 (identity) to 1.
    area : (float, float)
        Smallest and largest erased share of the image, drawn uniformly, then rounded to whole pixels.
    aspect : float
        Height / width lies between this (0 to 1) and its reciprocal, log-uniform. A side that would leave the
        image is shortened and the other one lengthened, so the area holds and no draw is ever repeated.
    fill : Tensor or float
        Anything that broadcasts to `images`: noise, each image's mean, a constant.
    generator : torch.Generator
        On the CPU; gives five numbers per image.

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
    """
    draws = torch.rand((len(images), 5), generator=generator).double()
    if probability == 0:
        return images
    height, width = images.shape[-2:]
    chosen, share, shape, top, left = draws.unbind(1)
    pixels = (area[0] + share * (area[1] - area[0])) * (height * width)
    rows, columns = _sides(pixels, torch.exp((2 * shape - 1) * math.log(aspect)), height, width)
    rows = torch.where(chosen < probability, rows, 0)
    inside_rows = _interval(rows, top, height).to(images.device)
    inside_columns = _interval(columns, left, width).to(images.device)
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return torch.where(inside, torch.as_tensor(fill, dtype=images.dtype, device=images.device), images)


def _sides(pixels: Tensor, aspect: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Whole-pixel height and width, each (B,) int64, of rectangles of these areas and height/width ratios."""
    tallest = torch.clamp(pixels, max=height)
    shortest = torch.clamp(torch.ceil(pixels / width), min=1)
    rows = torch.sqrt(pixels * aspect).round().clamp(shortest, tallest.clamp(min=1)).floor()
    columns = (pixels / rows).round().clamp(1, width)
    return rows.long(), columns.long()


def _interval(length: Tensor, draw: Tensor, size: int) -> Tensor:
    """Mask (B, size) of an interval of each length at a place drawn from [0, 1)."""
    start = (draw * (size - length + 1)).long()[:, None]
    at = torch.arange(size)
    return (at >= start) & (at < start + length[:, None])


def mixup(
    images: Tensor, labels: Tensor, alpha: float, *, generator: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """Blend each image with another: ``lam * image + (1 - lam) * partner`` (Zhang et al., arXiv 1710.09412).

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
