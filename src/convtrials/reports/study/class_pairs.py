"""Which confusions a technique removes, and which it adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.formatting import signed
from convtrials.reports.picture import Picture
from convtrials.reports.study.predictions import ArmPredictions
from convtrials.reports.study.verdict_style import labels_of
from convtrials.reports.style import BLUE, INK, MUTED, ORANGE, new_figure, short_name

#: Pairs drawn of each technique.
PAIRS = 12


@dataclass(frozen=True)
class PairChange:
    """How the confusion of two classes differs between a technique and the baseline.

    Attributes
    ----------
    true, answer : int
        Class indices, never equal.
    baseline, technique : float
        Mean number of test images of class `true` that a run answers with `answer`.
    error : float
        Standard error of the difference over runs; 0 where a single run each leaves it unknown.
    clear : bool
        Whether chance in training hardly makes such a change in any pair: it is beyond a 95% interval that counts all
        pairs of classes (Bonferroni).
    """

    true: int
    answer: int
    baseline: float
    technique: float
    error: float
    clear: bool

    @property
    def change(self) -> float:
        """Technique minus baseline: negative where mistakes went away."""
        return self.technique - self.baseline


def pair_changes(baseline: ArmPredictions, technique: ArmPredictions) -> list[PairChange]:
    """Return every pair of classes whose mean confusion differs, the largest change first."""
    from scipy.stats import norm

    change = technique.confusion - baseline.confusion
    np.fill_diagonal(change, 0)
    error = _errors(baseline, technique)
    mistakes = (baseline.confusion + technique.confusion > 0) & ~np.eye(len(change), dtype=bool)
    reach = norm.isf(0.025 / max(int(mistakes.sum()), 1))
    order = np.argsort(-np.abs(change), axis=None, kind="stable")
    pairs = []
    for flat in order[: np.count_nonzero(change)]:
        true, answer = divmod(int(flat), len(change))
        spread = float(error[true, answer])
        before, after = (float(one.confusion[true, answer]) for one in (baseline, technique))
        pairs.append(
            PairChange(true, answer, before, after, spread, 0 < reach * spread < abs(after - before))
        )
    return pairs


def _errors(baseline: ArmPredictions, technique: ArmPredictions) -> NDArray[np.float64]:
    """Return the standard error over runs of each pair's change, (K, K); zeros where an arm has a single run.

    A few runs say little about the variance of one pair, so it is at least that of a count (Poisson): its mean.
    """
    arms = (baseline, technique)
    if min(one.runs for one in arms) < 2:
        return np.zeros_like(baseline.confusion)
    parts = [np.maximum(one.confusion_variance, one.confusion) / one.runs for one in arms]
    errors: NDArray[np.float64] = np.sqrt(parts[0] + parts[1])
    return errors


def pairs_picture(
    baseline: ArmPredictions, compared: Sequence[ArmPredictions], class_names: Sequence[str]
) -> Picture | None:
    """Return the picture of changed confusions of one or two techniques, or None where nothing changed."""
    changes = [(one, pair_changes(baseline, one)) for one in compared]
    changes = [(one, pairs) for one, pairs in changes if pairs]
    if not changes:
        return None
    which = (
        "the technique"
        if len(changes) == 1
        else "the techniques with the largest and the smallest difference"
    )
    return Picture(
        name="class-pairs",
        title="Which mistakes become fewer, and which more",
        caption=f"Pairs of classes (truth → answer) whose confusion changes most under {which}: mean number of test "
        "images per run, against the baseline. Blue: fewer mistakes; orange: more. The whisker is twice the standard "
        "error over runs. Among so many pairs some change by chance: a pale bar may be one of them, "
        "a full one is unlikely to be. No verdict is given on pairs.",
        alt="Bar charts of the class pairs whose confusion changes most: " + _changes_text(changes, class_names) + ".",
        draw=lambda: _draw(changes, class_names),
        header=("technique", "true", "answer", "baseline_images", "technique_images", "change", "standard_error"),
        rows=[
            (one.arm.name, class_names[pair.true], class_names[pair.answer], pair.baseline, pair.technique,
             pair.change, pair.error)
            for one, pairs in changes
            for pair in pairs
        ],
    )  # fmt: skip


def _changes_text(changes: Sequence[tuple[ArmPredictions, list[PairChange]]], names: Sequence[str]) -> str:
    return "; ".join(
        f"{one.arm.name}, {names[pair.true]} classified as {names[pair.answer]} {signed(pair.change, 1, 1)}"
        for one, pairs in changes
        for pair in pairs[:3]
    )


def _draw(changes: Sequence[tuple[ArmPredictions, list[PairChange]]], names: Sequence[str]) -> Any:
    most = max(min(len(pairs), PAIRS) for _, pairs in changes)
    figure = new_figure(9.6, 1.4 + 0.29 * max(most, 3))
    labels = labels_of([one.arm for one, _ in changes], 34)
    for axes, (one, pairs) in zip(figure.subplots(1, len(changes), squeeze=False)[0], changes, strict=True):
        _draw_panel(axes, sorted(pairs[:PAIRS], key=lambda pair: pair.change), names, most)
        axes.set_title(labels[one.arm.name])
    figure.supxlabel("test images per run, technique − baseline", fontsize=10, color=MUTED)
    return figure


def _draw_panel(axes: Any, pairs: Sequence[PairChange], names: Sequence[str], most: int) -> None:
    for place, pair in enumerate(pairs):
        colour = BLUE if pair.change < 0 else ORANGE
        axes.barh(place, pair.change, height=0.68, color=colour, alpha=0.9 if pair.clear else 0.35)
        axes.hlines(place, pair.change - 2 * pair.error, pair.change + 2 * pair.error, color=INK, linewidth=1)
    axes.axvline(0, color=INK, linewidth=1)
    # Bars set the scale; a whisker that leaves the panel says enough.
    far = [0.0, *(pair.change for pair in pairs)]
    padding = 0.35 * (max(far) - min(far))
    axes.set_xlim(min(far) - padding, max(far) + padding)
    named = [f"{short_name(names[pair.true], 12)} → {short_name(names[pair.answer], 12)}" for pair in pairs]
    axes.set_yticks(range(len(pairs)), named)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(most - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
