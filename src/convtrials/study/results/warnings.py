"""What a reader must know before believing the verdicts of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from convtrials.core.few_images import listed
from convtrials.evaluation.guessing import NOT_LEARNED, Standing
from convtrials.evaluation.run_warnings import (
    History,
    few_images_warnings,
    last_rise,
    noise_of_accuracy,
    rise_text,
    share_text,
)
from convtrials.statistics.design import BASELINE
from convtrials.study.results.metrics import verdict_metric
from convtrials.study.schemas import StudyWarning


@dataclass(frozen=True)
class ArmRuns:
    """The runs of an arm that finished well, as far as warnings need them.

    Attributes
    ----------
    standings : sequence of Standing
        How each run stands against guessing.
    macro_aucs : sequence of (float or None)
        Of each run.
    histories : sequence of histories
        Of each run.
    """

    name: str
    standings: Sequence[Standing]
    macro_aucs: Sequence[float | None]
    histories: Sequence[History]

    @property
    def not_learned(self) -> list[int]:
        """Positions of the runs that learned nothing."""
        return [place for place, one in enumerate(self.standings) if one.kind in NOT_LEARNED]


def study_warnings(
    baseline: ArmRuns,
    techniques: Sequence[ArmRuns],
    *,
    support: NDArray[np.int64] | None,
    class_names: Sequence[str],
    metric: str,
    margin: float,
    val_images: int | None = None,
) -> list[StudyWarning]:
    """Return what a reader must know of a study, the most serious first; nothing where all is well.

    Parameters
    ----------
    support : ndarray of int64, shape (K,), or None
        Test images of each class, as soon as a run has finished.
    metric : str
        The study's.
    margin : float
        In the metric's unit.
    val_images : int, optional
        Validation images: on few of them an accuracy rises by chance.
    """
    # Names of folders need not be UTF-8, and verdicts.json is read where only UTF-8 is; escapes keep names distinct.
    names = [name.encode("utf-8", "backslashreplace").decode() for name in class_names]
    warnings = [_baseline_did_not_learn(baseline)] if baseline.not_learned else []
    warnings += _still_learning(baseline, metric, margin, val_images)
    warnings += [_technique_did_not_learn(arm) for arm in techniques if arm.not_learned]
    warnings += _of_many([baseline, *techniques], names)
    if support is not None:
        warnings += [StudyWarning(kind=one.kind, text=one.text, numbers=one.numbers)
                 for one in few_images_warnings(support, names)]  # fmt: skip
    return warnings


def _technique_did_not_learn(arm: ArmRuns) -> StudyWarning:
    not_learned, runs = len(arm.not_learned), len(arm.standings)
    if _ranks(arm):
        means = f"{_ranking_text(arm)}: it has begun to learn. More epochs or another learning rate may be needed."
    elif not_learned == runs:
        means = (
            "Its verdict says that it did not learn here, most likely because of its learning rate or of too few "
            "steps, not that the technique is bad."
        )
    else:
        means = (
            "Its verdict mixes them with runs that learned; most likely its learning rate is too high, or its steps "
            "are too few."
        )
    return _did_not_learn_warning(arm, f"{arm.name}: {_mark(arm)} ({_accuracy_text(arm)}). {means}")


def _baseline_did_not_learn(arm: ArmRuns) -> StudyWarning:
    if _ranks(arm):
        means = f"{_ranking_text(arm)}, but verdicts on accuracy say nothing here: read AUC and log loss."
    elif len(arm.not_learned) == len(arm.standings):
        means = (
            "The verdicts compare with a network that did not learn, so they say nothing about the techniques: find a "
            "learning rate and a number of epochs with which the baseline learns, and run the study again."
        )
    else:
        means = (
            "The verdicts compare with a mixture of runs that learned and runs that did not: find a learning rate and "
            "a number of epochs with which the baseline always learns, and run the study again."
        )
    return _did_not_learn_warning(arm, f"Of the baseline, {_mark(arm)} ({_accuracy_text(arm)}). {means}")


def _did_not_learn_warning(arm: ArmRuns, text: str) -> StudyWarning:
    not_learned = [arm.standings[place] for place in arm.not_learned]
    kind = "one_class" if all(one.kind == "one_class" for one in not_learned) else "at_chance"
    numbers = {
        "runs": len(not_learned),
        "of": len(arm.standings),
        "accuracy": float(np.mean([one.accuracy for one in not_learned])),
        "guessing": not_learned[0].guessing,
        "p_values": [one.p_value for one in not_learned],
        "macro_auc": _macro_auc(arm),
    }
    return StudyWarning(kind=kind, arm=arm.name, text=text, mark=_mark(arm), numbers=numbers)


def _mark(arm: ArmRuns) -> str:
    """Say how many runs of an arm learned nothing: ``2 of 2 runs are no better than guessing``."""
    not_learned = [arm.standings[place] for place in arm.not_learned]
    one = len(not_learned) == 1
    counted = f"{len(not_learned)} of {len(arm.standings)} run{'' if len(arm.standings) == 1 else 's'}"
    if all(standing.kind == "one_class" for standing in not_learned):
        return f"{counted} answer{'s' if one else ''} one class only"
    return f"{counted} {'is' if one else 'are'} no better than guessing"


def _accuracy_text(arm: ArmRuns) -> str:
    not_learned = [arm.standings[place] for place in arm.not_learned]
    right = share_text(float(np.mean([one.accuracy for one in not_learned])))
    return f"{right} right; guessing gives {share_text(not_learned[0].guessing)}"


def _ranks(arm: ArmRuns) -> bool:
    """Return whether all runs that learned nothing by their answers have probabilities that hold something."""
    return all(arm.standings[place].ranks for place in arm.not_learned)


def _ranking_text(arm: ArmRuns) -> str:
    auc = _macro_auc(arm)
    assert auc is not None  # or nothing would be known of a ranking
    return f"Its probabilities do separate the classes (macro AUC {auc:.2f})"


def _macro_auc(arm: ArmRuns) -> float | None:
    known = [auc for place in arm.not_learned if (auc := arm.macro_aucs[place]) is not None]
    return float(np.mean(known)) if known else None


def _still_learning(
    baseline: ArmRuns, metric: str, margin: float, val_images: int | None
) -> list[StudyWarning]:
    """Look at the runs of the baseline that learned at all."""
    not_learned = baseline.not_learned
    histories = [history for place, history in enumerate(baseline.histories) if place not in not_learned]
    if not histories:
        return []
    if all(len(history) == 1 for history in histories):
        text = (
            "The baseline was trained for one epoch only: it was most likely still learning. With more epochs "
            "the verdicts may change."
        )
        return [StudyWarning(kind="one_epoch", arm=BASELINE, text=text)]
    judged = verdict_metric(metric)
    key = judged.history_key
    rise = last_rise(histories, key)
    noise = noise_of_accuracy(rise.before, val_images) if rise is not None and key == "val_accuracy" else 0.0
    if rise is None or rise.gain <= max(margin, noise):
        return []
    text = (
        f"The baseline was still learning: {rise_text(rise, key)}, more than the margin of "
        f"{judged.history_scale.factor * margin:g}. With more epochs the verdicts may change."
    )
    return [
        StudyWarning(
            kind="still_learning", arm=BASELINE, text=text, numbers={**asdict(rise), "margin": margin}
        )
    ]


def _of_many(arms: Sequence[ArmRuns], class_names: Sequence[str]) -> list[StudyWarning]:
    """Warn once of what the data does to several arms."""
    warnings = []
    for kind in ("accuracy_misleads", "test_set_too_small"):
        found = {arm.name: [one for one in arm.standings if one.kind == kind] for arm in arms}
        counts = {name: len(standings) for name, standings in found.items() if standings}
        if not counts:
            continue
        one = next(standings[0] for standings in found.values() if standings)
        names = listed(list(counts))
        if kind == "accuracy_misleads":
            text = (
                f"Accuracy is not above that of always answering '{class_names[one.guessed]}' "
                f"({share_text(one.guessing)}) in runs of these arms, though they do separate classes: {names}. Read "
                "macro F1 and AUC instead."
            )
        else:
            text = (
                f"{one.images:,} test images are too few to say whether runs of these arms are better than guessing: "
                f"{names}."
            )
        warnings.append(
            StudyWarning(kind=kind, text=text, numbers={"runs": counts, "guessing": one.guessing})
        )
    return warnings
