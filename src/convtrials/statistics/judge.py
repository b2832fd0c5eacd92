"""One technique at one look: its interval, the word for it, and what is left to say."""

from dataclasses import dataclass
from math import log

from convtrials.statistics.interval import Comparison
from convtrials.statistics.planning import (
    chance_of_verdict,
    images_matter_little,
    images_to_settle,
    resolvable,
    seeds_to_settle,
    seeds_would_do,
)
from convtrials.statistics.result import BETTER, INCONCLUSIVE, WORSE, Result, beyond_margin, verdict_of

#: A technique stops when its chance of a verdict by the last look is below this.
HOPELESS = 0.1

#: The level of an ordinary interval, for one technique and one look: 95%.
ORDINARY = 0.05


@dataclass(frozen=True)
class Stage:
    """Where a technique stands in its study.

    Attributes
    ----------
    look : int or None
        Number of the look, from 0; None: a preliminary answer before the first.
    seeds : int
        Seeds per arm used.
    last : int
        Seeds per arm at the last look.
    level, last_level : float
        Two-sided level of this look and of the last.
    fixed_level : float
        The level if there were only one look.
    """

    look: int | None
    seeds: int
    last: int
    level: float
    last_level: float
    fixed_level: float

    @property
    def is_last(self) -> bool:
        """Nothing comes after this look."""
        return self.look is not None and self.seeds >= self.last


def judge(now: Comparison, stage: Stage, margin: float, images: int) -> Result:
    """Return what a comparison says at its stage."""
    low, high = _around(now.difference, now.half_width(stage.level))
    fixed_low, fixed_high = _around(now.difference, now.fixed_half_width(stage.level))
    verdict = verdict_of(low, high, margin)
    missing, stopped = Missing(), False
    if verdict == INCONCLUSIVE:
        stopped = stage.look is not None and not stage.is_last and _hopeless(now, stage, margin)
        small = stopped and abs(now.difference) + now.half_width(ORDINARY) < margin
        missing = Missing("cannot matter") if small else what_is_missing(now, stage, margin, images)
    return Result(
        verdict=verdict,
        final=stage.look is not None and (stage.is_last or stopped or verdict != INCONCLUSIVE),
        look=stage.look,
        seeds=stage.seeds,
        difference=now.difference,
        low=low,
        high=high,
        standard_error=now.standard_error,
        degrees_of_freedom=now.freedom,
        p_value=now.p_value,
        fixed_low=fixed_low,
        fixed_high=fixed_high,
        fixed_verdict=verdict_of(fixed_low, fixed_high, margin),
        beyond_margin=beyond_margin(low, high, margin) if verdict in (BETTER, WORSE) else None,
        reason=missing.reason,
        more_seeds=missing.more_seeds,
        resolvable=resolvable(now, stage.fixed_level),
        images_needed=missing.images_needed,
        image_se=now.images_variance**0.5,
    )


@dataclass(frozen=True)
class Missing:
    """Why there is no clear answer, and what would give one; the fields are those of `Result`."""

    reason: str | None = None
    more_seeds: int | None = None
    images_needed: int | None = None


def what_is_missing(now: Comparison, stage: Stage, margin: float, images: int) -> Missing:
    """Return what would settle an inconclusive comparison: seeds, else images, else nothing in reach.

    Sentences, tables and the page of a study all go by this answer.
    """
    level = stage.fixed_level
    seeds = seeds_to_settle(now, stage.seeds, margin, level)
    if seeds is not None:
        return Missing("more seeds", more_seeds=seeds - stage.seeds)
    if seeds_would_do(now, margin, level):  # more of them than is realistic
        return Missing("spread of runs")
    needed = images_to_settle(now, images, margin, level)
    if needed is None and images_matter_little(now, level):
        return Missing("spread of runs")
    return Missing("test set", images_needed=needed)


def judge_identical(difference: float, stage: Stage, margin: float, units: int) -> Result:
    """Return what is left to say where runs do not differ by anything that could be measured.

    Even then others of the G units drawn might have differed: a share of ``-log(level) / G`` of them could do so and
    still stay out of sight (the rule of three, Hanley and Lippman-Hand 1983, for any level).
    """
    unseen = -log(stage.level) / units
    low, high = _around(difference, unseen)
    verdict = verdict_of(low, high, margin)
    return Result(
        verdict=verdict,
        final=stage.look is not None,
        look=stage.look,
        seeds=stage.seeds,
        difference=difference,
        low=low,
        high=high,
        standard_error=0.0,
        p_value=1.0 if difference == 0 else 0.0,
        fixed_low=difference,
        fixed_high=difference,
        fixed_verdict=verdict_of(difference, difference, margin),
        beyond_margin=beyond_margin(low, high, margin) if verdict in (BETTER, WORSE) else None,
        reason="identical" if difference == 0 else "test set" if verdict == INCONCLUSIVE else None,
        resolvable=unseen,
        image_se=0.0,
    )


def _hopeless(now: Comparison, stage: Stage, margin: float) -> bool:
    chance = chance_of_verdict(now, stage.seeds, stage.last, margin, stage.last_level)
    return chance < HOPELESS


def _around(middle: float, half: float) -> tuple[float, float]:
    return middle - half, middle + half
