"""The baseline against the technique with the largest difference: F1 of every class, and macro ROC curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.reports.picture import Picture
from convtrials.reports.study.predictions import ArmPredictions
from convtrials.reports.study.verdict_style import labels_of
from convtrials.reports.style import BLUE, FAINT, INK, MUTED, ORANGE, new_figure, short_name

#: More classes than this do not fit on a page; those that change most are shown.
MOST_SHOWN = 40


def classes_picture(baseline: ArmPredictions, best: ArmPredictions, class_names: tuple[str, ...]) -> Picture:
    """Return the picture of per-class F1 of two arms, means over their runs."""
    before, after = baseline.f1.mean(axis=0), best.f1.mean(axis=0)
    change, error = after - before, _errors(baseline, best)
    present = np.flatnonzero(baseline.support > 0)
    shown = present[np.argsort(-np.abs(change)[present], kind="stable")][:MOST_SHOWN]
    shown = shown[np.argsort(before[shown], kind="stable")]
    some = (
        f" Of {len(present)} classes, the {MOST_SHOWN} that change most." if len(present) > MOST_SHOWN else ""
    )
    name = best.arm.name
    return Picture(
        name="per-class-f1",
        title="Class by class",
        caption=f"Left: F1 of each class, mean over runs, for the baseline (hollow) and “{name}” (full), hardest class "
        "first. Right: its change in percentage points; the whisker is twice the standard error over runs. No verdict "
        f"is given on single classes.{some}",
        alt=f"F1 by class, the baseline against {name}, and the change of each.",
        draw=lambda: _draw(
            shown, (before, after, change, error), labels_of([best.arm], 34)[name], class_names
        ),
        header=("class", "images", "baseline_f1", "technique_f1", "change", "standard_error"),
        rows=[
            (
                class_names[k],
                int(baseline.support[k]),
                *(float(one[k]) for one in (before, after, change, error)),
            )
            for k in present
        ],
    )


def _errors(baseline: ArmPredictions, best: ArmPredictions) -> NDArray[np.float64]:
    """Return the standard error over runs of each class's change, (K,); zeros where an arm has a single run."""
    if min(baseline.runs, best.runs) < 2:
        return np.zeros(baseline.f1.shape[1])
    parts = [one.f1.var(axis=0, ddof=1) / one.runs for one in (baseline, best)]
    errors: NDArray[np.float64] = np.sqrt(parts[0] + parts[1])
    return errors


def _draw(
    shown: NDArray[np.int64], numbers: tuple[NDArray[np.float64], ...], label: str, names: tuple[str, ...]
) -> Any:
    before, after, change, error = (one[shown] for one in numbers)
    places = np.arange(len(shown))
    colours = np.where(change >= 0, BLUE, ORANGE)
    figure = new_figure(9.6, max(1.4 + 0.21 * len(shown), 2.6))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.25, 1])
    left.hlines(places, before, after, color=colours, linewidth=2.2, alpha=0.6, zorder=2)
    left.plot(before, places, "o", markerfacecolor="white", markeredgecolor=MUTED, markersize=5.5, zorder=3)
    left.scatter(after, places, s=34, color=colours, linewidths=0, zorder=4)
    left.set_yticks(places, [short_name(names[k], 22) for k in shown])
    left.set_ylim(len(shown) - 0.4, -0.7)
    left.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    left.set_xlabel("F1")
    right.barh(places, 100 * change, height=0.6, color=colours, alpha=0.75)
    right.hlines(places, 100 * (change - 2 * error), 100 * (change + 2 * error), color=INK, linewidth=1)
    # Bars set the scale; a whisker that leaves the panel says enough.
    reach = 180 * float(np.abs(change).max()) or 1.0
    right.set_xlim(-reach, reach)
    right.axvline(0, color=INK, linewidth=1)
    right.set_xlabel("change, percentage points")
    right.spines["left"].set_visible(False)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0, labelcolor=INK)
    _legend(figure, label, set(colours))
    return figure


def _legend(figure: Any, label: str, used: set[str]) -> None:
    from matplotlib.lines import Line2D

    kinds = [
        ("baseline", "white", MUTED),
        (f"{label}: better", BLUE, BLUE),
        (f"{label}: worse", ORANGE, ORANGE),
    ]
    handles = [
        Line2D([], [], linestyle="", marker="o", markerfacecolor=face, markeredgecolor=edge, label=text)
        for text, face, edge in kinds
        if edge == MUTED or edge in used
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, handletextpad=0.2, columnspacing=1.2)


def roc_arms_picture(baseline: ArmPredictions, best: ArmPredictions) -> Picture | None:
    """Return the picture of two arms' macro ROC curves, or None where no class can be ranked."""
    if not len(baseline.areas) or not len(best.areas):
        return None
    pair = (baseline, best)
    return Picture(
        name="roc",
        title="ROC curves",
        caption="One class against all others, averaged over classes: thin lines are runs, thick ones their mean. The "
        f"inset enlarges the top left corner. Areas: baseline {baseline.areas.mean():.4f}, “{best.arm.name}” "
        f"{best.areas.mean():.4f} (means over runs). No verdict is given on them.",
        alt=f"Macro ROC curves of the baseline and of {best.arm.name}, with the corner enlarged.",
        draw=lambda: _draw_curves(pair),
        header=("arm", "curve", "false_positive_rate", "true_positive_rate"),
        rows=[
            (one.arm.name, name, round(float(x), 6), round(float(y), 6))
            for one in pair
            for name, heights in _named(one)
            for x, y in zip(one.false_rates, heights, strict=True)
        ],
    )


def _named(one: ArmPredictions) -> list[tuple[str, Any]]:
    runs = [
        (f"seed {run.seed}", heights) for run, heights in zip(one.arm.finished, one.true_rates, strict=True)
    ]
    return [("mean", one.true_rates.mean(axis=0)), *runs]


def _draw_curves(pair: tuple[ArmPredictions, ArmPredictions]) -> Any:
    figure = new_figure(9.6, 5.2)
    axes = figure.subplots()
    inset = axes.inset_axes((0.28, 0.2, 0.68, 0.66))
    labels = labels_of([one.arm for one in pair], 34)
    for one, colour in zip(pair, (MUTED, BLUE), strict=True):
        label = f"{labels[one.arm.name]}  {one.areas.mean():.4f}"
        mean = one.true_rates.mean(axis=0)
        axes.plot(one.false_rates, mean, color=colour, linewidth=2, label=label)
        for heights in one.true_rates:
            inset.plot(one.false_rates, heights, color=colour, linewidth=0.7, alpha=0.5)
        inset.plot(one.false_rates, mean, color=colour, linewidth=2.2)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
    left = 0.1
    start = min(float(np.interp(left / 10, one.false_rates, one.true_rates.mean(axis=0))) for one in pair)
    inset.set(xlim=(0, left), ylim=(float(np.clip(np.floor(start * 20) / 20, 0, 0.95)), 1.002))
    inset.tick_params(labelsize=8)
    inset.spines[["top", "right"]].set_visible(True)
    axes.indicate_inset_zoom(inset, edgecolor=MUTED, alpha=0.6)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(0.99, -0.01),
        title="mean area",
        title_fontsize=9,
        ncols=2,
        alignment="left",
    )
    return figure
