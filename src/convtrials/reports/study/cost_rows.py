"""Cost and gain of many techniques: a row each, for in a scatter plot their names would find no room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convtrials.core.formatting import Scale, times
from convtrials.reports.study.record import StudyArm
from convtrials.reports.study.rows import figure_of_rows, text_width, write_beside, write_ends
from convtrials.reports.study.verdict_style import draw_mark, labels_of, look_of
from convtrials.reports.style import INK, MUTED


def draw_cost_rows(shown: Sequence[StudyArm], scale: Scale, unit: str) -> Any:
    """Draw the cost of each technique as a point, its difference beside it; the largest difference on top.

    Parameters
    ----------
    shown : sequence of StudyArm
        Techniques with a cost and a difference.
    scale : Scale
        How the study's metric is written.
    unit : str
        What the cost is counted in, such as ``CPU time``.
    """
    labels = labels_of(shown)
    ratios = [float(arm.cost.cost_ratio or 1) for arm in shown]
    costs = [times(arm.cost.cost_ratio, arm.cost.cost_ratio_interval) for arm in shown]
    gains = [scale.signed(arm.difference) for arm in shown]
    first = 0.15 + max(text_width(text, 9) for text in [*costs, "cost"])
    second = first + 0.25 + max(text_width(text, 10, "bold") for text in [*gains, "difference"])
    figure, axes = figure_of_rows([labels[arm.name] for arm in shown], second + 0.08, above=0.3)
    axes.axvline(1, color=INK, linewidth=1, zorder=1)
    for place, (arm, ratio) in enumerate(zip(shown, ratios, strict=True)):
        _draw_row(axes, arm, place, ratio)
        write_beside(axes, place, first, costs[place], ha="right", fontsize=9, color=MUTED)
        write_beside(
            axes,
            place,
            second,
            gains[place],
            ha="right",
            fontsize=10,
            weight="bold",
            color=look_of(arm).colour,
        )
    set_cost_axis(axes, ratios, unit)
    _write_heads(axes, first, second)
    return figure


def set_cost_axis(axes: Any, ratios: Sequence[float], unit: str) -> None:
    """Make the horizontal axis one of costs, in multiples of the baseline's, that holds these."""
    left, right = min([*ratios, 0.95]), max([*ratios, 1.05])
    room = 0.05 * (right - left)
    axes.set(xlim=(max(left - room, 0), right + room), xlabel=f"{unit} of a run, times the baseline's")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}×")


def _draw_row(axes: Any, arm: StudyArm, place: int, ratio: float) -> None:
    if not arm.cost.may_be_the_same:  # a bar would call it cheaper or dearer
        axes.hlines(
            place, min(1, ratio), max(1, ratio), color=look_of(arm).colour, linewidth=3, alpha=0.35, zorder=2
        )
    draw_mark(axes, arm, ratio, place)


def _write_heads(axes: Any, first: float, second: float) -> None:
    """Name the columns, above the first row."""
    for inches, text in ((first, "cost"), (second, "difference")):
        axes.annotate(text, (1, 1), xycoords="axes fraction", xytext=(72 * inches, 5), textcoords="offset points",
                      ha="right", fontsize=9, color=MUTED, annotation_clip=False)  # fmt: skip
    write_ends(axes, "cheaper", "dearer")
