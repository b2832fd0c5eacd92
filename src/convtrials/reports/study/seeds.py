"""Every run's score as a dot: how far chance in training moves a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convtrials.core.formatting import Scale
from convtrials.reports.picture import Picture
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.reports.study.rows import figure_of_rows, text_width, write_right
from convtrials.reports.study.verdict_style import labels_of, style_of
from convtrials.reports.style import BAND, FAINT, INK, MUTED
from convtrials.study.results.metrics import scale_of


def seeds_picture(study: StudyRecord) -> Picture | None:
    """Return the picture of every run's score, or None where no run has one."""
    scale = scale_of(study.spec.metric)
    shown = [study.baseline, *study.ranked]
    if not any(arm.scores for arm in shown):
        return None
    return Picture(
        name="seeds",
        title="Every run",
        caption=f"Each dot is one run, scored by {scale.label} on the test images; the vertical mark is the mean of "
        "its row. The line is the baseline's mean, the shaded band reaches from its lowest to its highest run. Where a "
        "technique's dots overlap with the band, a comparison of single runs could come out either way."
        + (" Lower is better." if scale.lower_is_better else ""),
        alt=f"Strip plot of the {scale.label} of every run, one row for the baseline and one for each technique.",
        draw=lambda: _draw(shown, scale),
        header=("arm", "seed", "status", "score"),
        rows=[
            (arm.name, run.seed, run.status, run.score)
            for arm in shown
            for run in arm.runs
            if run.status != "unused"
        ],
    )


def _draw(shown: Sequence[StudyArm], scale: Scale) -> Any:
    labels = labels_of(shown)
    texts = [_side_text(arm) for arm in shown]
    right = 0.25 + max(text_width(text, 9) for text in texts)
    figure, axes = figure_of_rows([labels[arm.name] for arm in shown], right)
    limits = _limits([[scale.factor * score for score in arm.scores] for arm in shown])
    baseline = scale.factor * np.array(shown[0].scores)
    if len(baseline):
        axes.axvspan(baseline.min(), baseline.max(), color=BAND, zorder=0)
        axes.axvline(baseline.mean(), color=MUTED, linewidth=1.2, zorder=1)
    for place, arm in enumerate(shown):
        _draw_arm(axes, arm, place, scale, limits)
        write_right(axes, place, 0.15, texts[place], fontsize=9, color=MUTED)
    axes.axhline(0.5, color=FAINT, linewidth=1)
    axes.set(xlim=limits, xlabel=scale.score_label)
    if scale.in_percent:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}%")
    return figure


def _limits(arms: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return a range that holds the runs, save those so far off that the others would fall into one line.

    The first arm that has runs, as a rule the baseline, is the middle.
    """
    known = [np.array(values) for values in arms if len(values)]
    middle = float(known[0].mean())
    reach = 4 * float(np.median([np.abs(values - middle).max() for values in known])) or np.inf
    everything = np.concatenate(known)
    low, high = max(everything.min(), middle - reach), min(everything.max(), middle + reach)
    padding = 0.06 * (high - low) or 0.01 * abs(high) or 0.01
    return float(low - padding), float(high + padding)


def _draw_arm(axes: Any, arm: StudyArm, place: int, scale: Scale, limits: tuple[float, float]) -> None:
    colour = style_of(arm).colour if arm.number else INK
    values = scale.factor * np.array(arm.scores)
    # A little apart in height, by seed, so that equal scores stay two dots.
    heights = (
        place + np.linspace(-0.17, 0.17, len(values)) if len(values) > 1 else np.full(len(values), place)
    )
    inside = (limits[0] <= values) & (values <= limits[1])
    axes.plot(
        values[inside],
        heights[inside],
        "o",
        color=colour,
        alpha=0.75,
        markersize=6.5,
        markeredgewidth=0,
        zorder=3,
    )
    if len(values):
        axes.plot(values.mean(), place, "|", color=colour, markersize=22, markeredgewidth=1.8, zorder=4)
    padding = 0.008 * (limits[1] - limits[0])
    for side, marker, out, edge in (
        ("left", "<", values < limits[0], limits[0] + padding),
        ("right", ">", values > limits[1], limits[1] - padding),
    ):
        if out.any():
            text = ", ".join(f"{value:.3g}" for value in np.sort(values[out])[:3]) + (
                " …" if out.sum() > 3 else ""
            )
            axes.plot(edge, place, marker, color=colour, markersize=6, zorder=4)
            axes.annotate(text, (edge, place), xytext=(8 if side == "left" else -8, 0), textcoords="offset points",
                          ha=side, va="center", fontsize=8.5, color=colour)  # fmt: skip


def _side_text(arm: StudyArm) -> str:
    """Say how many runs there are, and how many were lost."""
    counts = {
        status: sum(run.status == status for run in arm.runs)
        for status in ("diverged", "failed", "unfinished")
    }
    lost = [f"{count} {status}" for status, count in counts.items() if count]
    runs = len(arm.scores)
    return ", ".join([f"{runs} run{'' if runs == 1 else 's'}", *lost])
