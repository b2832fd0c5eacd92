"""What is white in images of more than 8 bits, found over a whole dataset.

A 12-bit camera stores its 4,096 levels in 16-bit files: read on the scale of 16 bits they would be nearly black. The
range is found over all images and not for each: relative brightness is information.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.progress import progress_task
from convtrials.data.options import DatasetOptions
from convtrials.data.parallel import WorkerPool, blocks, reading_order
from convtrials.data.sources.base import Listing, Source
from convtrials.data.sources.extent import Extent, HasExtent
from convtrials.data.sources.frame import PixelScale
from convtrials.data.sources.images import Header

#: Numbers of bits that cameras and scanners have.
USUAL_BITS = (8, 10, 12, 14, 16)
#: Floats that end between the two are on neither of the usual scales.
_FLOAT_ENDS = (1.0, 32.0, 255.0)


def find_scale(
    source: Source,
    listing: Listing,
    rows: NDArray[np.int64],
    options: DatasetOptions,
    pool: WorkerPool,
    headers: Collection[Header] | None = None,
) -> tuple[PixelScale, tuple[str, ...]]:
    """Find what is white in a dataset.

    Parameters
    ----------
    rows : ndarray of int64
        The images to use, by position in the listing.
    headers : collection of Header, optional
        Of all of them, where they have been read: without a wide one there is nothing to find.

    Returns
    -------
    scale : PixelScale
        As ``options.bits`` says, else from the largest values.
    notes : tuple of str
        What was found, for people.

    Raises
    ------
    DataError
        Values of no known range, or of different ranges in two splits; bits of images that have 8.
    """
    narrow = headers is not None and not any(header.wide for header in headers)
    if options.bits is not None:
        white = 2**options.bits - 1
        if options.bits > 8 and (narrow or (headers is None and not _any_wide(source, listing, rows))):
            raise DataError(f"bits {options.bits}: {source.location} has images of 8 bits; leave it out")
        return PixelScale(white, float(white), min(white, 255), white), ()
    if narrow or not isinstance(source, HasExtent):
        return PixelScale(), ()
    found = _extents(source, listing, rows, pool)
    every = Extent()
    for extent in found.values():
        every = every.joined(extent)
    notes = []
    integers, floats = 65535, 1.0
    if every.integers >= 0:
        bits = _bits(source, every.integers)
        integers = 2**bits - 1
        notes.append(
            f"{bits}-bit images: the largest value is {every.integers:,}, so {integers:,} is white (--bits)"
        )
    if every.floats >= 0:
        floats = _white_of_floats(source, found, every.floats)
        notes.append(f"float images: the largest value is {every.floats:g}, so {floats:g} is white (--bits)")
    if 0 <= every.reduced < 128:
        raise DataError(
            f"{source.location}: 16-bit colour images that end at {every.reduced / 255:.0%} of white, as of a camera "
            "with fewer bits, and only 8 of the 16 bits can be decoded: convert them to 8 bits, or say --bits 16 if "
            "they are as dark as that"
        )
    return PixelScale(integers, floats), tuple(notes)


def _extents(
    source: Source, listing: Listing, rows: NDArray[np.int64], pool: WorkerPool
) -> dict[int, Extent]:
    """Return the extent of each given split, by code; of all as one where the source is not split."""
    split = np.zeros(len(listing.labels), np.uint8) if listing.split is None else listing.split
    found: dict[int, Extent] = {}
    size = int(np.prod(listing.native_shape)) if listing.native_shape else 1
    with progress_task(f"find the range of {source.name}", len(rows)) as progress:
        for code in np.unique(split[rows]).tolist():
            own = rows[split[rows] == code]
            own = own[reading_order(source, own)]
            for (_, part), extent in pool.map(ExtentReader(source), blocks(own, size)):
                found[code] = found.get(code, Extent()).joined(extent)
                progress.advance(len(part))
    return found


@dataclass(frozen=True)
class ExtentReader:
    """Reads the largest values of a source's images."""

    source: Any

    def __call__(self, task: tuple[int, NDArray[np.int64]]) -> Extent:
        """Look at the listing's `rows`."""
        rows, extent = task[1], Extent()
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
            extent = extent.joined(self.source.extent(int(rows[run[0]]), int(rows[run[-1]]) + 1))
        return extent


def _any_wide(source: Source, listing: Listing, rows: NDArray[np.int64]) -> bool:
    """Whether the images of any split, each of one array, have more than 8 bits."""
    if not isinstance(source, HasExtent):
        return True  # numbers in a table
    if listing.native_shape is None:
        return any(source.wide(row) for row in rows.tolist())
    split = np.zeros(len(rows), np.uint8) if listing.split is None else listing.split[rows]
    return any(source.wide(int(rows[place])) for place in np.unique(split, return_index=True)[1])


def _bits(source: Source, largest: int) -> int:
    for bits in USUAL_BITS:
        if largest < 2**bits:
            return bits
    raise DataError(
        f"{source.location}: values up to {largest:,}; up to 65,535 are understood by themselves, say --bits 32 or so "
        "if they are brightness"
    )


def _white_of_floats(source: Source, found: dict[int, Extent], largest: float) -> float:
    low, middle, high = _FLOAT_ENDS
    if not largest <= high or low < largest < middle:
        raise DataError(
            f"{source.location}: floats up to {largest:g}; 0 to 1 or 0 to 255 are understood, other ranges with --bits "
            "(white is 2**bits - 1); undo any normalisation"
        )
    ends = [extent.floats for extent in found.values() if extent.floats > 0]
    if largest > low and any(end <= low for end in ends):
        raise DataError(
            f"{source.location}: floats that end at {min(ends):g} in one split and at {largest:g} in another; "
            "bring all to one scale"
        )
    return low if largest <= low else high
