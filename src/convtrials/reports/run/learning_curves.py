"""Loss and accuracy by epoch, with the learning rate below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convtrials.reports.picture import Picture
from convtrials.reports.style import BLUE, INK, MUTED, ORANGE, new_figure
from convtrials.training.run_documents import HistoryEntry

_COLUMNS = (
    "epoch",
    "step",
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "val_macro_f1",
    "learning_rate",
    "images_per_second",
    "seconds",
)


def learning_curves(history: Sequence[HistoryEntry], best_epoch: int | None) -> Picture:
    """Return the picture of a run's history.

    Parameters
    ----------
    history : sequence of HistoryEntry
        One per epoch.
    best_epoch : int or None
        The epoch whose weights were kept, marked where known.
    """
    return Picture(
        name="learning-curves",
        title="Learning curves",
        caption="Loss and accuracy by epoch. Training values are means over the epoch as it ran, with dropout and "
        "augmentation on, so they may be worse than validation. Where they keep improving and validation does "
        "not, the network overfits. Test images are not used here.",
        alt="Line charts of training and validation loss and accuracy by epoch, with the learning rate below.",
        draw=lambda: _draw(history, best_epoch),
        header=_COLUMNS,
        rows=[[getattr(entry, column) for column in _COLUMNS] for entry in history],
    )


def _draw(history: Sequence[HistoryEntry], best_epoch: int | None) -> Any:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = new_figure(9, 4.6)
    grid = figure.add_gridspec(2, 2, height_ratios=[4, 1])
    loss = figure.add_subplot(grid[0, 0])
    accuracy = figure.add_subplot(grid[0, 1], sharex=loss)
    rate = figure.add_subplot(grid[1, :])
    _lines(loss, history, "train_loss", "val_loss")
    _lines(accuracy, history, "train_accuracy", "val_accuracy")
    loss.set(title="Loss", ylabel="nats")
    accuracy.set(title="Accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    rate.plot(*_series(history, "learning_rate"), color=MUTED, linewidth=1.4, marker=".", markersize=5)
    rate.set(xlabel="epoch", ylabel="learning rate")
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=False)
    for axes in (loss, accuracy, rate):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.margins(x=0.04)
    if best_epoch is not None and len(history) > 1:
        _mark_best(loss, accuracy, history, best_epoch)
    loss.legend(loc="best")
    return figure


def _lines(axes: Any, history: Sequence[HistoryEntry], train: str, val: str) -> None:
    axes.plot(*_series(history, train), color=BLUE, marker="o", markersize=3.5, label="training")
    axes.plot(*_series(history, val), color=ORANGE, marker="s", markersize=3.5, label="validation")


def _series(history: Sequence[HistoryEntry], key: str) -> tuple[list[float], list[float]]:
    points = [(float(entry.epoch), getattr(entry, key)) for entry in history]
    known = [(epoch, value) for epoch, value in points if value is not None]
    return [epoch for epoch, _ in known], [value for _, value in known]


def _mark_best(loss: Any, accuracy: Any, history: Sequence[HistoryEntry], best_epoch: int) -> None:
    for axes, key in ((loss, "val_loss"), (accuracy, "val_accuracy")):
        axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=0)
        at = [(x, y) for x, y in zip(*_series(history, key), strict=True) if x == best_epoch]
        if at:
            axes.plot(
                *at[0], marker="o", markersize=9, markerfacecolor="none", color=INK, markeredgewidth=1.2
            )
    accuracy.annotate(
        f"weights of epoch {best_epoch} kept",
        (best_epoch, 0.0),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if best_epoch > len(history) / 2 else 5, 5),
        textcoords="offset points",
        ha="right" if best_epoch > len(history) / 2 else "left",
        color=MUTED,
        fontsize=9,
    )
