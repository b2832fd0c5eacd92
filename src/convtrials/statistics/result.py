"""What the statistics of a study say of a technique: from an interval to a word."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Result:
    """What is known about one technique.

    Attributes
    ----------
    verdict : str
        ``better``, ``worse``, ``equivalent``, ``inconclusive``, ``unstable`` or ``failed``.
    final : bool
        False while more runs may change it.
    look : int or None
        The look that it rests on, counted from 0; None before the first.
    seeds : int
        Seeds per arm behind it.
    difference, low, high : float or None
        Technique minus baseline and the ends of its simultaneous interval, in the metric's unit, higher is better.
    standard_error, degrees_of_freedom : float or None
        Of the difference, over new seeds and new test units.
    p_value, p_adjusted : float or None
        Two-sided, as it is and adjusted for the number of techniques (`error_rates.adjusted`: Dunnett's joint
        distribution). Neither is adjusted for earlier looks; verdicts rest on the interval.
    fixed_low, fixed_high : float or None
        The same interval for these test images as they are: seeds alone are in doubt.
    fixed_verdict : str or None
        What `fixed_low` and `fixed_high` alone would say.
    beyond_margin : str or None
        For better or worse: ``all``, ``part`` or ``none`` of the interval lies beyond the margin.
    reason : str or None
        Why it is inconclusive (``more seeds``, ``test set``, ``spread of runs``, ``cannot matter``), unstable or failed
        (``diverged``, ``failed``, ``baseline diverged``, ``baseline failed``), or ``identical``.
    more_seeds : int or None
        Inconclusive for want of seeds: how many more per arm may settle it.
    resolvable : float or None
        The smallest difference that this test set can distinguish from 0 with any number of seeds.
    images_needed : int or None
        Inconclusive because of the test set: how many test images may settle it with the same seeds.
    own_variance : bool
        The technique varies more between seeds than the others, so its own spread was used, not the pooled one.
    seed_sd : float or None
        Standard deviation of the technique's score between seeds.
    image_se : float or None
        Standard error of the difference that is due to the choice of test units.
    """

    verdict: str
    final: bool
    look: int | None
    seeds: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    fixed_low: float | None = None
    fixed_high: float | None = None
    fixed_verdict: str | None = None
    beyond_margin: str | None = None
    reason: str | None = None
    more_seeds: int | None = None
    resolvable: float | None = None
    images_needed: int | None = None
    own_variance: bool = False
    seed_sd: float | None = None
    image_se: float | None = None


@dataclass(frozen=True)
class Decision:
    """What a study says so far.

    Attributes
    ----------
    complete : bool
        Every technique is settled.
    needed : dict of str to int
        Seeds that each arm must have ended for the next look, the baseline's under `BASELINE`; for settled
        techniques those that they used.
    results : dict of str to Result
        One per technique, in the order given.
    """

    complete: bool
    needed: dict[str, int]
    results: dict[str, Result]
