"""Pictures made of test images: the most confused pairs, and the most confident mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.data.dataset import Dataset
from convtrials.evaluation.mistakes import ConfusedPair, most_confused_pairs, rows_of_pair, worst_mistakes
from convtrials.evaluation.predictions import Predictions
from convtrials.reports.picture import Picture
from convtrials.reports.style import GREEN, MUTED, ORANGE, new_figure, short_name

PAIRS, EXAMPLES = 10, 10
GRID_COLUMNS, GRID_ROWS = 8, 4

_WIDTH = 9.0

#: Larger images are shown smaller, so that the page stays light.
THUMBNAIL = 72


def confused_pairs_picture(
    predictions: Predictions, confusion: NDArray[np.int64], dataset: Dataset
) -> Picture | None:
    """Return the most confused pairs with example images, or None where there is no mistake."""
    pairs = most_confused_pairs(confusion, PAIRS)
    if not pairs:
        return None
    names = dataset.class_names
    support = confusion.sum(axis=1)
    return Picture(
        name="confused-pairs",
        title="Most confused pairs",
        caption="Images of the first class that were classified as the second, the most confident mistakes first; "
        "with their number and their share of the first class.",
        alt="The most confused pairs of classes: "
        + "; ".join(_pair_text(pair, names) for pair in pairs[:5])
        + ".",
        draw=lambda: _draw_pairs(predictions, pairs, dataset),
        header=("true", "predicted", "images", "of", "rate"),
        rows=[(names[p.true], names[p.predicted], p.count, int(support[p.true]), p.rate) for p in pairs],
    )


def worst_mistakes_picture(predictions: Predictions, dataset: Dataset) -> Picture | None:
    """Return the wrong answers given with most confidence, or None where there is no mistake."""
    rows = worst_mistakes(predictions, GRID_COLUMNS * GRID_ROWS)
    if not len(rows):
        return None
    names = dataset.class_names
    return Picture(
        name="worst-mistakes",
        title="The most confident mistakes",
        caption="Wrong answers, most confident first: the label (first, green), the answer (second, orange) and the "
        "confidence. For some of them the label itself may be wrong.",
        alt="A grid of test images that were classified wrongly with the highest confidence.",
        draw=lambda: _draw_mistakes(predictions, rows, dataset),
        header=("image", "true", "predicted", "confidence", "probability_of_true"),
        rows=[
            (
                int(predictions.indices[row]),
                names[predictions.labels[row]],
                names[predictions.predicted[row]],
                float(predictions.confidence[row]),
                float(predictions.probabilities[row, predictions.labels[row]]),
            )
            for row in rows
        ],
    )


def _pair_text(pair: ConfusedPair, names: Sequence[str]) -> str:
    return f"{names[pair.true]} classified as {names[pair.predicted]} {pair.count} times"


def _draw_pairs(predictions: Predictions, pairs: Sequence[ConfusedPair], dataset: Dataset) -> Any:
    names = [short_name(name, 14) for name in dataset.class_names]
    titles = [f"{names[pair.true]} → {names[pair.predicted]}" for pair in pairs]
    longest = max(map(len, titles))
    # Text next to the strips takes what the longest names need: about a tenth of an inch per letter.
    size, text_inches = (13, 1.65) if longest <= 12 else (9.5, min(0.3 + 0.092 * longest, 3.2))
    strips = [
        _strip(
            [
                _thumbnail(dataset, predictions.indices[row])
                for row in rows_of_pair(predictions, pair, EXAMPLES)
            ]
        )
        for pair in pairs
    ]
    width = _WIDTH - text_inches
    line = width * strips[0].shape[0] / strips[0].shape[1]
    height = len(pairs) * (line + 0.1)
    figure = new_figure(_WIDTH, height, layout=None)
    for place, (pair, text, strip) in enumerate(zip(pairs, titles, strips, strict=True)):
        bottom = 1 - ((place + 1) * (line + 0.1) - 0.05) / height
        axes = figure.add_axes((text_inches / _WIDTH, bottom, width / _WIDTH, line / height))
        _show(axes, strip)
        middle, left = bottom + line / height / 2, (text_inches - 0.15) / _WIDTH
        figure.text(left, middle + 0.02 / height, text, ha="right", va="bottom", fontsize=size, weight="bold")
        detail = f"{pair.count:,} image{'s' if pair.count > 1 else ''}, {100 * pair.rate:.1f}%"
        figure.text(left, middle - 0.04 / height, detail, ha="right", va="top", fontsize=8.5, color=MUTED)
    return figure


def _draw_mistakes(predictions: Predictions, rows: NDArray[np.int64], dataset: Dataset) -> Any:
    lines = -(-len(rows) // GRID_COLUMNS)
    predicted, confidence = predictions.predicted, predictions.confidence
    shown = [
        (dataset.class_names[predictions.labels[row]], dataset.class_names[predicted[row]]) for row in rows
    ]
    long = max(len(name) for pair in shown for name in pair) > 4
    figure = new_figure(_WIDTH, (1.75 if long else 1.62) * lines)
    for place, (row, (true, said)) in enumerate(zip(rows, shown, strict=True)):
        axes = figure.add_subplot(lines, GRID_COLUMNS, place + 1)
        _show(axes, _thumbnail(dataset, predictions.indices[row]))
        style = {"transform": axes.transAxes, "fontsize": 7.5 if long else 12, "weight": "bold"}
        if long:
            axes.text(0, 1.17, short_name(true, 13), color=GREEN, **style)
            axes.text(0, 1.04, short_name(said, 13), color=ORANGE, **style)
        else:
            axes.text(0, 1.04, short_name(true), color=GREEN, **style)
            axes.text(1, 1.04, short_name(said), color=ORANGE, ha="right", **style)
        axes.text(0.5, -0.05, _sureness(confidence[row]), transform=axes.transAxes, fontsize=9,
                  color=MUTED, ha="center", va="top")  # fmt: skip
    return figure


def _sureness(confidence: float) -> str:
    """Return a confidence in percent; one that is not quite 100 is not called 100."""
    return "> 99.9%" if confidence >= 0.9995 else f"{100 * confidence:.1f}%"


def _show(axes: Any, image: NDArray[np.uint8]) -> None:
    grey = image.shape[2] == 1
    axes.imshow(
        image[..., 0] if grey else image,
        cmap="gray" if grey else None,
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.set_axis_off()


def _thumbnail(dataset: Dataset, index: Any) -> NDArray[np.uint8]:
    """Return one image, uint8 (h, w, C), neither side longer than `THUMBNAIL`."""
    image: NDArray[np.uint8] = np.asarray(dataset.images[int(index)])
    if max(image.shape[:2]) <= THUMBNAIL:
        return image
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(picture).reshape(picture.height, picture.width, image.shape[2])


def _strip(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put images side by side on white, with room for `EXAMPLES`."""
    height, width, channels = images[0].shape
    gap = max(1, width // 14)
    strip = np.full((height, EXAMPLES * (width + gap) - gap, channels), 255, dtype=np.uint8)
    for place, image in enumerate(images):
        start = place * (width + gap)
        strip[:, start : start + width] = image
    return strip
