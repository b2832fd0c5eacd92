"""What every replica sees in one optimizer step: its own images in its own order, under its own augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convtrials.data.augmentation.config import AugmentConfig
from convtrials.data.augmentation.pipeline import augmented
from convtrials.data.batches import Batches


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch of every replica.

    Attributes
    ----------
    images : Tensor of float32, shape (k, B, C, H, W)
        Normalised.
    labels : Tensor of int64, shape (k, B)
    mixed_labels : Tensor of int64, shape (k, B), or None
        See `convtrials.data.augmentation.pipeline.AugmentedBatch`.
    lam : Tensor of float32, shape (k,), or None
        Weight of `labels` against `mixed_labels`.
    """

    images: Tensor
    labels: Tensor
    mixed_labels: Tensor | None = None
    lam: Tensor | None = None

    def part(self, where: slice) -> "MicroBatch":
        """Return the images at these places of every replica, without copying."""
        mixed = None if self.mixed_labels is None else self.mixed_labels[:, where]
        return MicroBatch(self.images[:, where], self.labels[:, where], mixed, self.lam)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that it has."""
        return tuple(
            one for one in (self.images, self.labels, self.mixed_labels, self.lam) if one is not None
        )


def step_images(
    train: Batches,
    indices: Sequence[NDArray[np.int64]],
    augment: AugmentConfig,
    seeds: Sequence[int],
    step: int,
) -> MicroBatch:
    """Return the images of one step of every replica, as a run of its own would see them.

    Parameters
    ----------
    train : Batches
        The training split.
    indices : sequence of ndarray of int64, k of shape (n,)
        Each replica's images of this step.

    Returns
    -------
    MicroBatch
        Of n images per replica: the whole step, to be cut.
    """
    count = len(indices[0])
    images, labels = train.raw(np.concatenate(list(indices)))
    shape, labels = (len(seeds), count, *images.shape[1:]), labels.view(len(seeds), count)
    if not augment.active:
        return MicroBatch(train.normalise(images).view(shape), labels)
    parts = [
        augmented(images[place * count : (place + 1) * count], labels[place], augment, seed, step)
        for place, seed in enumerate(seeds)
    ]
    images = train.normalise(torch.cat([part.images for part in parts])).view(shape)
    mixed = [part.mixed_labels for part in parts if part.mixed_labels is not None]
    if not mixed:
        return MicroBatch(images, labels)
    lam = torch.tensor([part.lam for part in parts], dtype=torch.float32, device=images.device)
    return MicroBatch(images, labels, torch.stack(mixed), lam)
