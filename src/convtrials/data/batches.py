"""Batches: which images a step takes, and the images themselves, ready for a network.

Small splits live in memory as one uint8 tensor; larger ones are read from the pack's file batch by batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convtrials.core.errors import DataError
from convtrials.core.streams import stream_generator
from convtrials.data.balanced_order import balanced_order
from convtrials.data.dataset import Dataset
from convtrials.data.rows import rows_of
from convtrials.data.split import SplitName

#: Bytes of one split that are held in memory; larger splits are read from their file batch by batch.
MEMORY_LIMIT = 2 * 1024**3

# A channel without contrast would be divided by zero; half a grey level is below anything uint8 can show.
_SMALLEST_STD = 0.5 / 255


def epoch_order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits the images of a split.

    Parameters
    ----------
    n : int
        Images in the split, 0 or more.
    seed : int
        The run's seed.
    epoch : int
        From 0.

    Returns
    -------
    ndarray of int64, shape (n,)
        A permutation of ``0 .. n - 1``: a function of (n, seed, epoch), whatever ran before.
    """
    return stream_generator(seed, "order", epoch).permutation(n).astype(np.int64, copy=False)


def steps_per_epoch(n: int, group_size: int) -> int:
    """Count the optimizer steps that visit `n` images once, `group_size` a step.

    The last step may be smaller; a lone last image joins the step before it, as in `cut`.
    """
    if group_size < 1:
        raise ValueError(f"group_size must be 1 or more, not {group_size}")
    return -(-n // group_size) - _leaves_one(n, group_size)


def step_indices(order: NDArray[np.int64], step_in_epoch: int, group_size: int) -> NDArray[np.int64]:
    """Return the images of one optimizer step.

    Parameters
    ----------
    order : ndarray of int64, shape (n,)
        From `epoch_order`.
    step_in_epoch : int
        From 0 to ``steps_per_epoch(n, group_size) - 1``.
    group_size : int
        Images per step: micro-batch size times accumulated micro-batches.

    Returns
    -------
    ndarray of int64, shape (group_size,) or, in the last step, what is left (2 to group_size + 1)
        A view of `order`.

    Raises
    ------
    IndexError
        If the epoch has no such step.
    """
    steps = steps_per_epoch(len(order), group_size)
    if not 0 <= step_in_epoch < steps:
        raise IndexError(f"step {step_in_epoch} of an epoch of {steps} steps")
    last = step_in_epoch == steps - 1
    return order[step_in_epoch * group_size : None if last else (step_in_epoch + 1) * group_size]


def cut(n: int, size: int) -> list[slice]:
    """Cut a group of `n` images into micro-batches of `size`.

    The last one is smaller where `size` does not divide `n`. A lone last image joins the micro-batch before,
    since batch norm cannot normalise one value.

    Examples
    --------
    >>> cut(10, 4)
    [slice(0, 4, None), slice(4, 8, None), slice(8, 10, None)]
    >>> cut(9, 4)
    [slice(0, 4, None), slice(4, 9, None)]
    """
    if size < 1:
        raise ValueError(f"size must be 1 or more, not {size}")
    starts = range(0, n - _leaves_one(n, size), size)
    return [slice(start, start + size if start + size < starts.stop else n) for start in starts]


def _leaves_one(n: int, size: int) -> bool:
    """Whether cutting `n` by `size` would leave a lone last image, which then joins the piece before it."""
    return n > size and n % size == 1


def as_channels_last(images: Tensor) -> Tensor:
    """Return images whose strides say channels_last beyond doubt; without copying where they fit already.

    With one channel both layouts are the same memory; torch takes a channel stride of 1 as channels_last.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, W)

    Returns
    -------
    Tensor, shape (B, C, H, W)
    """
    count, channels, height, width = images.shape
    if channels == 1:
        return images.contiguous().reshape(count, height, width, 1).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def as_contiguous(images: Tensor) -> Tensor:
    """Return images whose strides say contiguous (channel after channel) beyond doubt.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, W)

    Returns
    -------
    Tensor, shape (B, C, H, W)
    """
    if images.shape[1] == 1:
        return images.squeeze(1).contiguous().unsqueeze(1)
    return images.contiguous()


class Batches:
    """The images and labels of one split, taken by their positions in the split.

    Parameters
    ----------
    dataset : Dataset
        Where they come from.
    split : {"train", "val", "test"}
        Which of them.
    device : torch.device or str
        Where batches go; a split in memory is held there as well.
    mean, std : sequence of float, length C, optional
        What to normalise with, on the scale 0 to 1; the dataset's own by default. (A finished run brings what
        it was trained with.)
    channels_last : bool
        Memory layout of normalised images.
    memory_limit : int
        Bytes; a larger split is not held in memory.

    Attributes
    ----------
    image_shape : tuple of int
        (H, W, C).
    labels : Tensor of int64, shape (n,)
        All labels of the split, on the CPU.
    class_names : tuple of str
        The dataset's.
    image_weights : Tensor of float32, shape (n,), or None
        How much each image counts in the training loss, on the CPU; None where all count alike, and in a split that is
        not trained on.
    positions : ndarray of int64, shape (n,)
        Where the split's images are in the dataset.
    streams : bool
        Whether images are read for each batch instead of held in memory.

    Raises
    ------
    DataError
        If the split has no images, or mean and std do not fit the channels.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: SplitName,
        device: torch.device | str = "cpu",
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channels_last: bool = True,
        memory_limit: int = MEMORY_LIMIT,
    ):
        self.image_shape = dataset.image_shape
        self.channels_last = channels_last
        self.positions = dataset.indices(split)
        if len(self.positions) == 0:
            raise DataError(f"dataset {dataset.name!r}: split {split!r} has no images")
        self.device = torch.device(device)
        means = _per_channel(dataset, "mean", dataset.mean if mean is None else mean)
        stds = _per_channel(dataset, "std", dataset.std if std is None else std)
        self._mean = _spread(means, dataset.image_shape).to(self.device)
        self._inverse_std = _spread(1 / stds.clamp(min=_SMALLEST_STD), dataset.image_shape).to(self.device)
        self.labels = torch.from_numpy(dataset.labels[self.positions].astype(np.int64))
        self._labels_there = self.labels.to(self.device)
        self.class_names = dataset.class_names
        self.image_weights = image_weights(dataset) if split == "train" else None
        rows = rows_of(dataset.images)
        image_bytes = int(np.prod(dataset.images.shape[1:]))
        self.streams = len(self.positions) * image_bytes > memory_limit
        self._source = rows if self.streams else torch.from_numpy(rows.read(self.positions)).to(self.device)

    def __len__(self) -> int:
        return len(self.positions)

    def epoch_order(self, seed: int, epoch: int, sampler: str | None = None) -> NDArray[np.int64]:
        """Return the order in which an epoch visits this split: each image once, or ``"balanced"`` by class."""
        if sampler is None:
            return epoch_order(len(self), seed, epoch)
        return balanced_order(self.labels.numpy(), seed, epoch)

    def pixels(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return images as they are stored.

        Parameters
        ----------
        indices : ndarray of int64, shape (B,)
            Positions in the split, 0 to ``len(self) - 1``, in any order.

        Returns
        -------
        images : Tensor of uint8, shape (B, C, H, W), channels_last
        labels : Tensor of int64, shape (B,)

        Raises
        ------
        IndexError
            If a position is outside the split.
        """
        if len(indices) and not (indices.min() >= 0 and indices.max() < len(self)):
            raise IndexError(f"positions must be 0 to {len(self) - 1}")
        at = torch.from_numpy(np.ascontiguousarray(indices)).to(self.device)
        if isinstance(self._source, Tensor):
            images = self._source.index_select(0, at)
        else:
            images = torch.from_numpy(self._source.read(self.positions[indices])).to(self.device)
        return images.permute(0, 3, 1, 2), self._labels_there.index_select(0, at)

    def raw(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return images on the scale 0 to 1, as augmentation wants them.

        Parameters
        ----------
        indices : ndarray of int64, shape (B,)
            Positions in the split, in any order.

        Returns
        -------
        images : Tensor of float32, shape (B, C, H, W), channels_last
        labels : Tensor of int64, shape (B,)
        """
        images, labels = self.pixels(indices)
        return images.to(torch.float32).mul_(1 / 255), labels

    def normalise(self, images: Tensor) -> Tensor:
        """Subtract the mean of each channel and divide by its standard deviation.

        Parameters
        ----------
        images : Tensor of float32, shape (B, C, H, W)
            On the scale 0 to 1, of the dataset's size; left as they are.

        Returns
        -------
        Tensor of float32, shape (B, C, H, W), in the layout asked for
        """
        return self._laid_out(as_channels_last(images).sub(self._mean).mul_(self._inverse_std))

    def take(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return normalised images and their labels: what a network sees without augmentation.

        Parameters
        ----------
        indices : ndarray of int64, shape (B,)
            Positions in the split, in any order.

        Returns
        -------
        images : Tensor of float32, shape (B, C, H, W), in the layout asked for
        labels : Tensor of int64, shape (B,)
        """
        images, labels = self.raw(indices)
        # Nothing else refers to these images, and a second buffer would cost more than the arithmetic.
        return self._laid_out(images.sub_(self._mean).mul_(self._inverse_std)), labels

    def _laid_out(self, images: Tensor) -> Tensor:
        return images if self.channels_last else as_contiguous(images)


def image_weights(dataset: Dataset) -> Tensor | None:
    """Return how much each image of the training split counts in the loss; None where all count alike.

    Raises
    ------
    DataError
        There is not one finite weight of 0 or more for each image, or all of the training split are 0.
    """
    if dataset.weights is None:
        return None
    weights = np.asarray(dataset.weights, np.float32)
    if weights.shape != dataset.labels.shape or not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError(
            f"dataset {dataset.name!r}: weights: needed is one finite number of 0 or more for each image"
        )
    own = weights[dataset.indices("train")]
    if len(own) == 0 or (own == own[0]).all():
        if len(own) and own[0] == 0:
            raise DataError(f"dataset {dataset.name!r}: weights: all images of train have the weight 0")
        return None
    return torch.from_numpy(own)


def _per_channel(dataset: Dataset, name: str, values: Sequence[float]) -> Tensor:
    channels = dataset.image_shape[2]
    tensor = torch.tensor(list(values), dtype=torch.float32)
    if tensor.shape != (channels,) or not torch.isfinite(tensor).all() or (tensor < 0).any():
        raise DataError(
            f"dataset {dataset.name!r}: {name} {tuple(values)} does not fit: "
            f"need {channels} finite values of 0 or more"
        )
    return tensor


def _spread(values: Tensor, image_shape: tuple[int, int, int]) -> Tensor:
    """Repeat one value a channel over a whole image, (1, C, H, W) channels_last.

    An operand of length 3 along the innermost axis would keep torch from vectorising; a whole image does not.
    """
    return values.expand(1, *image_shape).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
