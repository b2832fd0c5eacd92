"""How much of the error is the characters' own: the blocks of docs/results.md on like classes and agreement."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from results_files import Published
from scipy.stats import beta

from convtrials.evaluation.ambiguity import (
    CHARACTER_GROUPS,
    agreement,
    forgive_groups,
    group_errors,
    group_of_classes,
    majority,
)
from convtrials.evaluation.metrics import confusion_matrix
from convtrials.evaluation.mistakes import most_confused_pairs

#: Arms this far below the best one say little about what can be reached.
FAR = 0.01


def vote_accuracy(answers: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the accuracy of the class that most runs name."""
    return float((majority(answers, int(labels.max()) + 1) == labels).mean())


def _good_runs(study: Published) -> NDArray[np.int64]:
    """Return the answers of all runs of the arms within `FAR` of the best one."""
    means = {name: (study.answers_of(name) == study.labels).mean() for name in set(study.arms.tolist())}
    good = [name for name, mean in means.items() if mean >= max(means.values()) - FAR]
    return study.answers[np.isin(study.arms, good)]


def _percent(value: float) -> str:
    return f"{100 * value:.2f}%"


def ceiling(study: Published) -> str:
    """Signs of how high accuracy can get, from all good runs of the study together."""
    answers, labels = _good_runs(study), study.labels
    merged = group_of_classes(study.class_names, CHARACTER_GROUPS)
    found, forgiven = agreement(answers, labels, merged), forgive_groups(answers, labels, merged)
    wrong = round(found.same_wrong * len(labels))
    low, high = beta.interval(0.95, wrong + 0.5, len(labels) - wrong + 0.5)  # Jeffreys
    vote = majority(answers, len(merged))
    vote_inside = float((merged[vote] == merged[labels]).mean())
    shares = asdict(found)
    same_wrong = f"{_percent(found.same_wrong)} ({_percent(low)} to {_percent(high)})"
    rows = [
        ("one network, mean", _percent(shares["mean_accuracy"])),
        (f"vote of all {found.runs} networks", _percent(found.vote_accuracy)),
        ("every network right", _percent(found.all_right)),
        ("some right, some wrong: decided by recipe and chance", _percent(found.some_right)),
        ("no network right", _percent(found.none_right)),
        ("every network gives the same wrong answer", same_wrong),
        ("... of which inside 0/O, 1/I/L, 5/S, 2/Z", _percent(found.same_wrong_inside)),
        ("one network, confusions inside 0/O, 1/I/L, 5/S, 2/Z forgiven", _percent(forgiven.merged_accuracy)),
        ("share of all errors that lie inside these groups", f"{forgiven.errors_inside:.0%}"),
        ("vote, confusions inside these groups forgiven", _percent(vote_inside)),
    ]  # fmt: skip
    return "| | test images |\n| --- | ---: |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def groups(study: Published) -> str:
    """Errors inside each group of like classes, of a run of the baseline and of the best arm."""
    merged = group_of_classes(study.class_names, CHARACTER_GROUPS)
    best = max(study.verdicts["techniques"], key=lambda one: one["mean"] or 0)["name"]
    names = ["baseline", best]
    per_arm = [group_errors(study.answers_of(name), study.labels, merged) for name in names]
    errors = [float((study.answers_of(name) != study.labels).sum(axis=1).mean()) for name in names]
    lines = [f"| | baseline, errors a run | {best}, errors a run |", "| --- | ---: | ---: |"]
    for group in CHARACTER_GROUPS:
        number = int(merged[study.class_names.index(group[0])])
        lines.append(f"| {'/'.join(group)} | " + " | ".join(f"{one[number]:.1f}" for one in per_arm) + " |")
    rest = [total - sum(one.values()) for total, one in zip(errors, per_arm, strict=True)]
    lines.append("| all others | " + " | ".join(f"{one:.1f}" for one in rest) + " |")
    lines.append("| *all* | " + " | ".join(f"{one:.1f}" for one in errors) + " |")
    return "\n".join(lines)


def pairs(study: Published) -> str:
    """The most frequent confusions of all good runs, as means over runs."""
    answers = _good_runs(study)
    names = study.class_names
    counts = sum(confusion_matrix(study.labels, one, len(names)) for one in answers)
    told = [
        f"{names[pair.true]} → {names[pair.predicted]} {pair.count / len(answers):.1f}"
        for pair in most_confused_pairs(counts, 12)
    ]
    return "Truth → answer, images a run: " + ", ".join(told) + "."
