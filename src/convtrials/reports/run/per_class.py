"""F1 of every class, from worst to best, between its precision and its recall."""

from __future__ import annotations

from typing import Any

import numpy as np

from convtrials.reports.picture import Picture
from convtrials.reports.style import BLUE, FAINT, INK, MUTED, ORANGE, new_figure, short_name

#: More classes than this do not fit on a page; the worst are shown.
MOST_SHOWN = 48

_COLUMNS = ("name", "support", "predicted", "precision", "recall", "f1", "roc_auc", "average_precision")


def per_class_picture(per_class: list[dict[str, Any]], macro_f1: float) -> Picture:
    """Return the picture of per-class F1; `per_class` is that of `evaluate_predictions`."""
    shown = sorted((row for row in per_class if row["support"]), key=lambda row: row["f1"])[:MOST_SHOWN]
    some = f"The {len(shown)} classes with the lowest F1. " if len(shown) < len(per_class) else ""
    return Picture(
        name="per-class-f1",
        title="Which classes are hard",
        caption=f"{some}F1 of each class, worst first, between its precision (of the answers with this name, how "
        "many are right) and its recall (of the images of this class, how many are found).",
        alt="Dot plot of F1, precision and recall of each class, sorted by F1.",
        draw=lambda: _draw(shown, macro_f1),
        header=_COLUMNS,
        rows=[[row[column] for column in _COLUMNS] for row in per_class],
    )


def _draw(rows: list[dict[str, Any]], macro_f1: float) -> Any:
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(9, max(1.2 + 0.2 * len(rows), 2.6))
    axes = figure.subplots()
    places = np.arange(len(rows))
    f1, precision, recall = (np.array([row[key] for row in rows]) for key in ("f1", "precision", "recall"))
    axes.hlines(
        places, np.minimum(precision, recall), np.maximum(precision, recall), color=FAINT, linewidth=2.4
    )
    axes.plot(precision, places, "<", color=ORANGE, markersize=5.5, label="precision")
    axes.plot(recall, places, ">", color=BLUE, markersize=5.5, label="recall")
    axes.plot(f1, places, "o", color=INK, markersize=6, label="F1")
    axes.axvline(macro_f1, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    axes.set_yticks(places, [short_name(row["name"], 22) for row in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(rows) - 0.4, -0.9)
    lowest = float(min(precision.min(), recall.min()))
    axes.set_xlim(max(0.0, np.floor(lowest * 10 - 0.2) / 10), 1.005)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.annotate(
        f"mean F1 {100 * macro_f1:.1f}%",
        (macro_f1, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4, -2),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=9,
        color=MUTED,
    )
    figure.legend(loc="outside upper left", ncols=3, handletextpad=0.2, columnspacing=1.2)
    return figure
