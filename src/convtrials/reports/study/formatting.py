"""The study's metric: how its scores and differences are written, and which way is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convtrials.core.intervals import TOO_WIDE, holds_one, too_wide
from convtrials.study.results.sentences import with_unit


@dataclass(frozen=True)
class Scale:
    """How to tell numbers on one metric.

    Attributes
    ----------
    metric : str
        For people: ``accuracy``.
    history_key : str
        Its validation value in ``history.jsonl``.
    unit : str
        Of differences.
    factor : float
        What differences and scores are multiplied with, to be in that unit.
    decimals : int
    lower_is_better : bool
        Scores keep the metric's own orientation; differences are always positive where the technique is better.
    """

    metric: str
    history_key: str
    unit: str
    factor: float
    decimals: int
    lower_is_better: bool

    def signed(self, value: float | None) -> str:
        """Return a difference with its sign, without unit: ``+1.32``."""
        return signed(value, self.factor, self.decimals)

    def plain(self, value: float | None) -> str:
        """Return a size in the unit of differences, without sign: ``0.50``."""
        return "–" if value is None else f"{self.factor * value:.{self.decimals}f}"

    def amount(self, value: float | None) -> str:
        """Return a size with its unit, as short as it goes: ``0.5 points``."""
        return "–" if value is None else with_unit(self.factor * value, self.unit)

    def span(self, low: float | None, high: float | None) -> str:
        """Return an interval of differences: ``+0.90 to +1.74``; in words, where it says nothing."""
        if low is None or high is None:
            return "–"
        if too_wide(low, high, self.metric):
            return TOO_WIDE
        return f"{self.signed(low)} to {self.signed(high)}"

    def score(self, value: float | None) -> str:
        """Return a score: ``90.13%`` or ``0.3124``."""
        if value is None:
            return "–"
        return f"{self.factor * value:.{self.decimals}f}{'%' if self.factor == 100 else ''}"

    @property
    def difference_label(self) -> str:
        """The axis of differences, in words."""
        if self.lower_is_better:
            return f"gain in {self.metric}, {self.unit} (positive: lower {self.metric})"
        return f"difference in {self.metric}, percentage {self.unit}"

    @property
    def score_label(self) -> str:
        """The axis of scores, in words."""
        return f"{self.metric}, {self.unit} (less is better)" if self.lower_is_better else self.metric


def signed(value: float | None, factor: float, decimals: int) -> str:
    """Return a number times `factor` with its sign, a real minus; what rounds to zero has none, None is a dash."""
    if value is None:
        return "–"
    text = f"{factor * value:+.{decimals}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def times(ratio: float | None, interval: Sequence[float] | None) -> str:
    """Return a cost as a multiple of the baseline's: ``0.90×``; ``0.90× ?`` where chance alone would make it."""
    if ratio is None:
        return "–"
    told = f"{ratio:.2f}×"
    return f"{told} ?" if holds_one(interval) and told != "1.00×" else told


_SCALES = {
    "accuracy": Scale("accuracy", "val_accuracy", "points", 100.0, 2, False),
    "log_loss": Scale("log loss", "val_loss", "nats", 1.0, 4, True),
}


def scale_of(metric: str) -> Scale:
    """Return how a metric of a plan is told; ``accuracy`` or ``log_loss``."""
    return _SCALES[metric]
