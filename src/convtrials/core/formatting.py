"""How numbers are written for people: one way on pages, in the terminal, in sentences and in Markdown.

A minus is a real one (−), a number that does not exist a dash (–).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: In place of a number that does not exist.
NOTHING = "–"


def holds_one(interval: Sequence[float] | None) -> bool:
    """Say whether a ratio with this interval may be one: a cost that chance alone would make. Unknown is no."""
    return interval is not None and interval[0] <= 1 <= interval[1]


@dataclass(frozen=True)
class Scale:
    """How scores and differences of one metric are written, and which way is better.

    Attributes
    ----------
    label : str
        For people, within a sentence: ``log loss``.
    unit : str
        Of differences, in the plural; never empty.
    factor : float
        What differences and scores are multiplied with, to be in that unit: 100 writes scores in percent.
    lower_is_better : bool
        Scores keep the metric's own orientation; differences are always positive where the technique is better.
    widest_shown : float or None
        An interval of differences that holds zero and is wider than this says nothing, neither a sign nor a size that
        anyone would doubt: words stand in its place. None where there is no scale to judge by.
    """

    label: str
    unit: str
    factor: float = 1.0
    decimals: int = 4
    lower_is_better: bool = False
    widest_shown: float | None = None

    @property
    def in_percent(self) -> bool:
        """Whether scores are shares of one, written in percent, and differences percentage points."""
        return self.factor == 100

    @property
    def full_unit(self) -> str:
        """The unit of differences where nothing around it says more: ``percentage points``."""
        return f"percentage {self.unit}" if self.in_percent else self.unit

    def signed(self, value: float | None) -> str:
        """Return a difference with its sign, without unit: ``+1.32``."""
        return signed(value, self.factor, self.decimals)

    def plain(self, value: float | None) -> str:
        """Return a size in the unit of differences, without sign or unit: ``0.50``."""
        return NOTHING if value is None else f"{self.factor * value:.{self.decimals}f}"

    def sized(self, value: float) -> str:
        """Return a size with its unit and all decimals: ``0.50 points``."""
        return f"{self.plain(value)} {self.unit}"

    def amount(self, value: float | None) -> str:
        """Return a size with its unit, as short as it goes: ``0.5 points``."""
        return NOTHING if value is None else with_unit(self.factor * value, self.unit)

    def span(self, low: float | None, high: float | None) -> str:
        """Return an interval of differences: ``+0.90 to +1.74``; in words, where it says nothing."""
        if low is None or high is None:
            return NOTHING
        if self.too_wide(low, high):
            return self.too_wide_text
        return f"{self.signed(low)} to {self.signed(high)}"

    def too_wide(self, low: float, high: float) -> bool:
        """Say whether an interval of differences says nothing; a few runs that differ much give such intervals.

        One that leaves out zero shows the sign, however wide it is.
        """
        return self.widest_shown is not None and low <= 0 <= high and high - low > self.widest_shown

    @property
    def too_wide_text(self) -> str:
        """What is written in place of the ends of such an interval."""
        return f"wider than {self.amount(self.widest_shown)}"

    def score(self, value: float | None) -> str:
        """Return a score: ``90.13%`` or ``0.3124``."""
        return score(value, self.factor, self.decimals)

    @property
    def difference_label(self) -> str:
        """The axis of differences, in words."""
        if self.lower_is_better:
            return f"gain in {self.label}, {self.full_unit} (positive: lower {self.label})"
        return f"difference in {self.label}, {self.full_unit}"

    @property
    def score_label(self) -> str:
        """The axis of scores, in words."""
        named = self.label if self.in_percent else f"{self.label}, {self.unit}"
        return f"{named} (lower is better)" if self.lower_is_better else named


def share(label: str, *, lower_is_better: bool = False) -> Scale:
    """Return the scale of a share of one: scores in percent, differences in points."""
    return Scale(label, "points", 100.0, 2, lower_is_better, widest_shown=0.2)


def score(value: float | None, factor: float, decimals: int) -> str:
    """Return a score times `factor`, in percent where that is 100; None is a dash."""
    return NOTHING if value is None else f"{factor * value:.{decimals}f}{'%' if factor == 100 else ''}"


def signed(value: float | None, factor: float, decimals: int) -> str:
    """Return a number times `factor` with its sign, a real minus; what rounds to zero has none, None is a dash."""
    if value is None:
        return NOTHING
    text = f"{factor * value:+.{decimals}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def times(ratio: float | None, interval: Sequence[float] | None) -> str:
    """Return a cost as a multiple of the baseline's: ``0.90×``; ``0.90× ?`` where chance alone would make it."""
    if ratio is None:
        return NOTHING
    written = f"{ratio:.2f}×"
    return f"{written} ?" if holds_one(interval) and written != "1.00×" else written


def with_unit(size: float, unit: str) -> str:
    """Return a size with its unit, given in the plural: ``0.5 points``, ``1 point``."""
    number = f"{size:.4g}"
    return f"{number} {unit.removesuffix('s') if number == '1' else unit}"


def percent(value: float | None, decimals: int = 1) -> str:
    """Return 0.9123 as ``91.2%``, None as a dash."""
    return NOTHING if value is None else f"{100 * value:.{decimals}f}%"


def confidence(alpha: float) -> str:
    """Return what is missing to one of an error rate: ``95%``, ``99.9%``."""
    return f"{100 * (1 - alpha):g}%"


def p_value(p: float | None) -> str:
    """Return a p-value as people write it."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(value: float | None) -> str:
    """Return 15000 as ``15,000``, None as a dash."""
    return NOTHING if value is None else f"{value:,.0f}"


def duration(seconds: Any) -> str:
    """Return seconds as ``12 s``, ``3 min 20 s`` or ``2 h 5 min``; anything else as a dash."""
    if not isinstance(seconds, int | float) or seconds != seconds or not 0 <= seconds < 1e9:
        return NOTHING
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rough_duration(seconds: float) -> str:
    """Return a time that is only estimated: ``40 s``, ``3 min``, ``2.1 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def joined(parts: Sequence[str], last: str = "and") -> str:
    """Return ``a, b and c``; `last` is the word before the last."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"
