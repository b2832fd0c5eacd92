"""Flip and padded random crop: pixels move by whole steps, no value is interpolated."""

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
        On the CPU; gives one number an image.

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
        On the CPU; gives two numbers an image.

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
