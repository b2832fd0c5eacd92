"""What a technique costs against what it brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convtrials.core.formatting import Scale, joined, times
from convtrials.reports.picture import Picture
from convtrials.reports.study.forest import difference_limits
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.reports.study.rows import figure_of_rows, text_width, write_ends, write_right
from convtrials.reports.study.verdict_style import draw_mark, labels_of, style_of
from convtrials.reports.style import BAND, FAINT, INK, MUTED, new_figure
from convtrials.study.results.metrics import scale_of

#: More techniques than this get a row each: their names would not fit next to points, nor would the lines to them.
MOST_POINTS = 8


def cost_picture(study: StudyRecord) -> Picture | None:
    """Return the picture of cost against gain, or None where no technique has both."""
    scale = scale_of(study.spec.metric)
    shown = [arm for arm in study.ranked if arm.difference is not None and (arm.cost.cost_ratio or 0) > 0]
    if not shown:
        return None
    of_what = "CPU time" if study.costs.unit == "cpu_seconds" else "time"
    many = len(shown) > MOST_POINTS
    return Picture(
        name="cost",
        title="What does it cost?",
        caption=(_rows_caption if many else _points_caption)(study, of_what) + _in_doubt(shown, many),
        alt=f"{'Rows' if many else 'Scatter plot'} of difference against relative cost: "
        + "; ".join(f"{arm.name} {arm.cost.cost_ratio:.2f} times the cost" for arm in shown[:6])
        + ".",
        draw=lambda: draw_cost_rows(shown, scale, of_what) if many else _draw(study, shown, of_what),
        header=("technique", "cost_ratio", "cost_low", "cost_high", "difference", "low", "high"),
        rows=[_row(arm) for arm in shown],
    )


def _points_caption(study: StudyRecord, of_what: str) -> str:
    metric = scale_of(study.spec.metric).label
    return (
        f"Upwards: the difference in {metric} with its {study.level} interval. To the right: {of_what} of a run as a "
        "multiple of the baseline's. Best is the upper left: more for less. The shaded band is the margin."
    )


def _in_doubt(shown: Sequence[StudyArm], many: bool) -> str:
    """Name the costs that may be those of the baseline, or say how they are marked."""
    doubtful = [arm.name for arm in shown if arm.cost.may_be_the_same]
    if not doubtful:
        return ""
    reason = "runs of one arm differ in cost by as much"
    if many:
        return f" No bar and a “?”: the cost may equal the baseline's: {reason}."
    return f" Costs that may equal the baseline's, because {reason}: {joined(doubtful)}."


def _rows_caption(study: StudyRecord, of_what: str) -> str:
    scale = scale_of(study.spec.metric)
    return (
        f"To the right: {of_what} of a run as a multiple of the baseline's. Next to it the difference in "
        f"{scale.label}, {scale.unit}; the largest is on top. Best is high up and far left: more for less. Open "
        "points have no clear answer, or none yet; the plot of differences shows how certain a difference is."
    )


def _row(arm: StudyArm) -> list[str | float | None]:
    one = arm.technique
    ends = (one.difference, one.low, one.high) if one else (None, None, None)
    return [arm.name, arm.cost.cost_ratio, *(arm.cost.cost_ratio_interval or (None, None)), *ends]


def _draw(study: StudyRecord, shown: Sequence[StudyArm], of_what: str) -> Any:
    figure = new_figure(9.6, 4.4)
    axes = figure.subplots()
    scale, margin = scale_of(study.spec.metric), study.spec.margin
    low, high = difference_limits(study)
    axes.axhspan(-scale.factor * margin, scale.factor * margin, color=BAND, zorder=0)
    axes.axhline(0, color=INK, linewidth=1, zorder=1)
    axes.axvline(1, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
    ratios = [float(arm.cost.cost_ratio or 1) for arm in shown]
    set_cost_axis(axes, ratios, of_what)
    axes.set(ylim=(low, high), ylabel=scale.difference_label)
    heights = [scale.factor * float(arm.difference or 0) for arm in shown]
    for arm, ratio, height in zip(shown, ratios, heights, strict=True):
        _draw_point(axes, arm, ratio, float(np.clip(height, low, high)), scale.factor)
    _write_names(axes, shown, ratios, np.clip(heights, low, high), (low, high))
    return figure


def _draw_point(axes: Any, arm: StudyArm, ratio: float, height: float, factor: float) -> None:
    one, look = arm.technique, style_of(arm)
    if one is not None and one.low is not None and one.high is not None:
        axes.vlines(
            ratio, factor * one.low, factor * one.high, color=look.colour, linewidth=1.4, alpha=0.55, zorder=2
        )
    draw_mark(axes, arm, ratio, height, clip_on=False)


def _write_names(
    axes: Any, shown: Sequence[StudyArm], ratios: Sequence[float], heights: Any, limits: tuple[float, float]
) -> None:
    """Write the names next to the plot, each tied to its point, none on another."""
    labels = labels_of(shown, 34)
    low, high = limits
    places = spread([(height - low) / (high - low) for height in heights], gap=1 / 15)
    for arm, ratio, height, place in zip(shown, ratios, heights, places, strict=True):
        axes.annotate(
            labels[arm.name],
            (ratio, height),
            xytext=(1.04, place),
            textcoords="axes fraction",
            va="center",
            fontsize=9.5,
            color=style_of(arm).colour,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.9, "shrinkB": 6, "shrinkA": 2,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places near `wanted` (descending, 0 to 1), each at least `gap` below the one before, if they fit.

    Labels that are pushed together share the shift: a block of neighbours is centred on the mean of the places wanted.
    """
    blocks: list[tuple[float, int]] = []  # middle of the block, number of labels
    for place in wanted:
        block = (_inside(place, gap), 1)
        while blocks and blocks[-1][0] - block[0] < gap * (blocks[-1][1] + block[1]) / 2:
            middle, count = blocks.pop()
            together = count + block[1]
            mean = (middle * count + block[0] * block[1]) / together
            block = (_inside(mean, gap * together), together)
        blocks.append(block)
    return [middle + gap * ((count - 1) / 2 - k) for middle, count in blocks for k in range(count)]


