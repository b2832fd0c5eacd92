"""Intervals that say nothing, as a few runs that differ much give them: one rule wherever they are told."""

#: An interval of a difference in accuracy that is wider than this is not told number by number: 20 points.
WIDEST_TOLD = 0.2

#: What is told in its place.
TOO_WIDE = "wider than 20 points"


def too_wide(low: float, high: float, metric: str) -> bool:
    """Say whether an interval of differences is too wide to tell anything; log loss has no scale to judge by."""
    return metric == "accuracy" and high - low > WIDEST_TOLD
