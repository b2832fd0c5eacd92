"""One look for all figures, and the colours of verdicts everywhere.

Light, quiet, and readable for people who cannot distinguish red from green.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

#: Okabe and Ito's colour-blind-safe colours, by what they stand for here.
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#56B4E9"
INK, MUTED, FAINT, GRID = "#1f2933", "#66727f", "#c9d1d9", "#e8ecf0"

#: Bands that mark a range: the margin, the baseline's runs.
BAND = "#eef1f4"

#: From few mistakes to many; the cells of right answers, and the lines between cells.
MISTAKES = ("#ffffff", "#fdd9b5", "#f28e2b", "#b8450f", "#5c1a06")
DIAGONAL, CELL_LINES = "#e6ebf0", "#f2f4f6"


@dataclass(frozen=True)
class VerdictColours:
    """Colours of a verdict: its marks in pictures and on pages, its badge there, its word in a terminal."""

    mark: str
    tint: str
    text: str
    terminal: str


VERDICT_COLOURS = {
    "better": VerdictColours(BLUE, "#e9f4fb", "#00598c", "green"),
    "worse": VerdictColours(ORANGE, "#fdf0e6", "#a34700", "red"),
    "equivalent": VerdictColours(GREEN, "#e6f6f1", "#006e50", "blue"),
    "inconclusive": VerdictColours(MUTED, "#f1f3f5", "#4d5864", "yellow"),
    "unstable": VerdictColours(PURPLE, "#f8edf6", "#86307a", "magenta"),
    "failed": VerdictColours(PURPLE, "#f8edf6", "#86307a", "red"),
    "waiting": VerdictColours(MUTED, "#f1f3f5", "#4d5864", "dim"),
}

#: For a few curves that must be distinguishable.
ACCENTS = (ORANGE, GREEN, PURPLE, SKY)

#: Pixels an inch in files: twice what a screen of 100 pixels an inch shows.
DPI = 200

_LOOK: dict[str, Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    # Class names are text: a dollar sign in one must not start a formula.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "patch.linewidth": 0,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw with the common look inside the block; leave the settings of others alone outside."""
    import matplotlib

    with matplotlib.rc_context(cast(Any, _LOOK)), warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes; the CSV and the page have it right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Any:
    """Return an empty figure (inches) that belongs to no window system.

    `layout` is None where every part of the figure is placed by hand.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def short_name(name: str, limit: int = 16) -> str:
    """Return a class name fit for a label: printable, at most `limit` characters, cut in the middle.

    Both ends stay, for names often differ in the last word or number.
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in name).strip() or "(blank)"
    if len(printable) <= limit:
        return printable
    tail = (limit - 1) * 2 // 5
    return printable[: limit - 1 - tail] + "…" + printable[len(printable) - tail :]
