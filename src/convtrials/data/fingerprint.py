"""What a dataset is, in one line of hex: hashed, and measured, in one pass of bounded memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.data.sources.base import Listing

_PIECE_BYTES = 4 << 20


@dataclass(frozen=True)
class Content:
    """Fingerprint of the data, and pixel statistics of the training split on the scale 0 to 1."""

    digest: str
    mean: list[float]
    std: list[float]


def content_fingerprint(
    images_file: Path,
    labels: NDArray[np.int64],
    split: NDArray[np.uint8],
    groups: NDArray[np.int32] | None,
    listing: Listing,
) -> Content:
    """Hash images, labels, class names, split and groups; take mean and deviation of the training images.

    Parameters
    ----------
    images_file : Path
        uint8 (N, H, W, C) as ``.npy``; read in pieces.
    labels, split, groups : ndarray, shape (N,)
        As in `convtrials.data.dataset.Dataset`.
    listing : Listing
        Gives class names and what groups are.

    Returns
    -------
    Content
        Sums are of integers, so the statistics do not depend on the pieces.
    """
    shape, offset = _header(images_file)
    names = [listing.class_names, listing.group_names, listing.group_kind, listing.groups_are_sampled]
    digest = blake2b(json.dumps([shape, names]).encode(), digest_size=16)
    rows = max(1, _PIECE_BYTES // max(1, int(np.prod(shape[1:]))))
    total, squares, pixels = np.zeros(shape[3], np.uint64), np.zeros(shape[3], np.uint64), 0
    with open(images_file, "rb") as file:
        file.seek(offset)
        for first in range(0, shape[0], rows):
            count = min(rows, shape[0] - first)
            piece = np.fromfile(file, np.uint8, count * int(np.prod(shape[1:]))).reshape(count, *shape[1:])
            digest.update(piece.data)
            values = piece[split[first : first + count] == 0].reshape(-1, shape[3])
            total += values.sum(0, dtype=np.uint64)
            squares += np.square(values, dtype=np.uint16).sum(0, dtype=np.uint64)
            pixels += len(values)
    for array in (labels, split, groups):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    mean, std = _moments(total, squares, pixels)
    return Content(digest.hexdigest(), mean, std)


def pack_key(manifest: dict[str, Any], paths: Sequence[str] | None) -> str:
    """Name a pack by all that is in it: equal keys mean equal packs."""
    digest = blake2b(json.dumps(manifest, sort_keys=True).encode(), digest_size=16)
    digest.update(json.dumps(paths).encode())
    return digest.hexdigest()


def _header(file: Path) -> tuple[tuple[int, ...], int]:
    with open(file, "rb") as stream:
        version = np.lib.format.read_magic(stream)
        reader = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        return reader(stream)[0], stream.tell()


def _moments(
    total: NDArray[np.uint64], squares: NDArray[np.uint64], pixels: int
) -> tuple[list[float], list[float]]:
    mean, std = [], []
    for one, two in zip(total.tolist(), squares.tolist(), strict=True):
        # Python's integers: n * sum of squares passes 2**64 on large sets, and no digit may be lost.
        variance = (pixels * two - one * one) / (pixels * pixels * 255.0**2) if pixels else 0.0
        mean.append(one / (pixels * 255.0) if pixels else 0.0)
        std.append(float(np.sqrt(max(variance, 0.0))))
    return mean, std
