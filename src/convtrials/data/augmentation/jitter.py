"""Colour jitter: brightness, contrast, saturation and hue, each changed by a drawn amount."""

import torch
from torch import Tensor

from convtrials.data.augmentation.config import ColorJitter
from convtrials.data.augmentation.photometric import brightness, contrast, hue, saturation


def color_jitter(
    images: Tensor, limits: ColorJitter, *, generator: torch.Generator, order: torch.Generator
) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, as torchvision's ColorJitter does.

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        Values from 0 to 1, on any device; three channels where saturation or hue change.
    limits : ColorJitter
        How far to go: factors are uniform from ``1 - limit`` to ``1 + limit``, the turn of the hue from
        ``-limit`` to ``limit``.
    generator : torch.Generator
        On the CPU; gives four numbers per image, whatever the limits are.
    order : torch.Generator
        On the CPU; gives the order of the four, one for all images of a step (torchvision: one for each image).

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
    """
    either_way = (torch.rand((len(images), 4), generator=generator).double() * 2 - 1).unbind(1)
    changes = (
        (brightness, limits.brightness, 1 + either_way[0] * limits.brightness),
        (contrast, limits.contrast, 1 + either_way[1] * limits.contrast),
        (saturation, limits.saturation, 1 + either_way[2] * limits.saturation),
        (hue, limits.hue, either_way[3] * limits.hue),
    )
    for place in torch.randperm(4, generator=order).tolist():
        change, limit, amount = changes[place]
        if limit:
            images = change(images, amount)
    return images
