"""What a reader must know before believing a run's numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.few_images import few_images, few_images_sentence
from convtrials.evaluation.guessing import Answers, Standing, against_guessing

#: One entry per epoch, with what a `HistoryEntry` says of it: ``val_accuracy``, ``val_loss``, ``learning_rate``, ...
History = Sequence[Any]

#: A smaller rise of the validation accuracy does not matter: the margin that a study has by default.
MARGIN = 0.005


@dataclass(frozen=True)
class RunWarning:
    """One thing that a reader must know.

    Attributes
    ----------
    kind : str
        ``one_class``, ``at_chance``, ``accuracy_misleads`` or ``test_set_too_small``, as of a `Standing`;
        ``still_learning``, ``one_epoch`` or ``few_test_images``.
    text : str
        A sentence or two.
    numbers : dict
        What the text rests on; JSON-ready.
    """

    kind: str
    text: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Rise:
    """What the last epoch added to a validation metric.

    Attributes
    ----------
    before : float
        The best value of the epochs before, as a mean over runs.
    last : float
        The last epoch's.
    gain : float
        How much better the last one is; below zero where an earlier epoch was better.
    rate_fell : bool
        Whether the learning rate ended below half of its highest.
    """

    before: float
    last: float
    gain: float
    rate_fell: bool


def run_warnings(
    labels: NDArray[Any],
    predicted: NDArray[Any],
    class_names: Sequence[str],
    history: History,
    *,
    macro_auc: float | None = None,
    val_images: int | None = None,
    margin: float = MARGIN,
) -> list[RunWarning]:
    """Return what a reader must know of a run, the most serious first; nothing where all is well.

    Parameters
    ----------
    labels, predicted : ndarray of int, shape (N,)
        True and answered class of each test image, N at least 1.
    macro_auc : float or None
        Of the same predictions, where it is known.
    val_images : int or None
        Images of the validation split: the rise must exceed the standard error of an accuracy on so many.
    margin : float
        A smaller rise of the validation accuracy in the last epoch does not matter, from 0 to 1.
    """
    answers = Answers.of(labels, predicted, len(class_names))
    standing = against_guessing(answers, macro_auc)
    warnings = [RunWarning(standing.kind, _standing_text(standing, class_names, macro_auc),
                       standing_numbers(standing, class_names, macro_auc))] if standing.kind else []  # fmt: skip
    if standing.kind not in ("one_class", "at_chance"):
        warnings += _learning(history, margin, val_images)
    return warnings + few_images_warnings(answers.support, class_names)


def few_images_warnings(support: NDArray[np.int64], class_names: Sequence[str]) -> list[RunWarning]:
    """Return a warning that names the classes with too few test images, if there are any."""
    few = few_images(dict(zip(class_names, support.tolist(), strict=True)))
    return [RunWarning("few_test_images", few_images_sentence(few), {"test_images": few})] if few else []


def last_rise(histories: Sequence[History], metric: str = "val_accuracy") -> Rise | None:
    """Return what the last epoch added to a validation metric, over the runs of an arm.

    The last epoch is compared with the best before it, not with the one before: on a plateau an epoch that makes good
    a bad one has learned nothing new. Runs are averaged epoch by epoch, aligned at their ends, since early stopping
    ends them at different epochs.

    Parameters
    ----------
    histories : sequence of histories
        One for each run.
    metric : {"val_accuracy", "val_loss", "val_macro_f1"}

    Returns
    -------
    Rise or None
        None where no two epochs of all runs have a finite value.
    """
    values = [[getattr(entry, metric) for entry in history] for history in histories]
    epochs = min((len(own) for own in values), default=0)
    ends = [own[len(own) - epochs :] for own in values]
    if epochs < 2 or not all(_finite(value) for own in ends for value in own):
        return None
    mean = np.mean(np.array(ends, float), axis=0)
    sign = -1.0 if metric == "val_loss" else 1.0
    before = float(sign * (sign * mean[:-1]).max())
    return Rise(before, float(mean[-1]), sign * (float(mean[-1]) - before), _rate_fell(histories))


def noise_of_accuracy(accuracy: float, images: int | None) -> float:
    """Return the standard error of an accuracy on so many images; 0 where their number is not known."""
    return math.sqrt(accuracy * (1 - accuracy) / images) if images and 0 <= accuracy <= 1 else 0.0


def _learning(history: History, margin: float, val_images: int | None) -> list[RunWarning]:
    if len(history) == 1:
        text = "It was trained for one epoch only: it was most likely still learning."
        return [RunWarning("one_epoch", text)]
    rise = last_rise([history])
    if rise is None:
        return []
    if rise.gain <= max(margin, noise_of_accuracy(rise.before, val_images)):
        return []
    text = f"It was still learning: {rise_text(rise)}. More epochs would probably make it better."
    return [RunWarning("still_learning", text, {**asdict(rise), "margin": margin})]


def rise_text(rise: Rise, metric: str = "val_accuracy") -> str:
    """Say what the last epoch added to a validation metric, one that `last_rise` takes."""
    fell = ", in part perhaps because its learning rate fell" if rise.rate_fell else ""
    if metric == "val_loss":
        return f"its last epoch lowered the validation loss by {rise.gain:.4g} nats{fell}"
    name = "macro F1" if metric == "val_macro_f1" else "accuracy"
    return f"its last epoch raised the validation {name} by {100 * rise.gain:.1f} points{fell}"


def standing_numbers(
    standing: Standing, class_names: Sequence[str], macro_auc: float | None
) -> dict[str, Any]:
    """Return the numbers behind a standing, for JSON."""
    return {
        "images": standing.images,
        "accuracy": standing.accuracy,
        "guessing": standing.guessing,
        "guessed_class": class_names[standing.guessed],
        "p_value": standing.p_value,
        "kappa": standing.kappa,
        "answer": class_names[standing.answer],
        "answer_share": standing.answers_alike / standing.images,
        "macro_auc": macro_auc,
    }


def share_text(share: float) -> str:
    """Return a share in percent: ``2.78%``, ``59.1%``."""
    return f"{100 * share:.{2 if share < 0.1 else 1}f}%"


def _standing_text(standing: Standing, names: Sequence[str], macro_auc: float | None) -> str:
    if standing.kind == "test_set_too_small":
        return _too_small_text(standing, names)
    right, guessing = share_text(standing.accuracy), share_text(standing.guessing)
    largest = f"'{names[standing.guessed]}'"
    shown = "hardly above" if standing.p_value <= 0.01 else "not shown to be above"
    if standing.kind == "accuracy_misleads":
        return (
            f"Its accuracy, {right}, is {shown} the {guessing} of always answering {largest}. Its answers are still "
            f"better than chance (Cohen's kappa {standing.kappa:.2f}): read macro F1 and AUC instead. "
            "Techniques for classes of different size are class_weights and sampler."
        )
    auc = f"macro AUC {macro_auc:.2f}" if macro_auc is not None else ""
    if standing.kind == "one_class":
        every = "every test image"
        if standing.answers_alike < standing.images:
            every = f"{share_text(standing.answers_alike / standing.images)} of the test images"
        text = f"It answers '{names[standing.answer]}' for {every}, which gives {right} right"
        if standing.ranks:
            return (
                f"{text}. Its probabilities do separate the classes ({auc}): read AUC, not accuracy and F1."
            )
        return f"{text}: it has not learned to distinguish the classes."
    better = "hardly better" if standing.p_value <= 0.01 else "no better"
    why = "most likely its learning rate does not suit it, or it was trained for too few steps."
    learned = (
        f"It has begun to learn ({auc}) but did not get further" if standing.ranks else "It has not learned"
    )
    compared = f"{right} right, where always answering one class gives {guessing}"
    return f"It is {better} than guessing: {compared}. {learned}: {why}"


def _too_small_text(standing: Standing, names: Sequence[str]) -> str:
    alike = ""
    if standing.answers_alike == standing.images:
        alike = f" It answers '{names[standing.answer]}' for every one."
    return (
        f"{standing.images:,} test images are too few to say whether it is better than guessing: {standing.right:,} "
        f"right, where always answering '{names[standing.guessed]}' gives {standing.guessed_right:,}.{alike}"
    )


def _rate_fell(histories: Sequence[History]) -> bool:
    """Return whether any run ended at less than half of its highest learning rate."""
    for history in histories:
        rates = [float(entry.learning_rate) for entry in history if _finite(entry.learning_rate)]
        if rates and rates[-1] < 0.5 * max(rates):
            return True
    return False


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
