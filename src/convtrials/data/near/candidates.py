"""Pairs of similar hashes among very many, without comparing all with all."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from convtrials.core.progress import progress_task

#: Bits of 64 in which hashes of one pair may differ.
MOST_BITS = 8
#: Bands that a hash is cut into. Every two of them are a key, so hashes that differ in at most four bits share one.
BANDS = 6
#: Images of one key that an image is compared with; of more, those of the most similar further bits.
MOST_OF_A_KEY = 8
#: Pairs that are kept of an image: the most similar hashes.
MOST_OF_AN_IMAGE = 24

_CHUNK = 1 << 18
_PENDING = 1 << 22
_INDEX_BITS = 28
_INDEX = (1 << _INDEX_BITS) - 1
#: More images than this cannot be numbered in a pair's code.
MOST_IMAGES = 1 << _INDEX_BITS


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs whose hashes are similar, each once.

    Attributes
    ----------
    first, second : ndarray of int64, shape (n,)
        Positions, ``first < second``.
    shift : ndarray of int64, shape (n,)
        Which of the shifts made them most similar; shift of `second` where `of_second`, else of `first`.
    of_second : ndarray of bool, shape (n,)
    crowded : ndarray of int64
        Positions of images of which pairs were skipped or dropped because too many images are like them.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shift: NDArray[np.int64]
    of_second: NDArray[np.bool_]
    crowded: NDArray[np.int64]


def similar_hashes(hashes: NDArray[np.uint64]) -> Candidates:
    """Find pairs of images of which one's hash is like a hash of the other, shifted or not.

    Multi-index hashing as of Manku, Jain and Das Sarma (2007, "Detecting near-duplicates for web crawling"): 15 tables,
    sorted by two of six bands each. Time and memory grow with the number of images: of a key that very many share,
    `MOST_OF_A_KEY` are compared, and `MOST_OF_AN_IMAGE` pairs are kept of an image.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, shifts)
        As `convtrials.data.near.thumbnails.perceptual_hashes` gives them; column 0 is unshifted.

    Returns
    -------
    Candidates
        All pairs that differ in four bits or fewer and are in no crowd, most of those that differ in up to
        `MOST_BITS`.
    """
    count, shifts = hashes.shape
    if count >= MOST_IMAGES:
        raise ValueError(f"{count} images; fewer than {MOST_IMAGES} can be compared")
    crowded = np.zeros(count, bool)
    kept = _KeptPairs(crowded)
    base = np.ascontiguousarray(hashes[:, 0])
    tables = list(combinations(range(BANDS), 2))
    with progress_task("compare hashes", len(tables) * shifts) as progress:
        for bands in tables:
            table = _Table(base, bands)
            for shift in range(shifts):
                for start in range(0, count, _CHUNK):
                    own = hashes[start : start + _CHUNK, shift]
                    for code in table.similar(own, start, shift, crowded):
                        kept.add(code)
                progress.advance()
    return _each_once(kept.codes(), count, np.flatnonzero(crowded))


class _Table:
    """Hashes sorted by two of their bands."""

    def __init__(self, base: NDArray[np.uint64], bands: tuple[int, int]):
        # Key bands in front: sorted, equal keys lie together, and among them those of equal further bits.
        self._bands = [*bands, *(band for band in range(BANDS) if band not in bands)]
        self._bits = sum(_band(band)[1] for band in bands)
        moved = self._moved(base)
        self._order = np.argsort(moved, kind="stable")
        self._moved_hashes = moved[self._order]
        keys = self._keys(moved)
        self._starts = np.zeros((1 << self._bits) + 1, np.int64)
        np.cumsum(np.bincount(keys, minlength=1 << self._bits), out=self._starts[1:])

    def _moved(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Put the bands into this table's order; as many bits differ between two hashes as before."""
        moved = np.zeros(len(hashes), np.uint64)
        for band in self._bands:
            start, width = _band(band)
            moved = (moved << np.uint64(width)) | ((hashes >> np.uint64(start)) & np.uint64((1 << width) - 1))
        return moved

    def _keys(self, moved: NDArray[np.uint64]) -> NDArray[np.int64]:
        return (moved >> np.uint64(64 - self._bits)).astype(np.int64)

    def similar(
        self, hashes: NDArray[np.uint64], first: int, shift: int, crowded: NDArray[np.bool_]
    ) -> Iterator[NDArray[np.uint64]]:
        """Yield codes of pairs of images `first` and on with others of equal keys; mark unshifted ones in a crowd."""
        moved = self._moved(hashes)
        keys = self._keys(moved)
        start = self._starts[keys]
        length = self._starts[keys + 1] - start
        crowd = np.flatnonzero(length > MOST_OF_A_KEY)
        if not shift:
            crowded[first + crowd] = True
        middle = np.searchsorted(self._moved_hashes, moved[crowd]) - MOST_OF_A_KEY // 2
        last = start[crowd] + length[crowd] - MOST_OF_A_KEY
        start[crowd] = np.clip(middle, start[crowd], last)
        length = np.minimum(length, MOST_OF_A_KEY)
        active = np.flatnonzero(length)
        step = 0
        while len(active):
            place = start[active] + step
            bits = np.bitwise_count(self._moved_hashes[place] ^ moved[active])
            close = np.flatnonzero(bits <= MOST_BITS)
            own, other = active[close] + first, self._order[place[close]]
            different = own != other
            yield _code(own[different], bits[close][different], shift, other[different])
            step += 1
            active = active[length[active] > step]


