"""The forest plot: every technique's difference from the baseline, with its intervals and the margin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convtrials.core.formatting import Scale
from convtrials.reports.picture import Picture
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.reports.study.rows import figure_of_rows, text_width, write_ends, write_right
from convtrials.reports.study.verdict_style import STYLES, draw_mark, labels_of, preliminary, style_of
from convtrials.reports.style import BAND, GRID, INK, MUTED
from convtrials.study.results.metrics import scale_of

_HEADER = (
    "technique", "verdict", "final", "difference", "low", "high", "fixed_low", "fixed_high", "p_value", "p_adjusted",
    "seeds",
)  # fmt: skip


def forest_picture(study: StudyRecord) -> Picture:
    """Return the forest plot of all techniques, the largest difference first."""
    scale = scale_of(study.spec.metric)
    shown = study.ranked
    verdicts = [f"{arm.name} {style_of(arm).word} ({scale.signed(arm.difference)})" for arm in shown[:6]]
    return Picture(
        name="forest",
        title="How large is the difference?",
        caption=f"Each technique's mean difference from the baseline. Thin line: the {study.level} interval that holds "
        "for all techniques together, for new seeds and new test images; it alone decides the verdict. Thick pale "
        "line: the interval for these test images alone. Shaded: the margin "
        f"(±{scale.amount(study.spec.margin)}), inside which a difference does not matter in practice.",
        alt="Forest plot of differences from the baseline: " + "; ".join(verdicts) + ".",
        draw=lambda: _draw(study, shown, scale),
        header=_HEADER,
        rows=[_row(arm) for arm in shown],
    )


def _row(arm: StudyArm) -> list[str | int | float | None]:
    one = arm.technique
    if one is None:
        return [arm.name, style_of(arm).key, "no", *[None] * (len(_HEADER) - 3)]
    return [
        arm.name, style_of(arm).key, "yes" if one.final else "no", one.difference, one.low, one.high,
        one.fixed_low, one.fixed_high, one.p_value, one.p_adjusted, one.seeds,
    ]  # fmt: skip


def difference_limits(study: StudyRecord) -> tuple[float, float]:
    """Return the range of an axis of differences, in the unit of the page.

    It holds zero, the margin and the intervals, save that an extreme technique does not squeeze all others: what lies
    farther out than four times the middle technique ends in an arrow, where the others end.
    """
    factor, margin = scale_of(study.spec.metric).factor, study.spec.margin
    judged = [arm.technique for arm in study.techniques if arm.technique is not None]
    ends = [(one.low, one.high) for one in judged if one.low is not None and one.high is not None]
    ends += [(d, d) for one in judged if one.low is None and (d := one.difference) is not None]
    reach = 4 * max(float(np.median([max(abs(low), abs(high)) for low, high in ends] or [0.0])), 1.3 * margin)
    points = [one.difference for one in judged if one.difference is not None]
    shown = [value for value in (*points, *(end for pair in ends for end in pair)) if abs(value) <= reach]
    low, high = min([*shown, -1.3 * margin]), max([*shown, 1.3 * margin])
    padding = 0.04 * (high - low)
    return factor * (low - padding), factor * (high + padding)


def _draw(study: StudyRecord, shown: Sequence[StudyArm], scale: Scale) -> Any:
    labels = labels_of(shown)
    words = [_word(arm) for arm in shown]
    numbers = [scale.signed(arm.difference) for arm in shown]
    spans = [scale.span(one.low, one.high) if (one := arm.technique) else "–" for arm in shown]
    # Three columns at the right, each as wide as its longest entry.
    first = 0.15 + max(text_width(number, 10, "bold") for number in numbers)
    second = first + 0.15
    third = second + max(text_width(span, 9) for span in spans) + 0.2
    right = third + max(text_width(word, 9.5, "bold") for word in words) + 0.1
    figure, axes = figure_of_rows([labels[arm.name] for arm in shown], right, above=0.28, below=0.35)
    limits = difference_limits(study)
    margin = scale.factor * study.spec.margin
    axes.axvspan(-margin, margin, color=BAND, zorder=0)
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    for place, arm in enumerate(shown):
        draw_interval(axes, arm, place, scale, limits)
        if arm.difference is not None:
            write_right(axes, place, first, numbers[place], ha="right", fontsize=10, weight="bold")
            write_right(axes, place, second, spans[place], fontsize=9, color=MUTED)
        write_right(axes, place, third, words[place], fontsize=9.5, weight="bold", color=style_of(arm).colour)
    axes.set(xlim=limits, xlabel=scale.difference_label)
    write_ends(axes, "worse", "better")
    _legend(figure, shown)
    return figure


def _word(arm: StudyArm) -> str:
    look = style_of(arm)
    return f"{look.word}, so far" if preliminary(arm) and look.key != "waiting" else look.word


def draw_interval(axes: Any, arm: StudyArm, place: float, scale: Scale, limits: tuple[float, float]) -> None:
    """Draw one technique's intervals and point at height `place`; what leaves `limits` ends in an arrow."""
    one, look = arm.technique, style_of(arm)
    if one is None or one.difference is None:
        return
    style = (0, (3, 2)) if preliminary(arm) else "-"
    if one.fixed_low is not None and one.fixed_high is not None:
        ends = np.clip([scale.factor * one.fixed_low, scale.factor * one.fixed_high], *limits)
        axes.hlines(place, *ends, color=look.colour, linewidth=8, alpha=0.25, zorder=2)
    if one.low is not None and one.high is not None:
        low, high = scale.factor * one.low, scale.factor * one.high
        axes.hlines(
            place, *np.clip([low, high], *limits), color=look.colour, linewidth=1.8, linestyle=style, zorder=3
        )
        for end, beyond in ((low, low < limits[0]), (high, high > limits[1])):
            if not beyond:
                axes.plot(end, place, "|", color=look.colour, markersize=9, markeredgewidth=1.6, zorder=3)
    middle = scale.factor * one.difference
    if limits[0] <= middle <= limits[1]:
        draw_mark(axes, arm, middle, place)
    _arrows(
        axes,
        place,
        look.colour,
        [middle, scale.factor * (one.low or 0), scale.factor * (one.high or 0)],
        limits,
    )


def _arrows(axes: Any, place: float, colour: str, values: list[float], limits: tuple[float, float]) -> None:
    padding = 0.012 * (limits[1] - limits[0])
    if min(values) < limits[0]:
        axes.plot(limits[0] + padding, place, "<", color=colour, markersize=6, zorder=4)
    if max(values) > limits[1]:
        axes.plot(limits[1] - padding, place, ">", color=colour, markersize=6, zorder=4)


def _legend(figure: Any, shown: Sequence[StudyArm]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    used = {style_of(arm).key for arm in shown if arm.difference is not None}
    handles: list[Any] = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=7, linewidth=1.6,
               markerfacecolor="white" if look.key == "inconclusive" else look.colour, label=look.word)
        for look in STYLES if look.key in used
    ]  # fmt: skip
    if any(preliminary(arm) for arm in shown):
        handles.append(Line2D([], [], color=MUTED, linestyle=(0, (3, 2)), linewidth=1.6, label="so far"))
    handles.append(Line2D([], [], color=MUTED, alpha=0.35, linewidth=7, label="these test images only"))
    handles.append(Patch(facecolor=BAND, edgecolor=GRID, linewidth=1, label="margin"))
    figure.legend(handles=handles, loc="lower left", ncols=len(handles), columnspacing=1.3, handlelength=1.8)
