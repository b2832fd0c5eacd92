"""Numbers in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convtrials.core.formatting import joined, percent
from convtrials.evaluation.guessing import NOT_LEARNED


@dataclass(frozen=True)
class Headline:
    """One headline number.

    Attributes
    ----------
    key : str
        Its name in ``metrics.json``.
    label : str
        Its name for people.
    value : str
        Formatted.
    interval : str
        "low to high", or empty where there is none.
    meaning : str
        What it says, in a line.
    """

    key: str
    label: str
    value: str
    interval: str
    meaning: str


def headlines(metrics: dict[str, Any]) -> list[Headline]:
    """Return the headline numbers of `evaluate_predictions`, most important first."""
    found = [
        _percent(
            metrics,
            "accuracy",
            "Accuracy",
            metrics["accuracy"],
            "of the test images are classified correctly",
        ),
        _percent(
            metrics,
            "macro_precision",
            "Macro precision",
            metrics["precision"]["macro"],
            "of the answers with a class's name are right, averaged over classes",
        ),
        _percent(
            metrics,
            "macro_recall",
            "Macro recall",
            metrics["recall"]["macro"],
            "of a class's images are found, averaged over classes",
        ),
        _percent(
            metrics,
            "macro_f1",
            "Macro F1",
            metrics["f1"]["macro"],
            "F1 averaged over classes, each with equal weight",
        ),
    ]
    tops = list(metrics["top_k"].items())
    if tops:
        k, value = tops[0]
        others = "".join(f"; {percent(more)} among the first {wider}" for wider, more in tops[1:])
        meaning = f"have the right class among the first {k} answers{others}"
        found.append(_percent(metrics, f"top_{k}", f"Top-{k} accuracy", value, meaning))
    auc = metrics["roc_auc"]["macro"]
    if auc is not None:
        meaning = "chance that an image of a class outranks another one"
        found.append(_decimal(metrics, "macro_auc", "Macro ROC AUC", auc, 4, meaning))
    found.append(
        _decimal(metrics, "log_loss", "Log loss", metrics["log_loss"], 3, "nats per image; lower is better")
    )
    error = metrics["expected_calibration_error"]
    interval = _between(metrics, "expected_calibration_error", lambda x: f"{100 * x:.1f}")
    meaning = "percentage points between stated confidence and accuracy"
    found.append(
        Headline("expected_calibration_error", "Calibration error", f"{100 * error:.1f}", interval, meaning)
    )
    return found


def summary(metrics: dict[str, Any], pairs: list[tuple[str, str, int, int]]) -> list[str]:
    """Say what the run is worth, a few sentences.

    Parameters
    ----------
    metrics : dict
        From `evaluate_predictions`, with the run's ``warnings``.
    pairs : list of (true name, predicted name, images, images of the true class)
        Most confused first.
    """
    if not learned(metrics):
        return [_no_better(metrics)]
    per_hundred = f"{100 * metrics['accuracy']:.1f}"
    interval = _between(metrics, "accuracy", lambda x: f"{100 * x:.1f}")
    likely = f" With other test images of the same kind it would likely be {interval}." if interval else ""
    sentences = [
        f"It classifies {per_hundred} of 100 test images correctly, measured on {metrics['images']:,} images that "
        f"training never saw.{likely}"
    ]
    present = [row for row in metrics["per_class"] if row["support"]]
    hardest = sorted(present, key=lambda row: row["f1"])[:3]
    names = joined([f"{row['name']} ({100 * row['f1']:.0f}%)" for row in hardest])
    sentences.append(f"The hardest classes, by F1, are {names}.")
    if pairs:
        true, predicted, count, support = pairs[0]
        sentences.append(
            f"The most common mistake: {true} classified as {predicted}, {count:,} of {support:,} images."
        )
    else:
        sentences.append("It made no mistake.")
    return sentences


def learned(metrics: dict[str, Any]) -> bool:
    """Return whether the run's answers are better than guesses, as far as its warnings say."""
    return not any(one["kind"] in NOT_LEARNED for one in metrics["warnings"])


def _no_better(metrics: dict[str, Any]) -> str:
    """Say what the run is worth where it is worth nothing: the hardest classes and mistakes would say less."""
    largest = max(metrics["per_class"], key=lambda row: row["support"])
    return (
        f"Of {metrics['images']:,} test images that training never saw it classifies {percent(metrics['accuracy'])} "
        f"correctly. Always answering '{largest['name']}', without looking at any image, gives "
        f"{percent(largest['support'] / metrics['images'])}."
    )


def _percent(metrics: dict[str, Any], key: str, label: str, value: float, meaning: str) -> Headline:
    return Headline(key, label, percent(value), _between(metrics, key, lambda x: f"{100 * x:.1f}"), meaning)


def _decimal(
    metrics: dict[str, Any], key: str, label: str, value: float, decimals: int, meaning: str
) -> Headline:
    interval = _between(metrics, key, lambda x: f"{x:.{decimals}f}")
    return Headline(key, label, f"{value:.{decimals}f}", interval, meaning)


def _between(metrics: dict[str, Any], key: str, say: Any) -> str:
    interval = metrics["intervals"].get(key)
    return "" if interval is None else f"{say(interval['low'])} to {say(interval['high'])}"
