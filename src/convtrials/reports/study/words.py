"""What a study concludes, in plain sentences."""

from __future__ import annotations

from dataclasses import dataclass

from convtrials.core.formatting import joined
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.reports.study.verdict_style import LOOKS, VerdictLook, look_of, preliminary
from convtrials.study.results.metrics import scale_of

#: How each verdict reads after "2 of 6 techniques": for one, and for several.
_COUNTED = {
    "better": ("is better than the baseline", "are better than the baseline"),
    "worse": ("is worse", "are worse"),
    "equivalent": ("makes no practical difference", "make no practical difference"),
    "inconclusive": ("gives no clear answer", "give no clear answer"),
    "unstable": ("is unstable", "are unstable"),
    "failed": ("failed", "failed"),
    "waiting": ("has no result yet", "have no result yet"),
}

#: Where all have the same verdict and "All 3 techniques" would mislead.
_ALIKE = {
    "inconclusive": "None of the {count} techniques gives a clear answer.",
    "waiting": "None of the {count} techniques has a result yet.",
}


@dataclass(frozen=True)
class Finding:
    """One technique in a list of the conclusion: its name, a sentence, and whether it may still change."""

    name: str
    sentence: str
    preliminary: bool


@dataclass(frozen=True)
class Group:
    """The techniques of one verdict."""

    look: VerdictLook
    findings: list[Finding]


def lead(study: StudyRecord) -> list[str]:
    """Say the conclusion in a few sentences."""
    scale = scale_of(study.spec.metric)
    helpful = [arm for arm in study.ranked if look_of(arm).key == "better"]
    so_far = "" if study.verdicts.complete else " so far"
    told = [_counts(study)]
    if helpful:
        told.append(_largest_gain(study, helpful[0], so_far))
    elif len(study.techniques) > 1:
        told.append(f"No technique is shown to be better{so_far}.")
    scores = study.baseline.scores
    if scores:
        spread = f", from {scale.score(min(scores))} to {scale.score(max(scores))}" if len(scores) > 1 else ""
        if study.verdicts.baseline.mean_interval is not None:
            low, high = map(scale.score, study.verdicts.baseline.mean_interval)
            spread += f"; 95% interval for new seeds and images {low} to {high}"
        told.append(
            f"The baseline's {scale.label} is {scale.score(study.baseline.mean)} "
            f"({'one run' if len(scores) == 1 else f'mean of {len(scores)} runs'}{spread})."
        )
    if study.verdicts.single_runs:
        told.append(study.verdicts.single_runs)
    return told


def _largest_gain(study: StudyRecord, arm: StudyArm, so_far: str) -> str:
    scale, one, cost = scale_of(study.spec.metric), arm.technique, arm.cost.cost_ratio
    said, interval = f"{scale.signed(arm.difference)} {scale.unit} of {scale.label}", _interval(study, arm)
    if scale.lower_is_better and one is not None:
        said = f"{scale.label} lower by {scale.plain(one.difference)} {scale.unit}"
        interval = f"{study.level} interval {scale.plain(one.low)} to {scale.plain(one.high)}"
    whose = "The gain" if len(study.techniques) == 1 else "The largest gain"
    name = "" if len(study.techniques) == 1 else f"{arm.name}, "
    if cost is None:
        at_cost = ""
    elif arm.cost.may_be_the_same:
        at_cost = ", at about the cost of the baseline"
    else:
        at_cost = f", at {cost:.2f} times the cost of the baseline"
    return f"{whose}{so_far}: {name}{said} ({interval}){at_cost}."


def groups(study: StudyRecord) -> list[Group]:
    """Sort the techniques by verdict, each with a sentence; the largest difference first."""
    found = []
    for look in LOOKS:
        members = [arm for arm in study.ranked if look_of(arm).key == look.key]
        if members:
            findings = [Finding(arm.name, sentence_of(study, arm), preliminary(arm)) for arm in members]
            found.append(Group(look, findings))
    return found


def sentence_of(study: StudyRecord, arm: StudyArm) -> str:
    """Return the sentence of ``verdicts.json``, or one made here where it has none."""
    if arm.technique is not None and arm.technique.sentence:
        return arm.technique.sentence
    look = look_of(arm)
    if arm.difference is None:
        return look.meaning.capitalize()
    scale = scale_of(study.spec.metric)
    return f"{scale.signed(arm.difference)} {scale.unit} ({_interval(study, arm)}): {look.meaning}"


def _counts(study: StudyRecord) -> str:
    """Say how many techniques have which verdict."""
    arms = study.techniques
    keys = [look_of(arm).key for arm in arms]
    if not arms:
        return "There is no technique in this study."
    if len(arms) == 1:
        told = f"{arms[0].name} {_COUNTED[keys[0]][0]}."
    elif len(set(keys)) == 1:
        everybody = "Both" if len(arms) == 2 else f"All {len(arms)}"
        alike = f"{everybody} techniques {_COUNTED[keys[0]][1]}."
        told = _ALIKE[keys[0]].format(count=len(arms)) if keys[0] in _ALIKE else alike
    else:
        counts = [(look.key, keys.count(look.key)) for look in LOOKS if look.key in keys]
        parts = [f"{count} {_COUNTED[key][count > 1]}" for key, count in counts]
        told = f"Of {len(arms)} techniques, {joined(parts)}."
    return told if study.verdicts.complete else f"So far: {told}"


def _interval(study: StudyRecord, arm: StudyArm) -> str:
    one = arm.technique
    if one is None or one.low is None:
        return "no interval"
    return f"{study.level} interval {scale_of(study.spec.metric).span(one.low, one.high)}"
