"""What one run each would have said: every pair of single runs as a dot, and whether it would have misled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.formatting import Scale
from convtrials.reports.picture import Picture
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.reports.study.rows import figure_of_rows, text_width, write_ends, write_right
from convtrials.reports.study.verdict_style import labels_of, style_of
from convtrials.reports.style import BAND, BLUE, FAINT, INK, MUTED, ORANGE
from convtrials.study.results.metrics import scale_of
from convtrials.study.results.single_runs import misleading, pair_differences
from convtrials.study.schemas import SingleRuns

#: More dots than this in a row are a smear.
MOST_DOTS = 400


def single_runs_picture(study: StudyRecord) -> Picture | None:
    """Return the picture of all comparisons of one run with one run; None where there is none."""
    shown = [arm for arm in study.ranked if _found(arm) is not None and arm.scores]
    if not shown or not study.baseline.scores:
        return None
    scale = scale_of(study.spec.metric)
    differences = {arm.name: _differences(study, arm, scale) for arm in shown}
    many = any((found := _found(arm)) and found.pairs > MOST_DOTS for arm in shown)
    thinned = f" ({MOST_DOTS} evenly spaced ones, where there are more)" if many else ""
    caption = (
        "The usual comparison trains each recipe once and puts the two scores into a table. Each dot is one such "
        "comparison: the gain of one run of the technique over one run of the baseline, for all pairs of runs of this "
        f"study{thinned}. Orange crosses would have misled. Shaded: the margin (±{scale.amount(study.spec.margin)})."
    )
    return Picture(
        name="single-runs",
        title="What one run each would have said",
        caption=f"{caption} {study.verdicts.single_runs}".strip(),
        alt="Dots of all differences between a single run of a technique and a single run of the baseline: "
        + "; ".join(f"{arm.name}: {_side_text(arm)}" for arm in shown[:6])
        + ".",
        draw=lambda: _draw(study, shown, differences, scale),
        header=("technique", "verdict", "difference", "misleads"),
        rows=[
            (arm.name, style_of(arm).key, value / scale.factor, "yes" if misleads else "no")
            for arm in shown
            for value, misleads in zip(*_marked(study, arm, differences[arm.name], scale), strict=True)
        ],
    )


def _found(arm: StudyArm) -> SingleRuns | None:
    return None if arm.technique is None else arm.technique.single_runs


def _differences(study: StudyRecord, arm: StudyArm, scale: Scale) -> NDArray[np.float64]:
    """Return the difference of every pair, sorted, in the unit of the page; above zero the technique is better.

    Of more than `MOST_DOTS` pairs, so many evenly spaced ones are returned, both ends among them.
    """
    seeds = arm.technique.seeds if arm.technique is not None and arm.technique.seeds else None
    baseline = study.baseline.scores[:seeds]
    sign = -1.0 if scale.lower_is_better else 1.0
    every = np.sort(sign * scale.factor * pair_differences(arm.scores, baseline).ravel())
    kept = np.linspace(0, len(every) - 1, min(len(every), MOST_DOTS)).round().astype(int)
    return np.asarray(every[kept], np.float64)


def _marked(
    study: StudyRecord, arm: StudyArm, differences: NDArray[np.float64], scale: Scale
) -> tuple[list[float], list[bool]]:
    """Return the differences, and for each whether a table of these two runs would have misled."""
    found, wrong = _found(arm), None
    if found is not None and found.wrong is not None:
        wrong = misleading(
            differences / scale.factor,
            verdict=style_of(arm).key,
            margin=study.spec.margin,
            same_recipe=arm.planned.recipe == study.baseline.planned.recipe,
        )
    return differences.tolist(), (np.zeros(len(differences), bool) if wrong is None else wrong).tolist()


def _side_text(arm: StudyArm) -> str:
    """Say in a few words how the pairs of a row come out."""
    found = _found(arm)
    assert found is not None
    if found.wrong is not None:
        return f"{found.wrong:,} of {found.pairs:,} mislead"
    return f"{found.better:,} say better, {found.worse:,} worse"


def _draw(
    study: StudyRecord, shown: Sequence[StudyArm], differences: dict[str, NDArray[np.float64]], scale: Scale
) -> Any:
    labels, texts = labels_of(shown), [_side_text(arm) for arm in shown]
    right = 0.25 + max(text_width(text, 9.5, "bold") for text in texts)
    figure, axes = figure_of_rows([labels[arm.name] for arm in shown], right, above=0.28, below=0.35)
    margin = scale.factor * study.spec.margin
    axes.axvspan(-margin, margin, color=BAND, zorder=0)
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    for place, arm in enumerate(shown):
        _draw_row(axes, place, *_marked(study, arm, differences[arm.name], scale))
        axes.axhline(place + 0.5, color=FAINT, linewidth=0.6)
        misleading = bool((found := _found(arm)) and found.wrong)
        colour = ORANGE if misleading else MUTED
        write_right(axes, place, 0.15, texts[place], fontsize=9.5, color=colour, weight="bold")
    axes.set(xlabel=f"one run against one run: {scale.difference_label}")
    write_ends(axes, "baseline's run wins", "technique's run wins")
    _legend(figure, any((found := _found(arm)) and found.wrong is not None for arm in shown))
    return figure


def _draw_row(axes: Any, place: int, values: list[float], wrong: list[bool]) -> None:
    # Spread in height in a fixed order, so that neighbours do not hide each other.
    heights = place + 0.3 * (2 * (np.arange(len(values)) * 0.618034 % 1) - 1)
    for flag, marker, colour in ((False, "o", BLUE), (True, "X", ORANGE)):
        chosen = np.array(wrong, bool) == flag
        axes.plot(np.array(values)[chosen], heights[chosen], marker, color=colour, alpha=0.8, linestyle="none",
                  markersize=6 if flag else 5, markeredgewidth=0, zorder=3)  # fmt: skip


def _legend(figure: Any, counted: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=BLUE, marker="o", linestyle="none", markersize=6, label="one pair of runs"),
        *(
            [Line2D([], [], color=ORANGE, marker="X", linestyle="none", markersize=7, label="misleads")]
            if counted
            else []
        ),
        Patch(facecolor=BAND, edgecolor=FAINT, linewidth=1, label="margin"),
    ]
    figure.legend(handles=handles, loc="lower left", ncols=len(handles), columnspacing=1.3, handlelength=1.8)
