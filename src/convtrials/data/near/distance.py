"""How far two thumbnails are from each other, next to how far images of this dataset are from each other anyway."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.progress import progress_task
from convtrials.data.near.candidates import Candidates
from convtrials.data.near.thumbnails import SHIFTS, SIDE, colour_of, grey_of

#: Images, drawn at random, whose distances say how similar unrelated images of this dataset are.
REFERENCES = 2000
#: The nearest of the references that counts, and the number of images from which it does.
RANK = 6
_RANK_FROM = 20_000

#: Lowest correlation of grey pixels, and of colours, of near-duplicates whatever the dataset.
LEAST_CORRELATION = 0.9
LEAST_COLOUR = 0.8
#: Correlation from which a pair counts even among many copies, which make each other's references useless.
SAME_CORRELATION = 0.995

_COARSE_CORRELATION = 0.75
_COARSE_DISTANCE = 0.7
#: Pairs at once: few enough for their pixels to stay in the processor's cache.
_BLOCK = 512
_REFERENCE_BLOCK = 4096
#: Thumbnails are continued by so many pixels: two of the shift, one around it, one for slopes.
_PADDING = 4
_FAINT_COLOUR = 3.0

Reader = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Distances:
    """Confirmed pairs.

    Attributes
    ----------
    first, second : ndarray of int64, shape (n,)
        Positions.
    distance : ndarray of float64, shape (n,)
        Distance of the pair over that to the nearest of unrelated images; 0 is the same, about 1 is unrelated.
    correlation : ndarray of float64, shape (n,)
        Of grey pixels, after the best shift.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.float64]
    correlation: NDArray[np.float64]


def pair_distances(candidates: Candidates, read: Reader, usual: NDArray[np.float64]) -> Distances:
    """Compare the pixels of candidates, and keep those that correlate.

    The distance is ``sqrt(1 - r)`` with r the correlation of grey pixels, which ignores brightness and contrast, at the
    best shift: of whole thumbnail pixels by search, of parts of one by least squares on the slopes (Lucas and Kanade
    1981). It is divided by the distance at which unrelated images of the dataset lie, as Lowe's ratio test has it
    (2004): simple pictures, such as characters by many writers, are closer to each other than photographs.

    Parameters
    ----------
    candidates : Candidates
        From `convtrials.data.near.candidates.similar_hashes`.
    read : callable
        Returns the thumbnails at some positions.
    usual : ndarray of float64, shape (n,)
        From `usual_distances`, by position; only those of candidates are used.

    Returns
    -------
    Distances
        Pairs of a correlation of `LEAST_CORRELATION` or more.
    """
    shift = np.array(SHIFTS)[candidates.shift]
    # The shifted image at a place is like the other there; seen from the other, the shift is the opposite one.
    shift = np.where(candidates.of_second[:, None], -shift, shift)
    cut = np.abs(shift).max(1, initial=0)
    found: list[tuple[NDArray[Any], ...]] = []
    with progress_task("compare pixels", len(cut)) as progress:
        for edge in range(int(cut.max(initial=0)) + 1):
            own = np.flatnonzero(cut == edge)
            for start in range(0, len(own), _BLOCK):
                rows = own[start : start + _BLOCK]
                found.append(
                    _compare(candidates.first[rows], candidates.second[rows], shift[rows], edge, read, usual)
                )
                progress.advance(len(rows))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    if not columns:
        columns = [*np.empty((2, 0), np.int64), *np.empty((2, 0))]
    order = np.lexsort((columns[1], columns[0], columns[2]))
    return Distances(*(column[order] for column in columns))


def _compare(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    shift: NDArray[np.int64],
    edge: int,
    read: Reader,
    usual: NDArray[np.float64],
) -> tuple[NDArray[Any], ...]:
    images, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    thumbnails = read(images)
    grey, colour = grey_of(thumbnails), colour_of(thumbnails)
    grey -= grey.mean((1, 2), keepdims=True)  # sums of squares of small numbers lose no digits
    one, two = places[: len(first)], places[len(first) :]
    scale = np.minimum(usual[first], usual[second])
    keep = np.flatnonzero(_plausible(_Pairs(grey, one, two, edge), shift, scale))
    keep = keep[_same_colours(colour, one[keep], two[keep])]
    r = _aligned_correlation(_Pairs(grey, one[keep], two[keep], edge), shift[keep])
    keep, r = keep[r >= LEAST_CORRELATION], r[r >= LEAST_CORRELATION]
    return first[keep], second[keep], np.sqrt(1 - r) / scale[keep], r


