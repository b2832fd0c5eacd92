"""A dataset: packed images, labels, class names, a train/val/test split, and a fingerprint."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError

SplitName = Literal["train", "val", "test"]

#: The order gives the codes in ``Dataset.split``: 0 train, 1 val, 2 test.
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, all of one size, and which of them are for what.

    Attributes
    ----------
    name : str
        A built-in name or the last part of a path.
    images : ndarray of uint8, shape (N, H, W, C)
        Usually memory-mapped. C is 1 or 3.
    labels : ndarray of int64, shape (N,)
        Indices into `class_names`.
    class_names : tuple of str
        One name a class.
    split : ndarray of uint8, shape (N,)
        0 train, 1 val, 2 test.
    fingerprint : str
        Hex digest of images, labels, class names, split and groups: equal fingerprints mean equal data.
    mean, std : tuple of float, length C
        Pixel mean and standard deviation of the training split, on the scale 0 to 1.
    groups : ndarray of int32, shape (N,), or None
        What each image came from (typeface, writer) where the source knows.
    group_names : tuple of str
        One name a group; empty where there are no groups.
    group_kind : str or None
        What a group is: ``"typeface"``, ``"writer"``.
    groups_are_sampled : bool
        True where groups are a sample of many (writers): they are then the unit of statistics and of splits.
        False for a fixed factor (typefaces).
    folder : Path or None
        The pack on disk; None for a dataset made in memory.
    manifest : dict
        The pack's manifest: source, counts, sizes, quarantined files, split seed and ratios.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    split: NDArray[np.uint8]
    fingerprint: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    groups: NDArray[np.int32] | None = None
    group_names: tuple[str, ...] = ()
    group_kind: str | None = None
    groups_are_sampled: bool = False
    folder: Path | None = None
    manifest: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def indices(self, split: SplitName) -> NDArray[np.int64]:
        """Positions of the images of one split, ascending, shape (n,), int64."""
        if split not in SPLITS:
            raise DataError(f"split {split!r} does not exist: choose one of {', '.join(SPLITS)}")
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def counts(self) -> dict[str, int]:
        """Images in each split."""
        return {name: int((self.split == code).sum()) for code, name in enumerate(SPLITS)}
