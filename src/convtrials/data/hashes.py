"""Hashes: of a whole dataset (its fingerprint), of a pack (its key), and of every picture as it is."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.progress import progress_task
from convtrials.data.near.store import ThumbnailStore
from convtrials.data.near.thumbnails import Thumbnails, hashed, thumbnail
from convtrials.data.parallel import blocks, pool_for, reading_order
from convtrials.data.rows import rows_of
from convtrials.data.sources.base import BadImage, Listing, Source
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import UnreadableImageError

_PIECE_BYTES = 4 << 20
_NATIVE = Frame()


@dataclass(frozen=True)
class Content:
    """Fingerprint of the data, pixel statistics of the training split on the scale 0 to 1, and the brightest pixel."""

    digest: str
    mean: list[float]
    std: list[float]
    brightest: int


def content_fingerprint(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    split: NDArray[np.uint8],
    groups: NDArray[np.int32] | None,
    listing: Listing,
    weights: NDArray[np.float32] | None = None,
) -> Content:
    """Hash images, labels, class names, split, groups and weights; take mean and deviation of the training images.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        Memory-mapped or not; read in pieces.
    labels, split, groups, weights : ndarray, shape (N,)
        As in `convtrials.data.dataset.Dataset`.
    listing : Listing
        Gives class names and what groups are.

    Returns
    -------
    Content
        Sums are of integers, so the statistics do not depend on the pieces.
    """
    shape, rows = images.shape, rows_of(images)
    names = [listing.class_names, listing.group_names, listing.group_kind, listing.groups_are_sampled]
    digest = blake2b(json.dumps([shape, names]).encode(), digest_size=16)
    step = max(1, _PIECE_BYTES // max(1, int(np.prod(shape[1:]))))
    total, squares, pixels = np.zeros(shape[3], np.uint64), np.zeros(shape[3], np.uint64), 0
    brightest = 0
    for first in range(0, shape[0], step):
        piece = rows.read(np.arange(first, min(first + step, shape[0])))
        digest.update(piece.data)
        brightest = max(brightest, int(piece.max(initial=0)))
        values = piece[split[first : first + step] == 0].reshape(-1, shape[3])
        total += values.sum(0, dtype=np.uint64)
        squares += np.square(values, dtype=np.uint16).sum(0, dtype=np.uint64)
        pixels += len(values)
    for array in (labels, split, groups, weights):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    mean, std = _moments(total, squares, pixels)
    return Content(digest.hexdigest(), mean, std, brightest)


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


def pack_key(manifest: dict[str, Any], paths: Sequence[str] | None) -> str:
    """Name a pack by all that is in it: equal keys mean equal packs."""
    digest = blake2b(json.dumps(manifest, sort_keys=True).encode(), digest_size=16)
    digest.update(json.dumps(paths).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class ImageHashes:
    """What a look at every image gave.

    Attributes
    ----------
    digests : dict of int to bytes
        Hash of the decoded pixels and their size, by position in the listing; equal for equal pictures whatever
        the file format, and for grey whether stored as grey or as colour.
    bad : list of BadImage
        Files that gave no image, by position.
    """

    digests: dict[int, bytes]
    bad: list[BadImage]


@dataclass(frozen=True)
class _Seen:
    """What a look at a block of images gave; thumbnails are of the good ones, where they were asked for."""

    good: list[tuple[int, bytes]]
    bad: list[BadImage]
    thumbnails: Thumbnails | None


@dataclass(frozen=True)
class _ImageHasher:
    source: Any
    shape: tuple[int, int, int] | None
    frame: Frame
    with_thumbnails: bool

    def __call__(self, task: tuple[int, NDArray[np.int64]]) -> _Seen:
        good: list[tuple[int, bytes]] = []
        bad: list[BadImage] = []
        small: list[NDArray[np.uint8]] = []
        for index, image in self._decoded(task[1], bad):
            good.append((index, pixel_digest(image)))
            if self.with_thumbnails:
                small.append(thumbnail(image))
        return _Seen(good, bad, hashed(small) if self.with_thumbnails else None)

    def _decoded(
        self, rows: NDArray[np.int64], bad: list[BadImage]
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the images one by one; those that cannot be decoded are put into `bad`."""
        if self.shape is not None:
            start, stop = int(rows[0]), int(rows[-1]) + 1
            images, failed = self.source.read(start, stop, replace(self.frame, shape=self.shape))
            bad += failed
            gone = {item.index for item in failed}
            yield from ((start + i, own) for i, own in enumerate(images) if start + i not in gone)
            return
        for index in rows.tolist():
            try:
                image = self.source.native(index, self.frame)
            except UnreadableImageError as error:
                bad.append(BadImage(index, self.source.path_of(index), str(error)))
            else:
                yield index, image


def hash_images(
    source: Source, listing: Listing, frame: Frame = _NATIVE, store: ThumbnailStore | None = None
) -> ImageHashes:
    """Decode every image at its own size and hash its pixels.

    Parameters
    ----------
    source : Source
        Array sources are read at their native shape; a folder decodes file by file.
    listing : Listing
        The source's.
    frame : Frame
        Its scale is used; sizes are the images' own.
    store : ThumbnailStore or None
        Receives what the search for near-duplicates needs, from the same decoding.

    Returns
    -------
    ImageHashes
        Sixteen bytes per image are kept, no pixels.
    """
    found = ImageHashes({}, [])
    rows = reading_order(source, np.arange(len(listing.labels)))
    size = int(np.prod(listing.native_shape)) if listing.native_shape else 1
    hasher = _ImageHasher(source, listing.native_shape, frame, store is not None)
    with (
        pool_for(source, len(rows)) as pool,
        progress_task(f"read {source.name}", len(rows)) as progress,
    ):
        for (_, own), seen in pool.map(hasher, blocks(rows, size)):
            found.digests.update(seen.good)
            found.bad.extend(seen.bad)
            if store is not None and seen.thumbnails is not None:
                store.put(np.array([index for index, _ in seen.good], np.int64), seen.thumbnails)
            progress.advance(len(own))
    found.bad.sort(key=lambda item: item.index)
    return found


def pixel_digest(image: NDArray[np.uint8]) -> bytes:
    """Hash one image, uint8 (H, W, C); a colour image without colour hashes as the grey one it is."""
    if image.shape[2] == 3 and (image[..., :1] == image).all():
        image = image[..., :1]
    digest = blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
