"""Figures made of rows, one per arm: names at the left, a plot, and words at the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convtrials.reports.style import INK, MUTED, new_figure

#: Inches: the figure's width, the height of a row, and the space around the plot.
WIDTH, ROW = 9.6, 0.42
_AXIS, _EDGE = 0.5, 0.06


def figure_of_rows(
    labels: Sequence[str], right: float, *, above: float = 0.08, below: float = 0.0
) -> tuple[Any, Any]:
    """Return a figure and its axes, with a row for each label, the first on top.

    Places are in inches, worked out here, for automatic layout leaves words next to a plot out of account.

    Parameters
    ----------
    labels : sequence of str
        Names of the rows.
    right : float
        Inches that the words at the right need.
    above, below : float
        Inches that words above the plot, and a legend below the axis, need.
    """
    height = above + ROW * max(len(labels), 2) + _AXIS + below
    left = _EDGE + max(text_width(label, 10) for label in labels) + 0.12
    figure = new_figure(WIDTH, height, layout=None)
    bottom = _AXIS + below
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, 1 - (bottom + above) / height)
    )
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=10)
    axes.set_ylim(max(len(labels), 2) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return figure, axes


def write_right(axes: Any, place: float, inches: float, text: str, **style: Any) -> None:
    """Write `text` at the height of a row, `inches` to the right of the plot."""
    axes.annotate(
        text, (1, place), xycoords=axes.get_yaxis_transform(), xytext=(72 * inches, 0), textcoords="offset points",
        va="center", annotation_clip=False, **style,
    )  # fmt: skip


def write_ends(axes: Any, left: str, right: str) -> None:
    """Say above the plot what its two ends mean."""
    for x, text, side in ((0, f"◂ {left}", "left"), (1, f"{right} ▸", "right")):
        axes.annotate(text, (x, 1), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points", ha=side,
                      fontsize=9, color=MUTED)  # fmt: skip


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of `text` in inches, written at `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight=weight)
    # On the grid of pixels letters come out a little wider than they are designed.
    return 1.03 * float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1) / 72
