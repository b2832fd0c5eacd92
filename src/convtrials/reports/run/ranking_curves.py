"""ROC and precision-recall curves: averages, and the classes that do worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convtrials.evaluation.curves import (
    Curve,
    macro_roc,
    one_hot,
    precision_recall_curves,
    precision_recall_of,
    roc_curves,
    roc_of,
)
from convtrials.evaluation.predictions import Predictions
from convtrials.reports.picture import Picture, Row
from convtrials.reports.style import ACCENTS, BLUE, FAINT, INK, MUTED, new_figure, short_name

#: Classes drawn in colour: those with the smallest area.
WORST = 4

#: More faint curves than this are a grey blot.
MOST_FAINT = 100


def roc_picture(predictions: Predictions, class_names: Sequence[str]) -> Picture:
    """Return the picture of ROC curves, one class against the rest."""
    curves = roc_curves(predictions.probabilities, predictions.labels, class_names)
    truth = one_hot(predictions.labels, len(class_names))
    micro = roc_of("micro average", truth.ravel(), predictions.probabilities.ravel())
    averages = [macro_roc(curves), micro] if curves else [micro]
    return Picture(
        name="roc",
        title="ROC curves",
        caption="One class against all others, at every threshold: the nearer to the top left corner, the better. "
        "The inset shows that corner enlarged. Coloured are the classes with the smallest area.",
        alt="ROC curves: micro and macro average, and the classes with the smallest area, with the corner enlarged.",
        draw=lambda: _draw_roc(averages, curves),
        header=("curve", "false_positive_rate", "true_positive_rate"),
        rows=_points([*averages, *curves]),
    )


def precision_recall_picture(predictions: Predictions, class_names: Sequence[str]) -> Picture:
    """Return the picture of precision-recall curves, one class against the rest."""
    curves = precision_recall_curves(predictions.probabilities, predictions.labels, class_names)
    truth = one_hot(predictions.labels, len(class_names))
    micro = precision_recall_of("micro average", truth.ravel(), predictions.probabilities.ravel())
    return Picture(
        name="precision-recall",
        title="Precision and recall",
        caption="How many of a class are found (recall), and how many of those named so are right (precision), "
        "as the threshold falls. Grey: every class; coloured: those with the smallest average precision.",
        alt="Precision-recall curves: the micro average, all classes in grey, the worst classes in colour.",
        draw=lambda: _draw_precision_recall(micro, curves),
        header=("curve", "recall", "precision"),
        rows=_points([micro, *curves]),
    )


def _points(curves: Sequence[Curve]) -> list[Row]:
    return [
        (curve.name, round(float(x), 6), round(float(y), 6))
        for curve in curves
        for x, y in zip(curve.x, curve.y, strict=True)
    ]


def _worst(curves: Sequence[Curve]) -> list[Curve]:
    return sorted(curves, key=lambda curve: curve.area)[:WORST]


def _draw_roc(averages: Sequence[Curve], curves: Sequence[Curve]) -> Any:
    figure = new_figure(9, 5.4)
    axes = figure.subplots()
    inset = axes.inset_axes((0.3, 0.13, 0.66, 0.66))
    left, bottom = _corner([*averages, *_worst(curves)])
    for panel in (axes, inset):
        _faint(panel, curves)
        for colour, curve in zip(ACCENTS, _worst(curves), strict=False):
            panel.plot(curve.x, curve.y, color=colour, label=_label(curve))
        for style, curve in zip(((BLUE, "-"), (INK, (0, (4, 2)))), averages, strict=False):
            panel.plot(curve.x, curve.y, color=style[0], linestyle=style[1], label=_label(curve), zorder=4)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
    inset.set(xlim=(0, left), ylim=(bottom, 1.002))
    inset.tick_params(labelsize=8)
    inset.spines[["top", "right"]].set_visible(True)
    inset.patch.set_alpha(0.96)
    axes.indicate_inset_zoom(inset, edgecolor=MUTED, alpha=0.6)
    _legend(figure, axes, "area under the curve")
    return figure


def _corner(curves: Sequence[Curve]) -> tuple[float, float]:
    """Choose the corner to enlarge: where the drawn curves go from steep to flat."""
    left = 0.1
    heights = [float(np.interp(left / 10, curve.x, curve.y)) for curve in curves]
    return left, float(np.clip(np.floor(min(heights) * 10) / 10, 0.0, 0.9))


def _draw_precision_recall(micro: Curve, curves: Sequence[Curve]) -> Any:
    figure = new_figure(9, 5.4)
    axes = figure.subplots()
    _faint(axes, curves, drawstyle="steps-pre")
    for colour, curve in zip(ACCENTS, _worst(curves), strict=False):
        axes.step(curve.x, curve.y, where="pre", color=colour, label=_label(curve))
    axes.step(micro.x, micro.y, where="pre", color=BLUE, label=_label(micro), zorder=4)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.005), ylim=(0, 1.01))
    _legend(figure, axes, "average precision")
    return figure


def _faint(axes: Any, curves: Sequence[Curve], drawstyle: str = "default") -> None:
    for curve in curves if len(curves) <= MOST_FAINT else ():
        axes.plot(curve.x, curve.y, color=FAINT, linewidth=0.7, alpha=0.7, zorder=1, drawstyle=drawstyle)


def _label(curve: Curve) -> str:
    return f"{short_name(curve.name)}  {curve.area:.4f}"


def _legend(figure: Any, axes: Any, title: str) -> None:
    handles, labels = axes.get_legend_handles_labels()
    # Averages were drawn last, so that they lie on top; they are read first.
    averages = [(h, text) for h, text in zip(handles, labels, strict=True) if " average  " in text]
    others = [(h, text) for h, text in zip(handles, labels, strict=True) if " average  " not in text]
    ordered = averages + others
    figure.legend(
        [h for h, _ in ordered],
        [text for _, text in ordered],
        loc="outside right upper",
        title=title,
        alignment="left",
        title_fontsize=9,
    )
