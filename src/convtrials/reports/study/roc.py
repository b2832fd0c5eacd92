"""Macro ROC curves of the baseline and of the technique with the largest difference."""

from __future__ import annotations

from typing import Any

import numpy as np

from convtrials.reports.picture import Picture
from convtrials.reports.study.predictions import ArmPredictions
from convtrials.reports.study.verdict_style import labels_of
from convtrials.reports.style import BLUE, FAINT, MUTED, new_figure


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
        draw=lambda: _draw(pair),
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


def _draw(pair: tuple[ArmPredictions, ArmPredictions]) -> Any:
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