def _inside(middle: float, height: float) -> float:
    """Return the middle of a block of this height, moved so that it does not leave 0 to 1."""
    return min(max(middle, height / 2), 1 - height / 2) if height < 1 else 0.5


def draw_cost_rows(shown: Sequence[StudyArm], scale: Scale, unit: str) -> Any:
    """Draw the cost of each technique as a point, its difference next to it; the largest difference on top.

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
        write_right(axes, place, first, costs[place], ha="right", fontsize=9, color=MUTED)
        write_right(
            axes,
            place,
            second,
            gains[place],
            ha="right",
            fontsize=10,
            weight="bold",
            color=style_of(arm).colour,
        )
    set_cost_axis(axes, ratios, unit)
    _write_heads(axes, first, second)
    return figure


def set_cost_axis(axes: Any, ratios: Sequence[float], unit: str) -> None:
    """Make the horizontal axis one of costs, in multiples of the baseline's, that holds these."""
    left, right = min([*ratios, 0.95]), max([*ratios, 1.05])
    padding = 0.05 * (right - left)
    axes.set(xlim=(max(left - padding, 0), right + padding), xlabel=f"{unit} of a run, times the baseline's")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}×")


def _draw_row(axes: Any, arm: StudyArm, place: int, ratio: float) -> None:
    if not arm.cost.may_be_the_same:  # a bar would call it cheaper or dearer
        axes.hlines(
            place, min(1, ratio), max(1, ratio), color=style_of(arm).colour, linewidth=3, alpha=0.35, zorder=2
        )
    draw_mark(axes, arm, ratio, place)


def _write_heads(axes: Any, first: float, second: float) -> None:
    """Name the columns, above the first row."""
    for inches, text in ((first, "cost"), (second, "difference")):
        axes.annotate(text, (1, 1), xycoords="axes fraction", xytext=(72 * inches, 5), textcoords="offset points",
                      ha="right", fontsize=9, color=MUTED, annotation_clip=False)  # fmt: skip
    write_ends(axes, "cheaper", "dearer")