def _band(number: int) -> tuple[int, int]:
    """First bit and width of a band."""
    edges = [round(64 * band / BANDS) for band in range(BANDS + 1)]
    return edges[number], edges[number + 1] - edges[number]


def _code(
    own: NDArray[np.int64], bits: NDArray[np.uint8], shift: int, other: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """One number for a pair; sorted, the most similar of each image come first."""
    front = (own.astype(np.uint64) << np.uint64(4)) | bits
    return (((front << np.uint64(4)) | np.uint64(shift)) << np.uint64(_INDEX_BITS)) | other.astype(np.uint64)


class _KeptPairs:
    """Codes of pairs, each once, and of bounded number."""

    def __init__(self, crowded: NDArray[np.bool_]):
        self._crowded = crowded
        self._done = np.empty(0, np.uint64)
        self._pending: list[NDArray[np.uint64]] = []
        self._count = 0

    def add(self, codes: NDArray[np.uint64]) -> None:
        if len(codes):
            self._pending.append(codes)
            self._count += len(codes)
        if self._count > _PENDING:
            self.codes()

    def codes(self) -> NDArray[np.uint64]:
        codes = np.unique(np.concatenate([self._done, *self._pending]))
        self._pending, self._count = [], 0
        image = (codes >> np.uint64(_INDEX_BITS + 8)).astype(np.int64)
        begins = np.flatnonzero(np.r_[True, image[1:] != image[:-1]]) if len(image) else image
        rank = np.arange(len(image)) - np.repeat(begins, np.diff(np.r_[begins, len(image)]))
        self._crowded[image[rank >= MOST_OF_AN_IMAGE]] = True
        self._done = codes[rank < MOST_OF_AN_IMAGE]
        return self._done


def _each_once(codes: NDArray[np.uint64], count: int, crowded: NDArray[np.int64]) -> Candidates:
    own = (codes >> np.uint64(_INDEX_BITS + 8)).astype(np.int64)
    other = (codes & np.uint64(_INDEX)).astype(np.int64)
    rank = ((codes >> np.uint64(_INDEX_BITS)) & np.uint64(0xFF)).astype(np.int64)  # bits, then shift
    pair = np.minimum(own, other) * count + np.maximum(own, other)
    order = np.lexsort((rank, pair))
    order = order[np.r_[True, np.diff(pair[order]) != 0]] if len(order) else order
    own, other = own[order], other[order]
    return Candidates(np.minimum(own, other), np.maximum(own, other), rank[order] & 15, own > other, crowded)
