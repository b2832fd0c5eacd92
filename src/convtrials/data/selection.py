"""What a pack will hold, decided before anything is decoded: which images, of which shape, in which split."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.log import get_logger
from convtrials.core.streams import stream_generator
from convtrials.data.options import DatasetOptions
from convtrials.data.parallel import WorkerPool, blocks
from convtrials.data.sources.base import Listing, Source
from convtrials.data.sources.images import Header
from convtrials.data.split import assign_splits, share_out

_log = get_logger(__name__)

#: Where no size is asked for: the native one up to this many pixels per side, else `DEFAULT_SIDE`.
MAX_NATIVE_SIDE = 224
DEFAULT_SIDE = 64


def only_classes(listing: Listing, wanted: Sequence[str] | None) -> Listing:
    """Keep some classes of a listing; images of the others stay in it with the label -1, which `choose_rows` skips.

    Parameters
    ----------
    wanted : sequence of str or None
        Names of classes; None keeps all. They stay in the listing's order.

    Raises
    ------
    DataError
        A name is no class of this listing, or stands twice, or there are fewer than two.
    """
    if wanted is None:
        return listing
    _check_wanted(wanted, listing.class_names)
    kept = [label for label, name in enumerate(listing.class_names) if name in set(wanted)]
    new_labels = np.full(len(listing.class_names), -1, np.int64)
    new_labels[kept] = np.arange(len(kept))
    names = tuple(listing.class_names[label] for label in kept)
    return replace(listing, class_names=names, labels=new_labels[listing.labels])


def _check_wanted(wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known[:40])}"
            raise DataError(f"classes: {name!r:.60} is not a class of this dataset; {hint}")
    if len(set(wanted)) < len(wanted):
        raise DataError("classes: a name is listed twice")


def choose_rows(listing: Listing, samples_per_class: int | None) -> NDArray[np.int64]:
    """Positions of the images to use, ascending: all, or so many per class, drawn evenly over the given splits."""
    if samples_per_class is None:
        return np.flatnonzero(listing.labels >= 0)
    chosen: list[NDArray[np.int64]] = []
    for label in range(len(listing.class_names)):
        own = np.flatnonzero(listing.labels == label)
        if len(own) > samples_per_class:
            parts = np.zeros(len(own), np.uint8) if listing.split is None else listing.split[own]
            codes, sizes = np.unique(parts, return_counts=True)
            generator = stream_generator(0, "subset", label)
            for code, count in zip(codes, share_out(samples_per_class, sizes / sizes.sum()), strict=True):
                chosen.append(generator.permutation(own[parts == code])[:count])
        else:
            chosen.append(own)
    return np.sort(np.concatenate(chosen)) if chosen else np.arange(0)


def split_rows(
    listing: Listing, rows: NDArray[np.int64], ratios: tuple[float, float, float], seed: int
) -> NDArray[np.uint8]:
    """Assign the chosen rows of a listing to splits; what the source fixed stays."""
    return assign_splits(
        listing.labels[rows],
        ratios=ratios,
        seed=seed,
        groups=None if listing.groups is None else listing.groups[rows],
        groups_are_sampled=listing.groups_are_sampled,
        given=None if listing.split is None else listing.split[rows],
    )


def refuse_untrained(
    where: str, listing: Listing, labels: NDArray[np.int64], split: NDArray[np.uint8]
) -> None:
    """Refuse a split that leaves a class without an image to train on."""
    trained = np.bincount(labels[split == 0], minlength=len(listing.class_names))
    missing = [name for name, count in zip(listing.class_names, trained, strict=True) if not count]
    if missing:
        raise DataError(
            f"{where}: no training image for class {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        )


def choose_shape(
    source: Source, listing: Listing, options: DatasetOptions, headers: set[Header] | None
) -> tuple[int, int, int]:
    """(H, W, C) of the pack: as asked for, else as all images have it, else 64 x 64 and 3 channels.

    Parameters
    ----------
    headers : set of Header or None
        From `read_headers`.
    """
    side, channels = options.image_size, options.channels
    native = {listing.native_shape} if listing.native_shape else {own[:3] for own in headers or ()}
    if channels is None:
        channels = 1 if native and all(own[2] == 1 for own in native) else 3
    if side is not None:
        return side, side, channels
    sizes = {own[:2] for own in native}
    if len(sizes) == 1:
        height, width = next(iter(sizes))
        if min(height, width) >= 1 and max(height, width) <= MAX_NATIVE_SIDE:
            return height, width, channels
    if not sizes:
        return DEFAULT_SIDE, DEFAULT_SIDE, channels  # no file can be read, as decoding will say of each
    why = "images differ in size" if len(sizes) > 1 else f"images are larger than {MAX_NATIVE_SIDE} pixels"
    _log.info(f"{source.name}: {why}; packed at {DEFAULT_SIDE} x {DEFAULT_SIDE} (--image-size sets another)")
    return DEFAULT_SIDE, DEFAULT_SIDE, channels


def read_headers(
    source: Source, listing: Listing, rows: NDArray[np.int64], options: DatasetOptions, pool: WorkerPool
) -> set[Header] | None:
    """Distinct headers of the chosen images; None where the source has no files, or nothing depends on them."""
    if listing.native_shape or (options.image_size is not None and options.channels is not None):
        return None
    headers: set[Header] = set()
    for _, found in pool.map(HeaderReader(source), blocks(rows, 1)):
        headers |= found
    return headers


@dataclass(frozen=True)
class HeaderReader:
    """Reads the headers of a source's files; returns the distinct ones."""

    source: Any

    def __call__(self, task: tuple[int, NDArray[np.int64]]) -> set[Header]:
        """Look at the listing's `rows`."""
        headers: set[Header] = set()
        for row in task[1]:
            headers |= self.source.headers(int(row), int(row) + 1)
        return headers
