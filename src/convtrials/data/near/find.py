"""Near-duplicates of a source: candidates by their hashes, confirmed by their pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convtrials.data.near.candidates import similar_hashes
from convtrials.data.near.distance import SAME_CORRELATION, pair_distances, usual_distances
from convtrials.data.near.store import ThumbnailStore

#: Distance up to which a pair is listed, where nothing else is asked for.
NEAR_DISTANCE = 0.3
#: Distance up to which a pair is certainly one picture.
CERTAIN_DISTANCE = 0.15
#: Correlation that a certain pair has, too.
CERTAIN_CORRELATION = 0.98


@dataclass(frozen=True)
class NearPair:
    """Two pictures that show the same with other pixels.

    Attributes
    ----------
    files : tuple of two str
        Their files, or their positions where the source has no file for each.
    indices : tuple of two int
        Positions in the listing.
    classes, splits : tuple of two str
    distance : float
        0 for equal pictures, about 1 for unrelated ones.
    correlation : float
        Of grey pixels, after the best shift.
    certain : bool
        Whether it is one picture beyond doubt.
    """

    files: tuple[str, str]
    indices: tuple[int, int]
    classes: tuple[str, str]
    splits: tuple[str, str]
    distance: float
    correlation: float
    certain: bool

    @property
    def across(self) -> bool:
        """Whether they are in two splits."""
        return self.splits[0] != self.splits[1]

    @property
    def conflict(self) -> bool:
        """Whether they are under two classes."""
        return self.classes[0] != self.classes[1]

    def __str__(self) -> str:
        return f"{self.files[0]} ~ {self.files[1]} (distance {self.distance:.2f})"


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of images that show the same, nearest first.

    Attributes
    ----------
    first, second : ndarray of int64, shape (n,)
        Positions in the listing, ``first < second``.
    distance, correlation : ndarray of float64, shape (n,)
        As `convtrials.data.near.distance.Distances` has them.
    certain : ndarray of bool, shape (n,)
        Pairs that are one picture beyond doubt.
    flat : ndarray of int64
        Images of one colour all over, which are not compared.
    crowded : ndarray of int64
        Images that so many others resemble that not all pairs of them were compared.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.float64]
    correlation: NDArray[np.float64]
    certain: NDArray[np.bool_]
    flat: NDArray[np.int64]
    crowded: NDArray[np.int64]


def find_near_duplicates(
    store: ThumbnailStore, positions: NDArray[np.int64], *, distance: float = NEAR_DISTANCE
) -> NearDuplicates:
    """Find pairs of images that show the same with other pixels.

    Parameters
    ----------
    store : ThumbnailStore
        Of the source's images.
    positions : ndarray of int64
        Images to compare, ascending: one of each set of equal pictures.
    distance : float
        Pairs up to this distance are listed, see `convtrials.data.near.distance.pair_distances`.

    Returns
    -------
    NearDuplicates
    """
    flat, usable = positions[store.flat[positions]], positions[~store.flat[positions]]
    found = similar_hashes(store.hashes[usable])
    wanted = np.unique(np.concatenate([found.first, found.second]))

    def read(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return store.read(usable[rows])

    usual = usual_distances(len(usable), wanted, np.arange(len(usable)), read)
    pairs = pair_distances(found, read, usual)
    near = (pairs.distance <= distance) | ((pairs.correlation >= SAME_CORRELATION) & (distance > 0))
    kept = np.flatnonzero(near)
    certain = (pairs.distance[kept] <= min(distance, CERTAIN_DISTANCE)) & (
        pairs.correlation[kept] >= CERTAIN_CORRELATION
    )
    return NearDuplicates(
        usable[pairs.first[kept]],
        usable[pairs.second[kept]],
        pairs.distance[kept],
        pairs.correlation[kept],
        certain,
        flat,
        usable[found.crowded],
    )
