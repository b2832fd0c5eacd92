"""The whole augmentation as a function of images, labels, config, seed and step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convtrials.core.streams import stream_seed
from convtrials.data.augmentation.config import AugmentConfig
from convtrials.data.augmentation.erasing import erase
from convtrials.data.augmentation.mixup import mixup
from convtrials.data.augmentation.placement import flip, random_crop
from convtrials.data.augmentation.warp import AffineRange, draw_affine, draw_elastic, warp
from convtrials.data.batches import as_channels_last


@dataclass(frozen=True)
class AugmentedBatch:
    """Images ready to be normalised, and the labels to learn from them.

    Attributes
    ----------
    images : Tensor of float32, shape (B, C, H, W)
        Pixel values from 0 to 1, channels_last.
    labels : Tensor of int64, shape (B,)
        The images' own labels.
    mixed_labels : Tensor of int64, shape (B,), or None
        Labels of the images blended in by mixup; None without mixup.
    lam : float
        Weight of `labels` in the loss; ``1 - lam`` belongs to `mixed_labels`.
    """

    images: Tensor
    labels: Tensor
    mixed_labels: Tensor | None = None
    lam: float = 1.0

    def part(self, where: slice) -> "AugmentedBatch":
        """Return a micro-batch: the images and labels at these places, without copying."""
        mixed = None if self.mixed_labels is None else self.mixed_labels[where]
        return AugmentedBatch(self.images[where], self.labels[where], mixed, self.lam)


def augmented(images: Tensor, labels: Tensor, config: AugmentConfig, seed: int, step: int) -> AugmentedBatch:
    """Flip, crop, warp, erase and mix a whole group of images.

    Call it on the whole group of a step and cut micro-batches afterwards (`AugmentedBatch.part`): the size of
    the micro-batches then changes nothing.

    Parameters
    ----------
    images : Tensor of float32, shape (B, C, H, W)
        Pixel values from 0 to 1, not yet normalised (see ``Batches.raw``), on any device.
    labels : Tensor of int64, shape (B,)
        On the same device.
    config : AugmentConfig
        The strengths.
    seed, step : int
        The run's seed and the optimizer step, counted from the start of training. Each operation has its own
        stream of (seed, step); an image's draws depend on its place in the group alone (mixup's partners
        also on the size of the group).

    Returns
    -------
    AugmentedBatch
        With `images` and `labels` themselves where the config is not active.

    Raises
    ------
    DataError
        If the crop's padding does not fit the images.
    """
    if not config.active:
        return AugmentedBatch(images, labels)
    if config.flip:
        images = flip(images, generator=_generator(seed, "flip", step))
    if config.crop:
        images = random_crop(images, config.crop, config.border, generator=_generator(seed, "crop", step))
    if config.warps:
        images = _warped(images, config, seed, step)
    if config.erasing:
        images = _erased(images, config, seed, step)
    if not config.mixup:
        return AugmentedBatch(as_channels_last(images), labels)
    images, partner_labels, lam = mixup(
        images, labels, config.mixup, generator=_generator(seed, "mixup", step)
    )
    return AugmentedBatch(as_channels_last(images), labels, partner_labels, lam)


def _warped(images: Tensor, config: AugmentConfig, seed: int, step: int) -> Tensor:
    height, width = images.shape[-2:]
    limits = AffineRange(config.degrees, config.translate, config.scale, config.shear)
    matrices = field = None
    if not limits.identity:
        generator = _generator(seed, "affine", step)
        matrices = draw_affine(len(images), (height, width), limits, generator)
    if config.elastic_alpha:
        field = draw_elastic(
            len(images),
            (height, width),
            config.elastic_alpha,
            config.elastic_sigma,
            _generator(seed, "elastic", step),
            images.device,
        )
    return warp(images, matrices, field, config.border)


def _erased(images: Tensor, config: AugmentConfig, seed: int, step: int) -> Tensor:
    if config.erasing_fill == "mean":
        fill = images.mean(dim=(2, 3), keepdim=True)
    else:
        # A stream of its own, so that both fills erase the same rectangles.
        fill = torch.rand(images.shape, generator=_generator(seed, "erasing-noise", step)).to(images.device)
    return erase(
        images,
        config.erasing,
        config.erasing_area,
        config.erasing_aspect,
        fill=fill,
        generator=_generator(seed, "erasing", step),
    )


def _generator(seed: int, operation: str, step: int) -> torch.Generator:
    """On the CPU whatever the device, so that a GPU sees the same draws."""
    return torch.Generator().manual_seed(stream_seed(seed, f"augment/{operation}", step))
