"""What it would take to know more: seeds, or test images; and whether the seeds still to come can settle it."""

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

from scipy.special import ndtri, stdtr

from convtrials.statistics.interval import Comparison, critical
from convtrials.statistics.result import conclusive

#: Seeds, or images, beyond that many times those at hand are reported as "cannot".
MOST = 1000


def with_seeds(now: Comparison, seeds: int, then: int) -> Comparison:
    """Return the comparison as it would stand with `then` instead of `seeds` seeds per arm, the difference staying."""
    share = seeds / then
    return replace(
        now,
        seeds_variance=now.seeds_variance * share,
        seeds_freedom=now.seeds_freedom * (then - 1) / (seeds - 1),
        noise_variance=now.noise_variance * share,
        # What is known of the images part gets better too: noise is in the paired differences, and fewer runs add more.
        paired_variance=max(now.images_variance, now.paired_variance - now.noise_variance * (1 - share)),
    )


def with_images(now: Comparison, images: int, then: int) -> Comparison:
    """Return the comparison as it would stand with `then` instead of `images` test images, the difference staying."""
    share = images / then
    return replace(
        now,
        seeds_variance=now.seeds_variance - now.noise_variance * (1 - share),
        images_variance=now.images_variance * share,
        noise_variance=now.noise_variance * share,
        paired_variance=now.paired_variance * share,
        paired_freedom=now.paired_freedom / share,
    )


def resolvable(now: Comparison, level: float) -> float:
    """Return the half width that is left with any number of seeds."""
    return float(-ndtri(level / 2)) * sqrt(now.images_variance)


def seeds_to_settle(now: Comparison, seeds: int, margin: float, level: float) -> int | None:
    """Return the number of seeds per arm that would settle it if the difference stayed; None if none would.

    Settled means better, worse or equivalent in an interval of `level`.
    """
    if not seeds_would_do(now, margin, level):
        return None
    return _first(lambda n: _settled(with_seeds(now, seeds, n), margin, level), seeds)


def images_to_settle(now: Comparison, images: int, margin: float, level: float) -> int | None:
    """Return the number of test images that would settle it with the same seeds; None if none would."""
    return _first(lambda n: _settled(with_images(now, images, n), margin, level), images)


def seeds_would_do(now: Comparison, margin: float, level: float) -> bool:
    """Say whether some number of seeds would settle it, however large: the test set is not in the way."""
    return conclusive(now.difference, resolvable(now, level), margin)


def images_matter_little(now: Comparison, level: float) -> bool:
    """Say whether the test set's part of the interval is small."""
    return resolvable(now, level) < now.half_width(level) / 3


def chance_of_verdict(now: Comparison, seeds: int, last: int, margin: float, level: float) -> float:
    """Return the chance that the study's last look gives a verdict, given the runs so far.

    Parameters
    ----------
    now : Comparison
        At the present look.
    seeds, last : int
        Seeds per arm now and at the last look.
    margin, level : float
        The margin, and the level of the last look.

    Notes
    -----
    Predictive power (Spiegelhalter, Freedman and Blackburn 1986) with a flat prior. The test images stay, so the
    difference moves by the seeds to come alone.
    """
    then = with_seeds(now, seeds, last)
    half, still = then.half_width(level), sqrt(now.seeds_variance - then.seeds_variance)
    if still == 0:
        return float(conclusive(now.difference, half, margin))

    def below(value: float) -> float:
        return float(stdtr(now.seeds_freedom, (value - now.difference) / still))

    called = 1 - below(half) + below(-half)
    equivalent = below(margin - half) - below(half - margin) if half < margin else 0.0
    # Where half is under half the margin the two overlap: outside is a call, inside is equivalent, all is a verdict.
    return min(1.0, called + equivalent)


def _settled(then: Comparison, margin: float, level: float) -> bool:
    return conclusive(then.difference, critical(level, then.freedom) * then.standard_error, margin)


def _first(settled: Callable[[int], bool], start: int) -> int | None:
    """Return the first number above `start` that settles, given that more settles too; None beyond `MOST` times."""
    low, high = start, start + 1
    while not settled(high):
        if high > MOST * start:
            return None
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high
