"""Learning curves of every technique against the baseline, one small panel each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.formatting import Scale
from convtrials.reports.picture import Picture
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.reports.study.verdict_style import labels_of, style_of
from convtrials.reports.style import BLUE, FAINT, MUTED, new_figure
from convtrials.study.results.metrics import verdict_metric

#: More panels than this do not fit on a page.
MOST_PANELS = 24


@dataclass(frozen=True, eq=False)
class _Band:
    """An arm's validation scores over its runs, by epoch; arrays of shape (E,)."""

    epochs: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    runs: NDArray[np.int64]


def curves_picture(study: StudyRecord) -> Picture | None:
    """Return the picture of validation scores by epoch, or None where no run has a history."""
    metric = verdict_metric(study.spec.metric)
    scale, ranked = metric.history_scale, study.ranked
    bands = {arm.name: band for arm in (study.baseline, *ranked) if (band := _band(arm, metric.history_key))}
    shown = [arm for arm in ranked if arm.name in bands]
    if not bands:
        return None
    some = (
        f" Of {len(shown)} techniques, {MOST_PANELS} are drawn; the table has all."
        if len(shown) > MOST_PANELS
        else ""
    )
    extremes = _extremes(shown)
    return Picture(
        name="learning-curves",
        title="How they learn",
        caption=f"{scale.label[0].upper()}{scale.label[1:]} on the validation images by epoch: the line is the mean "
        "over runs, the band reaches from the lowest run to the highest. Blue is the technique, grey the baseline. "
        "Early epochs may lie outside, so that the late ones can be distinguished. Test images are not used here."
        f"{some}",
        alt=f"Small line charts of validation {scale.label} by epoch, one per technique, with the baseline in grey.",
        draw=lambda: _draw(study.baseline, extremes, bands, scale),
        header=("arm", "epoch", "runs", "mean", "lowest", "highest"),
        rows=[
            (name, *row)
            for name, band in bands.items()
            for row in zip(
                *(getattr(band, key).tolist() for key in ("epochs", "runs", "mean", "low", "high")),
                strict=True,
            )
        ],
    )


def _extremes(shown: list[StudyArm]) -> list[StudyArm]:
    """Keep the panels that fit: those with the largest differences either way."""
    if len(shown) <= MOST_PANELS:
        return shown
    half = MOST_PANELS // 2
    return shown[:half] + shown[-half:]


def _band(arm: StudyArm, key: str) -> _Band | None:
    values: dict[float, list[float]] = {}
    for run in arm.finished:
        for entry in run.run.read_history():
            value = _number(getattr(entry, key))
            if value is not None:
                values.setdefault(float(entry.epoch), []).append(value)
    if not values:
        return None
    epochs = sorted(values)
    columns = [values[epoch] for epoch in epochs]
    return _Band(
        np.array(epochs),
        np.array([np.mean(column) for column in columns]),
        np.array([min(column) for column in columns]),
        np.array([max(column) for column in columns]),
        np.array([len(column) for column in columns]),
    )


def _number(value: Any) -> float | None:
    """Return a value of a history as a number, None where it is none that can be drawn."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if usable else None  # NaN compares false above


def _draw(baseline: StudyArm, shown: Sequence[StudyArm], bands: dict[str, _Band], scale: Scale) -> Any:
    panels = max(len(shown), 1)
    columns = min(panels, 3 if panels <= 6 else 4)
    rows = -(-panels // columns)
    figure = new_figure(9.6, 0.7 + (2.5 if columns < 4 else 2.0) * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    labels = labels_of(shown, 36 if columns == 1 else 24)
    for axes, arm in zip(grid.flat, shown, strict=False):
        if baseline.name in bands:
            _draw_band(axes, bands[baseline.name], MUTED, 0.22)
        _draw_band(axes, bands[arm.name], BLUE, 0.25)
        look = style_of(arm)
        axes.set_title(f"{look.sign} {labels[arm.name]}", fontsize=9.5, color=look.colour)
    if not shown:
        _draw_band(grid[0, 0], bands[baseline.name], MUTED, 0.22)
        grid[0, 0].set_title("baseline", fontsize=9.5)
    _finish(figure, grid, panels, bands, scale)
    return figure


def _draw_band(axes: Any, band: _Band, colour: str, alpha: float) -> None:
    axes.fill_between(band.epochs, band.low, band.high, color=colour, alpha=alpha, linewidth=0)
    alone = len(band.epochs) < 3
    axes.plot(
        band.epochs, band.mean, color=colour, linewidth=1.6, marker="o" if alone else None, markersize=4
    )


def _finish(figure: Any, grid: Any, panels: int, bands: dict[str, _Band], scale: Scale) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = _focus(list(bands.values()), scale.lower_is_better)
    axes = grid[0, 0]
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=6))
    if scale.in_percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    for place, one in enumerate(grid.flat):
        if place >= panels:
            one.set_axis_off()
        elif place >= panels - grid.shape[1]:
            # Below the last panel of a column that ends early, the axis is the panel's own.
            one.tick_params(labelbottom=True)
    figure.supxlabel("epoch", fontsize=10, color=MUTED)
    figure.supylabel(f"validation {scale.label}", fontsize=10, color=MUTED)
    for one in grid.flat:
        one.spines[["left", "bottom"]].set_color(FAINT)


def _focus(bands: Sequence[_Band], lower_is_better: bool) -> tuple[float, float]:
    """Return the range in which curves end: from a quarter of the way on."""
    late = [
        band.epochs > band.epochs.max() / 4 if len(band.epochs) > 3 else band.epochs > 0 for band in bands
    ]
    # An arm that learned nothing must not flatten the others: of the far ends, the middle arm's counts, and some more.
    lows = np.array([band.low[keep].min() for band, keep in zip(bands, late, strict=True)])
    highs = np.array([band.high[keep].max() for band, keep in zip(bands, late, strict=True)])
    if lower_is_better:
        low, high = lows.min(), min(highs.max(), lows.min() + 2.5 * (np.median(highs) - lows.min()))
    else:
        low, high = max(lows.min(), highs.max() - 2.5 * (highs.max() - np.median(lows))), highs.max()
    padding = 0.05 * (high - low) or 0.01
    return float(low - padding), float(high + padding)
