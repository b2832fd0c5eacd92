"""Random erasing: a rectangle of the image is taken away (Zhong et al., arXiv 1708.04896)."""

import math

import torch
from torch import Tensor


def erase(
    images: Tensor,
    probability: float,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: float = 0.3,
    *,
    fill: Tensor | float = 0.0,
    generator: torch.Generator,
) -> Tensor:
    """Put `fill` into one rectangle of each chosen image.

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
        On the CPU; gives five numbers an image.

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
