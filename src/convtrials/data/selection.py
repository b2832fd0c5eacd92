"""What a pack will hold, decided before anything is decoded: which images, of which shape, in which split."""

import difflib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.log import get_logger
from convtrials.core.streams import stream_generator
from convtrials.data.class_names import composed, likeness, shortened
from convtrials.data.options import DatasetOptions
from convtrials.data.parallel import WorkerPool, blocks, reading_order
from convtrials.data.sources.base import Listing, Source
from convtrials.data.sources.images import Header
from convtrials.data.split import SPLITS, assign_splits, share_out

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
    wanted = [_as_spelled(name, listing.class_names) for name in wanted]
    _check_wanted(wanted, listing.class_names)
    kept = [label for label, name in enumerate(listing.class_names) if name in set(wanted)]
    new_labels = np.full(len(listing.class_names), -1, np.int64)
    new_labels[kept] = np.arange(len(kept))
    names = tuple(listing.class_names[label] for label in kept)
    return replace(listing, class_names=names, labels=new_labels[listing.labels])


def _as_spelled(name: str, known: Sequence[str]) -> str:
    """Return a typed name in the listing's spelling of Unicode."""
    same = [one for one in known if composed(one) == composed(name)]
    return same[0] if same and name not in known else name


def refuse_one_class(where: str, listing: Listing) -> None:
    """Refuse images of one class, or of none: nothing can be learned from them."""
    if len(listing.class_names) < 2:
        raise DataError(
            f"{where}: one class only{', ' + listing.class_names[0] if listing.class_names else ''}; a classifier "
            "needs two or more"
        )


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


def drawn_splits(listing: Listing, rows: NDArray[np.int64], split: NDArray[np.uint8]) -> tuple[str, ...]:
    """Names of the splits with images that the source did not put there: val, where it has train and test alone."""
    given = None if listing.split is None else listing.split[rows]
    return tuple(
        name
        for code, name in enumerate(SPLITS)
        if (split == code).any() and (given is None or (code > 0 and not (given == code).any()))
    )


def refuse_untrained(
    where: str, listing: Listing, labels: NDArray[np.int64], split: NDArray[np.uint8]
) -> None:
    """Refuse a split that leaves a class without an image to train on."""
    names = listing.class_names
    trained = np.bincount(labels[split == 0], minlength=len(names))
    missing = [name for name, count in zip(names, trained, strict=True) if not count]
    if missing:
        present = [name for name, count in zip(names, trained, strict=True) if count]
        raise DataError(
            f"{where}: no training image for class {shortened(missing)}{likeness(missing, present)}"
        )


def choose_shape(
    source: Source, listing: Listing, options: DatasetOptions, headers: Collection[Header] | None
) -> tuple[int, int, int]:
    """(H, W, C) of the pack: as asked for, else as all images have it, else 64 x 64 and 3 channels.

    Parameters
    ----------
    headers : collection of Header or None
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
) -> Counter[Header] | None:
    """Count the headers of the chosen images; None where the source has no files, or nothing depends on them."""
    if listing.native_shape or (options.image_size is not None and options.channels is not None):
        return None
    headers: Counter[Header] = Counter()
    for _, found in pool.map(HeaderReader(source), blocks(rows[reading_order(source, rows)], 1)):
        headers.update(found)
    return headers


def source_images(
    listing: Listing, rows: NDArray[np.int64], headers: Counter[Header] | None
) -> dict[str, Any] | None:
    """Say how large the chosen images are at the source, and how many are grey; None where nothing had to know.

    Returns
    -------
    dict or None
        ``smallest`` and ``largest``, height and width in pixels, by area; ``grey`` and ``colour``, numbers of images.
    """
    if listing.native_shape is not None:
        headers = Counter({Header(*listing.native_shape, False): len(rows)})
    if not headers:
        return None
    sizes = sorted({own[:2] for own in headers}, key=lambda size: (size[0] * size[1], size))
    grey = sum(count for own, count in headers.items() if own.channels == 1)
    return {
        "smallest": list(sizes[0]),
        "largest": list(sizes[-1]),
        "grey": grey,
        "colour": headers.total() - grey,
    }


@dataclass(frozen=True)
class HeaderReader:
    """Reads the headers of a source's files and counts them."""

    source: Any

    def __call__(self, task: tuple[int, NDArray[np.int64]]) -> Counter[Header]:
        """Look at the listing's `rows`."""
        headers: Counter[Header] = Counter()
        for row in task[1]:
            headers.update(self.source.headers(int(row), int(row) + 1))
        return headers
