"""What every replica sees in one optimizer step: its own images in its own order, under its own augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convtrials.data.augmentation.config import AugmentConfig
from convtrials.data.batches import Batches
from convtrials.training.engine.loss_weights import LossWeights
from convtrials.training.engine.weighting import Weighting, augmented_group


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
    weights : LossWeights, of shapes (k, B), or None
        How much each image counts in the loss.
    """

    images: Tensor
    labels: Tensor
    mixed_labels: Tensor | None = None
    lam: Tensor | None = None
    weights: LossWeights | None = None

    def part(self, where: slice) -> "MicroBatch":
        """Return the images at these places of every replica, without copying."""
        mixed = None if self.mixed_labels is None else self.mixed_labels[:, where]
        weights = None if self.weights is None else self.weights.part(where)
        return MicroBatch(self.images[:, where], self.labels[:, where], mixed, self.lam, weights)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that it has, and that change from step to step."""
        weights = () if self.weights is None else (self.weights.own, self.weights.mixed)
        every = (self.images, self.labels, self.mixed_labels, self.lam, *weights)
        return tuple(one for one in every if one is not None)

    def copied(self, images: Tensor) -> "MicroBatch":
        """Return a batch of tensors of its own, with these images."""
        mixed, lam = (None if one is None else one.clone() for one in (self.mixed_labels, self.lam))
        weights = None if self.weights is None else self.weights.copied()
        return MicroBatch(images, self.labels.clone(), mixed, lam, weights)


def step_images(
    train: Batches,
    indices: Sequence[NDArray[np.int64]],
    augment: AugmentConfig,
    seeds: Sequence[int],
    step: int,
    weighting: Weighting | None = None,
) -> MicroBatch:
    """Return the images of one step of every replica, as a run of its own would see them.

    Parameters
    ----------
    train : Batches
        The training split.
    indices : sequence of ndarray of int64, k of shape (n,)
        Each replica's images of this step.
    weighting : Weighting, optional
        Where images do not all count alike.

    Returns
    -------
    MicroBatch
        Of n images per replica: the whole step, to be cut.
    """
    count = len(indices[0])
    images, labels = train.raw(np.concatenate(list(indices)))
    shape, labels = (len(seeds), count, *images.shape[1:]), labels.view(len(seeds), count)
    if not augment.active and weighting is None:
        return MicroBatch(train.normalise(images).view(shape), labels)
    parts = [
        augmented_group(own, labels[place], indices[place], augment, seed, step, weighting)
        for place, (own, seed) in enumerate(zip(torch.split(images, count), seeds, strict=True))
    ]
    images = train.normalise(torch.cat([part.images for part, _ in parts])).view(shape)
    weights = LossWeights.stacked([own for _, own in parts if own is not None])
    mixed = [part.mixed_labels for part, _ in parts if part.mixed_labels is not None]
    if not mixed:
        return MicroBatch(images, labels, weights=weights)
    lam = torch.tensor([part.lam for part, _ in parts], dtype=torch.float32, device=images.device)
    return MicroBatch(images, labels, torch.stack(mixed), lam, weights)
