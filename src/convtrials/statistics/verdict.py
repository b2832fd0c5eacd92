"""From an interval to a word."""

BETTER, WORSE, EQUIVALENT, INCONCLUSIVE = "better", "worse", "equivalent", "inconclusive"


def verdict_of(low: float, high: float, margin: float) -> str:
    """Return what the interval alone says."""
    if low > 0:
        return BETTER
    if high < 0:
        return WORSE
    return EQUIVALENT if -margin < low and high < margin else INCONCLUSIVE


def conclusive(difference: float, half_width: float, margin: float) -> bool:
    """Return whether ``difference ± half_width`` gives a verdict."""
    return verdict_of(difference - half_width, difference + half_width, margin) != INCONCLUSIVE


def beyond_margin(low: float, high: float, margin: float) -> str:
    """Return how much of an interval on one side of 0 lies beyond the margin: ``all``, ``part`` or ``none``."""
    nearest, farthest = sorted((abs(low), abs(high)))
    if nearest > margin:
        return "all"
    return "part" if farthest > margin else "none"
