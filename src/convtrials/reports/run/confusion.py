"""The confusion matrix, drawn so that the mistakes show and the right answers do not drown them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.reports.picture import Picture
from convtrials.reports.style import CELL_LINES, DIAGONAL, INK, MISTAKES, MUTED, new_figure, short_name

#: More classes than this have cells too small for a number.
MOST_WITH_NUMBERS = 45

#: Of more classes than this, every second or third is named on the axes.
MOST_NAMED = 50

#: A cell gets its count where this part of the class goes there.
WORTH_A_NUMBER = 0.01


def confusion_picture(confusion: NDArray[np.int64], class_names: Sequence[str]) -> Picture:
    """Return the picture of a confusion matrix (K, K), true classes in rows."""
    return Picture(
        name="confusion-matrix",
        title="Which classes are confused",
        caption="Rows are true classes, columns are answers. Grey: the percentage of the class that is right. "
        "Colour: the share of the class that got this wrong answer; numbers count images "
        f"({WORTH_A_NUMBER:.0%} of the class or more).",
        alt="Confusion matrix: true classes in rows, predicted classes in columns, mistakes in colour.",
        draw=lambda: _draw(confusion, class_names),
        header=("true \\ predicted", *class_names),
        rows=[[name, *map(int, row)] for name, row in zip(class_names, confusion, strict=True)],
    )


def _draw(confusion: NDArray[np.int64], class_names: Sequence[str]) -> Any:
    import seaborn
    from matplotlib.colors import PowerNorm

    classes = len(class_names)
    side = float(np.clip(0.25 * classes + 1.4, 5.0, 10.4))
    figure = new_figure(side + 0.6, side)
    axes = figure.subplots()
    rates = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    right = np.eye(classes, dtype=bool)
    top = max(float(rates[~right].max()), 0.02)
    names = [short_name(name, 12) for name in class_names]
    # The root scale keeps one mistake in a hundred visible next to one in three.
    seaborn.heatmap(
        np.where(right, 0, rates),
        ax=axes,
        cmap=_pale_to_dark(),
        norm=PowerNorm(0.5, vmin=0, vmax=top),
        square=True,
        linewidths=0.6 if classes <= MOST_WITH_NUMBERS else 0,
        linecolor=CELL_LINES,
        xticklabels=False,
        yticklabels=False,
        cbar_kws={"shrink": 0.45, "aspect": 22, "pad": 0.015},
    )
    _finish_axes(axes, names, top)
    _paint_diagonal(axes, classes)
    if classes <= MOST_WITH_NUMBERS:
        _write_numbers(axes, confusion, rates, top)
    return figure


def _pale_to_dark() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("mistakes", MISTAKES)


def _finish_axes(axes: Any, names: Sequence[str], top: float) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set(xlabel="answer", ylabel="truth")
    step = -(-len(names) // MOST_NAMED)
    places, shown = np.arange(0, len(names), step) + 0.5, names[::step]
    # Names lie flat where the longest fits its cell, at about a tenth of an inch per letter.
    cell = step * (axes.figure.get_figwidth() - 2) / len(names)
    flat = max(map(len, shown)) * 0.1 < cell
    axes.set_xticks(places, shown, rotation=0 if flat else 90)
    axes.set_yticks(places, shown, rotation=0)
    axes.tick_params(length=0, labelsize=10, labelcolor=INK)
    bar = axes.collections[0].colorbar
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if top > 0.05 else 1))
    bar.ax.tick_params(labelsize=8.5, length=0)
    bar.set_label("share of the class", fontsize=9, color=MUTED)


def _paint_diagonal(axes: Any, classes: int) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    cells = [Rectangle((k, k), 1, 1) for k in range(classes)]
    axes.add_collection(PatchCollection(cells, facecolor=DIAGONAL, edgecolor=CELL_LINES, linewidth=0.6))


def _write_numbers(axes: Any, confusion: NDArray[np.int64], rates: NDArray[np.float64], top: float) -> None:
    classes = len(confusion)
    size = float(np.clip(255 / classes, 5.6, 10))
    for row in range(classes):
        for column in range(classes):
            middle = (column + 0.5, row + 0.5)
            if row == column:
                if confusion[row].sum():
                    text = f"{100 * rates[row, column]:.0f}"
                    axes.text(*middle, text, ha="center", va="center", fontsize=size, color=MUTED)
            elif confusion[row, column] and rates[row, column] >= WORTH_A_NUMBER:
                dark = rates[row, column] > 0.3 * top
                colour = "white" if dark else INK
                text = str(confusion[row, column])
                axes.text(*middle, text, ha="center", va="center", fontsize=size, color=colour)
