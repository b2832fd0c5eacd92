"""What is said of one technique: a row for the page, the terminal, Markdown and data frames alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from convtrials.core.console import for_print
from convtrials.core.formatting import Scale, percent, times
from convtrials.core.formatting import p_value as write_p
from convtrials.study.results.metrics import scale_of
from convtrials.study.schemas import Costs, TechniqueCost, TechniqueVerdict, Verdicts


@dataclass(frozen=True)
class VerdictRow:
    """The verdict on one technique, as numbers and as people write them; ``str()`` gives the sentence.

    Attributes
    ----------
    name : str
        The technique.
    word : str
        ``better``, ``worse``, ``equivalent``, ``inconclusive``, ``unstable`` or ``failed``.
    final : bool
        False while more runs may change it.
    difference, low, high : float or None
        Technique minus baseline with its simultaneous interval, above 0 where the technique is better; in shares of 1
        for accuracy, in nats for log loss.
    p : float or None
        Two-sided p-value, adjusted for the number of techniques.
    fixed_low, fixed_high, fixed_word
        The interval for these test images alone, and what it would say.
    beyond_margin : str or None
        For better or worse: ``all``, ``part`` or ``none`` of the interval lies beyond the margin.
    mean : float or None
        Mean test score of the technique, as people know the metric.
    wins : float or None
        Chance that one run of the technique beats one run of the baseline.
    seeds, lost : int
        Seeds per arm behind the verdict; runs of the technique that diverged or failed.
    cost, cost_low, cost_high : float or None
        What a run costs as a multiple of the baseline's, with its 95% interval over runs.
    reason : str or None
        Why it is inconclusive, unstable or failed.
    more_seeds, images_needed : int or None
        Seeds per arm beyond those run, or test images, that may settle it.
    mark : str
        A few words about runs that learned nothing; empty where all learned.
    sentence : str
        All of this in plain words.
    """

    name: str
    word: str
    final: bool
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    fixed_low: float | None
    fixed_high: float | None
    fixed_word: str | None
    beyond_margin: str | None
    mean: float | None
    wins: float | None
    seeds: int
    lost: int
    cost: float | None
    cost_low: float | None
    cost_high: float | None
    reason: str | None
    more_seeds: int | None
    images_needed: int | None
    mark: str
    sentence: str
    metric: str = field(repr=False)

    def __str__(self) -> str:
        return for_print(self.sentence)

    @property
    def scale(self) -> Scale:
        """How the metric's numbers are written."""
        return scale_of(self.metric)

    @property
    def waiting(self) -> bool:
        """Whether there is no result yet, not even a preliminary one."""
        return self.difference is None and self.word == "inconclusive" and not self.final

    @property
    def gain(self) -> str:
        """The difference with its sign: ``+1.32``."""
        return self.scale.signed(self.difference)

    @property
    def interval(self) -> str:
        """``+0.90 to +1.74``; in words where it says nothing."""
        return self.scale.span(self.low, self.high)

    @property
    def fixed_interval(self) -> str:
        """The same for these test images alone."""
        return self.scale.span(self.fixed_low, self.fixed_high)

    @property
    def p_written(self) -> str:
        """``0.032``, or ``< 0.001``."""
        return write_p(self.p)

    @property
    def wins_written(self) -> str:
        """``87%``."""
        return percent(self.wins, 0)

    @property
    def cost_written(self) -> str:
        """``0.90×``; with a question mark where it may be the baseline's."""
        ends = None if self.cost_low is None or self.cost_high is None else (self.cost_low, self.cost_high)
        return times(self.cost, ends)

    @property
    def seeds_written(self) -> str:
        """``5``, or ``5 (1 lost)``."""
        return f"{self.seeds} ({self.lost} lost)" if self.lost else f"{self.seeds}"


def verdict_rows(verdicts: Verdicts, costs: Costs) -> list[VerdictRow]:
    """Return a row per technique, in the order of the study."""
    return [
        _row(one, verdicts.mark_of(one.name), verdicts.metric, costs.of(one.name))
        for one in verdicts.techniques
    ]


def row_without_result(name: str, metric: str) -> VerdictRow:
    """Return the row of a technique that is planned, and of which verdicts.json says nothing yet."""
    open_one = TechniqueVerdict(name=name, verdict="inconclusive", final=False)
    return _row(open_one, "", metric, TechniqueCost(name=name))


def ranked(rows: list[VerdictRow]) -> list[VerdictRow]:
    """Return the rows with the largest difference first; those without one last."""
    return sorted(rows, key=lambda row: float("inf") if row.difference is None else -row.difference)


def _row(one: TechniqueVerdict, mark: str, metric: str, cost: TechniqueCost) -> VerdictRow:
    low, high = cost.cost_ratio_interval or (None, None)
    return VerdictRow(
        name=one.name,
        word=one.verdict,
        final=one.final,
        difference=one.difference,
        low=one.low,
        high=one.high,
        p=one.p_adjusted,
        fixed_low=one.fixed_low,
        fixed_high=one.fixed_high,
        fixed_word=one.fixed_verdict,
        beyond_margin=one.beyond_margin,
        mean=one.mean,
        wins=one.probability_better,
        seeds=one.seeds,
        lost=sum(status != "finished" for status in one.status),
        cost=cost.cost_ratio,
        cost_low=low,
        cost_high=high,
        reason=one.reason,
        more_seeds=one.more_seeds,
        images_needed=one.images_needed,
        mark=mark,
        sentence=one.sentence,
        metric=metric,
    )
