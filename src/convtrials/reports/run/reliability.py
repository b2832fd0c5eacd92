"""Reliability diagram: stated confidence against what came true."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from convtrials.evaluation.scores import wilson_interval
from convtrials.reports.picture import Picture
from convtrials.reports.style import BLUE, INK, MUTED, ORANGE, SKY, new_figure


def reliability_picture(bins: list[dict[str, Any]], error: float) -> Picture:
    """Return the reliability diagram.

    Parameters
    ----------
    bins : list of dict
        ``reliability`` of `evaluate_predictions`.
    error : float
        The expected calibration error, 0 to 1.
    """
    return Picture(
        name="reliability",
        title="Can its confidence be trusted?",
        caption="Answers sorted by stated confidence. On the diagonal, answers given with 80% are right 80 times "
        "in 100; below it (orange) the network is overconfident, above it (light blue) underconfident. The mean "
        f"gap, weighted by images, is the expected calibration error: {100 * error:.1f} percentage points.",
        alt="Reliability diagram: accuracy by confidence in fifteen bins, with a histogram of confidence below.",
        draw=lambda: _draw(bins, error),
        header=("from", "to", "images", "confidence", "accuracy"),
        rows=[[one[key] for key in ("from", "to", "images", "confidence", "accuracy")] for one in bins],
    )


def _draw(bins: list[dict[str, Any]], error: float) -> Any:
    figure = new_figure(8.4, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    used = [one for one in bins if one["images"]]
    left = np.array([one["from"] for one in used])
    width = 0.94 * np.array([one["to"] - one["from"] for one in used])
    _draw_bars(upper, used, left, width)
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1.1, linestyle=(0, (3, 3)))
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    upper.set_title(f"expected calibration error: {100 * error:.1f} points")
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3)
    images = np.array([one["images"] for one in used])
    lower.bar(left, images / images.sum(), width, align="edge", color=MUTED, alpha=0.7)
    lower.set(xlabel="stated confidence", ylabel="share of images")
    for axis in (upper.yaxis, lower.yaxis, lower.xaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def _draw_bars(axes: Any, used: list[dict[str, Any]], left: NDArray[Any], width: NDArray[Any]) -> None:
    """Draw accuracy by confidence; colour shows on which side of the stated confidence it lies."""
    accuracy = np.array([one["accuracy"] for one in used])
    confidence = np.array([one["confidence"] for one in used])
    gap = accuracy - confidence
    axes.bar(left, np.minimum(accuracy, confidence), width, align="edge", color=BLUE, alpha=0.85)
    axes.bar(left, np.maximum(gap, 0), width, confidence, align="edge", color=SKY, label="too modest")
    axes.bar(
        left, np.maximum(-gap, 0), width, accuracy, align="edge", color=ORANGE, alpha=0.45, label="too sure"
    )
    low, high = wilson_interval(accuracy, np.array([one["images"] for one in used]))
    middle = left + width / 2
    axes.vlines(middle, low, high, color=INK, linewidth=1.2, label="accuracy, 95% interval")
    axes.plot(middle, accuracy, "o", color=INK, markersize=3.5)
