"""Intervals that say nothing, as a few runs that differ much give them: one rule wherever they are told."""

from collections.abc import Sequence

#: An interval of a difference in accuracy that holds zero and is wider than this is told in words: 20 points.
WIDEST_TOLD = 0.2

#: What is told in place of its ends.
TOO_WIDE = "wider than 20 points"


def holds_one(interval: Sequence[float] | None) -> bool:
    """Say whether a ratio with this interval may be one: a cost that chance alone would make. Unknown is no."""
    return interval is not None and interval[0] <= 1 <= interval[1]


def too_wide(low: float, high: float, metric: str) -> bool:
    """Say whether an interval of differences tells nothing, neither a sign nor a size that anyone would doubt.

    One that leaves out zero tells the sign, however wide it is. Log loss has no scale to judge by.
    """
    return metric == "accuracy" and low <= 0 <= high and high - low > WIDEST_TOLD
