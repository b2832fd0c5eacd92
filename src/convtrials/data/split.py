"""Which images train, which validate, which test: stratified, seeded, groups kept whole."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.streams import stream_generator

SplitName = Literal["train", "val", "test"]

#: The order gives the codes in ``Dataset.split``: 0 train, 1 val, 2 test.
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
#: Words for splits in names of arrays and files, and in values of tables, with their codes.
SPLIT_WORDS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
#: Train, validation and test shares unless others are given.
DEFAULT_RATIOS = (0.7, 0.15, 0.15)

#: Marks an image that the source left unassigned.
UNASSIGNED = 255


def check_ratios(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the ratios as three floats, or say what is wrong with them."""
    try:
        values = tuple(float(ratio) for ratio in ratios)
    except (TypeError, ValueError):
        values = ()
    good = len(values) == 3 and all(0 <= value <= 1 for value in values) and values[0] > 0
    if not good or abs(sum(values) - 1) > 1e-6:
        raise DataError(
            f"ratios {', '.join(f'{value:g}' for value in values)}: three shares for train, val and test are "
            "needed, each 0 to 1, train above 0, together 1 (such as 0.7,0.15,0.15)"
        )
    return values[0], values[1], values[2]


def assign_splits(
    labels: NDArray[np.int64],
    *,
    ratios: Sequence[float] = DEFAULT_RATIOS,
    seed: int = 0,
    groups: NDArray[np.int32] | None = None,
    groups_are_sampled: bool = False,
    given: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Assign every image to a split.

    Shares are kept class by class, by largest remainder; a class of at least as many images as there are splits
    has one in each. Sampled groups (writers) stay whole, with shares as near as they allow; a fixed factor
    (typefaces) is spread evenly over the splits of each class.

    Parameters
    ----------
    labels : ndarray of int64, shape (N,)
    ratios : sequence of three floats
        Train, val, test; they add up to 1.
    seed : int
        Another seed, another assignment.
    groups : ndarray of int32, shape (N,), or None
    groups_are_sampled : bool
        Whether groups are kept whole (True) or spread (False).
    given : ndarray of uint8, shape (N,), or None
        What the source fixed: 0, 1, 2, or 255 for open. Open images go to the splits that `given` has none of.

    Returns
    -------
    ndarray of uint8, shape (N,)
        0 train, 1 val, 2 test.
    """
    values = check_ratios(ratios)
    split = np.full(len(labels), UNASSIGNED, np.uint8) if given is None else given.astype(np.uint8)
    fixed = {int(code) for code in np.unique(split)} - {UNASSIGNED}
    open_rows = np.flatnonzero(split == UNASSIGNED)
    if not len(open_rows):
        return split
    shares = np.array([0.0 if code in fixed else values[code] for code in range(3)])
    if shares.sum() <= 0:
        shares[0] = 1.0
    shares /= shares.sum()
    own_groups = None if groups is None else groups[open_rows]
    if own_groups is not None and groups_are_sampled:
        split[open_rows] = _whole_groups(labels[open_rows], own_groups, shares, seed)
    else:
        split[open_rows] = _spread(labels[open_rows], own_groups, shares, seed)
    return split


def share_out(total: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Divide ``total`` things by largest remainder; each positive share gets one where there are enough.

    Parameters
    ----------
    total : int
        0 or more.
    shares : ndarray of float64, shape (k,)
        Non-negative, together 1.

    Returns
    -------
    ndarray of int64, shape (k,)
        Adds up to `total`; within 1 of ``total * shares`` but for shares raised from nothing.
    """
    exact = total * shares
    counts: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    remainder = np.round(exact - counts, 9)  # equal remainders are equal, whatever the last bit says
    for place in np.argsort(-remainder, kind="stable")[: total - int(counts.sum())]:
        counts[place] += 1
    if total >= int((shares > 0).sum()):
        for place in np.flatnonzero((shares > 0) & (counts == 0)):
            counts[int(counts.argmax())] -= 1
            counts[place] += 1
    return counts


def _spread(
    labels: NDArray[np.int64], groups: NDArray[np.int32] | None, shares: NDArray[np.float64], seed: int
) -> NDArray[np.uint8]:
    split = np.empty(len(labels), np.uint8)
    order = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[order])) + 1
    for rows in np.split(order, bounds):
        generator = stream_generator(seed, "split", int(labels[rows[0]]))
        rows = generator.permutation(rows)
        counts = share_out(len(rows), shares)
        if groups is None:
            split[rows] = np.repeat(np.arange(3, dtype=np.uint8), counts)
        else:
            # Groups in random order, random within: dealing evenly along the line gives each its share.
            rank = generator.permutation(int(groups.max()) + 1)
            rows = rows[np.argsort(rank[groups[rows]], kind="stable")]
            split[rows] = _dealt(counts)
    return split


def _dealt(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    # Split k's j-th image belongs at (j + 1/2) / counts[k] of the line: sorted, every stretch has its shares.
    places = np.concatenate([(np.arange(count) + 0.5) / max(count, 1) for count in counts])
    codes = np.repeat(np.arange(3, dtype=np.uint8), counts)
    return codes[np.argsort(places, kind="stable")]


def _whole_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int32], shares: NDArray[np.float64], seed: int
) -> NDArray[np.uint8]:
    members, own = np.unique(groups, return_inverse=True)
    wanted = np.flatnonzero(shares > 0)
    if len(members) < len(wanted):
        names = ", ".join(SPLITS[code] for code in wanted)
        raise DataError(f"{len(members)} group(s) cannot fill the splits {names} without sharing a group")
    table = np.zeros((len(members), int(labels.max()) + 1))
    np.add.at(table, (own, labels), 1)
    order = stream_generator(seed, "split").permutation(len(members))
    order = order[np.argsort(-table[order].sum(1), kind="stable")]  # the large ones first, they fit worst
    target = shares[wanted, None] * table.sum(0)
    scale = np.maximum(target, 1e-9)
    filled = np.zeros_like(target)
    chosen = np.empty(len(members), np.int64)
    for done, group in enumerate(order):
        empty = [place for place in range(len(wanted)) if not filled[place].any()]
        places = empty if len(order) - done <= len(empty) else list(range(len(wanted)))
        cost = [
            float(
                (
                    ((filled[p] + table[group] - target[p]) ** 2 - (filled[p] - target[p]) ** 2) / scale[p]
                ).sum()
            )
            for p in places
        ]
        chosen[group] = places[int(np.argmin(cost))]
        filled[chosen[group]] += table[group]
    result: NDArray[np.uint8] = wanted[chosen].astype(np.uint8)[own]
    return result