def usual_distances(
    count: int, wanted: NDArray[np.int64], usable: NDArray[np.int64], read: Reader
) -> NDArray[np.float64]:
    """Say how far some images are from the nearest of randomly drawn others.

    Parameters
    ----------
    count : int
        Images in all.
    wanted, usable : ndarray of int64
        Positions of the images to measure, and of those that may be drawn.
    read : callable
        Returns the thumbnails at some positions.

    Returns
    -------
    ndarray of float64, shape (count,)
        ``sqrt(1 - r)`` to the sixth nearest of 2,000 (in a set of less than 20,000 images, a farther one: copies of an
        image may be among the drawn there); 1 where nothing was measured.
    """
    draws = np.random.default_rng(0)
    drawn = np.sort(draws.choice(usable, min(REFERENCES, len(usable)), replace=False))
    rank = round(RANK * max(1.0, (_RANK_FROM / max(1, len(usable))) ** 0.5))
    rank = max(RANK, min(rank, len(drawn) // 10))
    found = np.ones(count)
    if len(drawn) < 2:
        return found
    rank = min(rank, len(drawn) - 1)
    references = _coarse(read(drawn))
    for start in range(0, len(wanted), _REFERENCE_BLOCK):
        own = wanted[start : start + _REFERENCE_BLOCK]
        squares = 1 - _coarse(read(own)) @ references.T
        squares[drawn[None, :] == own[:, None]] = np.inf
        found[own] = np.sqrt(np.clip(np.partition(squares, rank - 1, axis=1)[:, rank - 1], 1e-4, 1))
    return found


def _coarse(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Halve thumbnails and bring each to mean 0 and length 1, shape (n, pixels)."""
    half = grey_of(thumbnails).reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    return _unit(half.reshape(len(half), -1))


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = values - values.mean(1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", centred, centred))[:, None]
    result: NDArray[np.float32] = centred / np.maximum(length, 1e-3)
    return result


class _Pairs:
    """Windows of pairs of thumbnails at shifts between them.

    Of a shifted pair the edge that the other does not have is left out; one pixel of it where parts of a shift are
    looked for is continued from its neighbour.
    """

    def __init__(self, grey: NDArray[np.float32], one: NDArray[np.int64], two: NDArray[np.int64], cut: int):
        padding = ((0, 0), (_PADDING, _PADDING), (_PADDING, _PADDING))
        size = SIDE - 2 * cut
        self._pixels = size * size
        # Every window of every image is a view; only the chosen ones are copied.
        padded = np.pad(grey, padding, mode="edge")
        self._views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
        self._one, self._start = one, _PADDING + cut
        self.target = _unit(self._at(two, np.zeros((len(two), 2), np.int64)))

    def window(self, shift: NDArray[np.int64]) -> NDArray[np.float32]:
        """Pixels of the first of each pair at a shift (n, 2), that belong to those of `target`; (n, pixels)."""
        return self._at(self._one, shift)

    def correlation(self, shift: NDArray[np.int64]) -> NDArray[np.float64]:
        """Correlation of windows and targets."""
        pixels = self.window(shift)
        squares = np.einsum("ij,ij->i", pixels, pixels) - pixels.shape[1] * np.square(pixels.mean(1))
        products = np.einsum("ij,ij->i", pixels, self.target)  # the target's mean is 0
        return np.asarray(products / np.sqrt(np.maximum(squares, 1e-3)), np.float64)

    def _at(self, which: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.float32]:
        cut = self._views[which, shift[:, 0] + self._start, shift[:, 1] + self._start]
        return np.ascontiguousarray(cut.reshape(len(which), self._pixels))


def _plausible(pairs: _Pairs, shift: NDArray[np.int64], scale: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether pairs are near enough at the shift that their hashes suggest."""
    r = pairs.correlation(shift)
    near = np.sqrt(np.clip(1 - r, 0, None)) <= _COARSE_DISTANCE * scale
    return np.asarray((r >= _COARSE_CORRELATION) & near | (r >= SAME_CORRELATION - 0.01))


def _aligned_correlation(pairs: _Pairs, shift: NDArray[np.int64]) -> NDArray[np.float64]:
    """Correlation of pairs at the best shift within one pixel of the suggested one."""
    best, at = np.full(len(shift), -1.0), shift.copy()
    for step in [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]:
        r = pairs.correlation(shift + step)
        better = r > best
        best[better], at[better] = r[better], (shift + step)[better]
    return np.clip(_within_a_pixel(pairs, at), best, 1)


def _within_a_pixel(pairs: _Pairs, at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Correlation after a further shift of less than a pixel, by least squares; -1 where that leads farther."""
    parts: list[NDArray[Any]] = [pairs.window(at)]
    for step in (np.array((1, 0)), np.array((0, 1))):
        parts.append((pairs.window(at + step) - pairs.window(at - step)) / 2)
    columns = np.stack([part - part.mean(1, keepdims=True) for part in parts], 1).astype(np.float64)
    products = columns @ columns.transpose(0, 2, 1)
    # A slope that is nothing anywhere would make the equations singular; grey levels are 1 apart.
    products[:, range(3), range(3)] += 1e-3
    with_target = columns @ pairs.target.astype(np.float64)[:, :, None]
    solved = np.linalg.solve(products, with_target)[:, :, 0]
    explained = (with_target[:, :, 0] * solved).sum(1)
    within = (np.abs(solved[:, 1:]) <= 0.75 * np.abs(solved[:, :1])).all(1) & (solved[:, 0] > 0)
    return np.where(within, np.sqrt(np.clip(explained, 0, 1)), -1.0)


def _same_colours(
    colour: NDArray[np.float32], one: NDArray[np.int64], two: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether two images have the same colours, as strong or not; an image without colour is like any."""
    a, b = colour[one], colour[two]
    strength_a, strength_b = (np.sqrt((plane * plane).mean(1)) for plane in (a, b))
    faint = np.minimum(strength_a, strength_b) < _FAINT_COLOUR
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a * b).mean(1) / (strength_a * strength_b)
    return np.asarray(faint | (r >= LEAST_COLOUR))
