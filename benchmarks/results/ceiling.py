"""How much of the error is the characters' own: the blocks of docs/results.md on like classes and agreement."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from benchmarks.results.ambiguity import (
    CHARACTER_GROUPS,
    agreement,
    group_errors,
    group_of_classes,
    majority,
    merge_groups,
)
from benchmarks.results.words import percent, table
from convtrials.evaluation.evaluate import confusion_matrix
from convtrials.evaluation.mistakes import most_confused_pairs
from convtrials.reports.picture import Picture
from convtrials.reports.style import BLUE, FAINT, INK, ORANGE, SKY, new_figure
from convtrials.study.published_study import PublishedStudy

#: Arms this far below the best one say little about what can be reached.
FAR = 0.01


def vote_accuracy(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> float:
    """Return the accuracy of the class that most runs name."""
    return float((majority(answers, classes) == labels).mean())


def _good_runs(study: PublishedStudy) -> NDArray[np.int64]:
    """Return the answers of all runs of the arms within `FAR` of the best one."""
    answers = {arm.name: study.answers_of(arm.name) for arm in study.plan.arms}
    means = {name: float((one == study.labels).mean()) for name, one in answers.items() if len(one)}
    return np.concatenate(
        [answers[name] for name, mean in means.items() if mean >= max(means.values()) - FAR]
    )


def ceiling(study: PublishedStudy) -> str:
    """Signs of how high accuracy can get, from all good runs of the study together."""
    answers, labels = _good_runs(study), study.labels
    merged = group_of_classes(study.class_names, CHARACTER_GROUPS)
    found, forgiven = agreement(answers, labels, merged), merge_groups(answers, labels, merged)
    wrong = round(found.same_wrong * len(labels))
    low, high = beta.interval(0.95, wrong + 0.5, len(labels) - wrong + 0.5)  # Jeffreys
    vote = merge_groups(majority(answers, len(merged))[None], labels, merged)
    outside_solved = 1 - (vote.merged_accuracy - vote.accuracy)
    same_wrong = f"{percent(found.same_wrong)} ({percent(low)} to {percent(high)})"
    rows = [
        ("one network, mean", percent(found.mean_accuracy)),
        (f"vote of all {found.runs} networks", percent(found.vote_accuracy)),
        ("every network right", percent(found.all_right)),
        ("some right, some wrong: decided by recipe and chance", percent(found.some_right)),
        ("no network right", percent(found.none_right)),
        ("every network gives the same wrong answer", same_wrong),
        ("... of which inside 0/O, 1/I/L, 5/S, 2/Z", percent(found.same_wrong_inside)),
        ("one network, confusions inside 0/O, 1/I/L, 5/S, 2/Z counted as right", percent(forgiven.merged_accuracy)),
        ("share of all errors inside these groups", f"{forgiven.errors_inside:.0%}"),
        ("vote, confusions inside these groups counted as right", percent(vote.merged_accuracy)),
        ("no error outside these groups, inside them those of the vote", percent(outside_solved)),
    ]  # fmt: skip
    return table(["", "test images"], [list(row) for row in rows])


def groups(study: PublishedStudy) -> str:
    """Errors inside each group of like classes, of a run of the baseline and of the best arm."""
    merged = group_of_classes(study.class_names, CHARACTER_GROUPS)
    best = max(study.verdicts.techniques, key=lambda one: one.mean or 0).name
    names = ["baseline", best]
    per_arm = [group_errors(study.answers_of(name), study.labels, merged) for name in names]
    errors = [float((study.answers_of(name) != study.labels).sum(axis=1).mean()) for name in names]
    lines = [f"| | baseline, errors per run | {best}, errors per run |", "| --- | ---: | ---: |"]
    for group in CHARACTER_GROUPS:
        number = int(merged[study.class_names.index(group[0])])
        lines.append(f"| {'/'.join(group)} | " + " | ".join(f"{one[number]:.1f}" for one in per_arm) + " |")
    rest = [total - sum(one.values()) for total, one in zip(errors, per_arm, strict=True)]
    lines.append("| all others | " + " | ".join(f"{one:.1f}" for one in rest) + " |")
    lines.append("| *all* | " + " | ".join(f"{one:.1f}" for one in errors) + " |")
    return "\n".join(lines)


def pairs(study: PublishedStudy) -> str:
    """The most frequent confusions of all good runs, as means over runs."""
    answers = _good_runs(study)
    names = list(study.class_names)
    counts = np.sum([confusion_matrix(study.labels, one, len(names)) for one in answers], axis=0)
    told = [
        f"{names[pair.true]} → {names[pair.predicted]} {pair.count / len(answers):.1f}"
        for pair in most_confused_pairs(counts, 12)
    ]
    return "Truth → answer, images per run: " + ", ".join(told) + "."


def picture(study: PublishedStudy) -> Picture:
    """Draw which part of the test images is decided, which is open, and which no network gets."""
    answers, labels = _good_runs(study), study.labels
    merged = group_of_classes(study.class_names, CHARACTER_GROUPS)
    found = agreement(answers, labels, merged)
    never = ~(answers == labels).any(axis=0)
    inside = float((never & (merged[majority(answers, len(merged))] == merged[labels])).mean())
    parts = [
        ("every network right", found.all_right, BLUE),
        ("some right", found.some_right, SKY),
        ("none right: 0/O, 1/I/L, 5/S, 2/Z", inside, ORANGE),
        ("none right: others", found.none_right - inside, FAINT),
    ]
    marks = [("one network", found.mean_accuracy), (f"vote of {found.runs}", found.vote_accuracy)]
    return Picture(
        name="ceiling",
        title="How much of the error is the characters' own?",
        caption="",
        alt="; ".join(f"{name} {percent(share)}" for name, share, _ in parts),
        draw=lambda: _draw(parts, marks),
        header=("part", "share of test images"),
        rows=[*((name, share) for name, share, _ in parts), *marks],
    )


def _draw(parts: list[tuple[str, float, str]], marks: list[tuple[str, float]]) -> Any:
    figure = new_figure(9.6, 2.1)
    axes = figure.subplots()
    left = 0.0
    for name, share, colour in parts:
        axes.barh(0, 100 * share, left=100 * left, color=colour, height=0.6, label=f"{name} {percent(share)}")
        left += share
    for place, (name, value) in enumerate(marks):
        axes.vlines(100 * value, -0.3, 0.3, color=INK, linewidth=1.6)
        side = "right" if place == 0 else "left"
        axes.annotate(
            f"{name} {percent(value)}", (100 * value, 0.33), ha=side, va="bottom", fontsize=9, color=INK
        )
    low = 5 * np.floor(20 * parts[0][1]) - 2.5
    axes.set_xlim(low, 100)
    axes.set_ylim(-0.35, 0.62)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("share of test images, % (the axis does not begin at zero)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
