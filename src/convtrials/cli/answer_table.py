"""A table in a terminal with one answer per row: the verdict, the gain and its interval, whole however narrow it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from convtrials.core.formatting import NOTHING, Scale
from convtrials.reports.style import VERDICT_COLOURS

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

#: A name keeps so many characters per line; where that leaves no room, the answer takes two lines.
_NAME_WIDTH = 12

#: Between two columns.
_GAP = 2


@dataclass(frozen=True)
class Column:
    """A column next to the answers.

    Attributes
    ----------
    folds : bool
        Whether a cell may be broken into lines: names may, numbers never.
    """

    header: str
    cells: Sequence["str | Text"]
    folds: bool = False
    justify: Literal["left", "right"] = "left"

    @property
    def width(self) -> int:
        """Characters of its widest line."""
        from rich.cells import cell_len

        return max(cell_len(line) for cell in (self.header, *self.cells) for line in str(cell).split("\n"))


@dataclass(frozen=True)
class Answer:
    """What a row says of a technique; numbers are empty where there are none."""

    verdict: "Text"
    gain: str = ""
    interval: str = ""


def verdict_text(verdict: str, final: bool) -> "Text":
    """Return the word; one that may still change is dim, and says so."""
    from rich.text import Text

    text = Text(verdict, style=f"bold {VERDICT_COLOURS[verdict].terminal}" if final else "dim")
    if not final:
        text.append(" so far", style="dim italic")
    return text


def explanation(scale: Scale) -> str:
    """Say what a gain is, and which way is better."""
    side = "below" if scale.lower_is_better else "above"
    return f"gain: {scale.label} {side} the baseline's; above 0 is better"


@dataclass(frozen=True)
class AnswerTable:
    """Verdict, gain and interval in a row, or below each other where the terminal is narrow.

    Attributes
    ----------
    scale : Scale
        Of the study's metric.
    level : str
        Of the intervals, such as ``95%``.
    left, right : sequence of Column
        Before and after the answers.
    note : str
        A second line below.
    """

    scale: Scale
    level: str
    left: Sequence[Column]
    answers: Sequence[Answer]
    right: Sequence[Column] = ()
    note: str = ""

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """Draw it as wide as it may be, and say below what a gain is."""
        from rich.text import Text

        columns = self._columns(self._side_columns())
        if _needed(columns) > options.max_width:
            columns = self._columns(self._below())
        yield _drawn(columns)
        yield Text("\n".join(filter(None, (explanation(self.scale), self.note))), style="dim")

    def _columns(self, middle: Sequence[Column]) -> list[Column]:
        return [*self.left, *middle, *self.right]

    def _side_columns(self) -> list[Column]:
        return [
            Column("verdict", [one.verdict for one in self.answers]),
            Column(f"gain, {self.scale.unit}", [one.gain for one in self.answers], justify="right"),
            Column(f"{self.level} interval", [one.interval for one in self.answers], justify="right"),
        ]

    def _below(self) -> list[Column]:
        from rich.text import Text

        cells = []
        for one in self.answers:
            numbers = f"\n{one.gain} ({one.interval})" if one.gain not in ("", NOTHING) else ""
            cells.append(Text.assemble(one.verdict, numbers))
        return [Column(f"verdict, gain in {self.scale.unit} ({self.level})", cells)]


def _needed(columns: Sequence[Column]) -> int:
    """Return the width at which nothing but names is broken into lines, and they not into shreds."""
    widths = [min(column.width, _NAME_WIDTH) if column.folds else column.width for column in columns]
    return sum(widths) + _GAP * (len(columns) - 1)


def _drawn(columns: Sequence[Column]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for column in columns:
        # Cut off, a number would be another number: where not even two lines fit, an ellipsis shows it.
        overflow: Any = "fold" if column.folds else "ellipsis"
        table.add_column(column.header, justify=column.justify, overflow=overflow, no_wrap=not column.folds)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table
