"""What a study concludes, in plain sentences, and what it would take to know more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convtrials.core.formatting import joined
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.reports.study.verdict_style import STYLES, VerdictStyle, preliminary, style_of
from convtrials.study.results.metrics import scale_of
from convtrials.study.results.verdict_sentences import MAY_SETTLE

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
class TechniqueSentence:
    """One technique in a list of the conclusion: its name, a sentence, and whether it may still change."""

    name: str
    sentence: str
    preliminary: bool


@dataclass(frozen=True)
class Group:
    """The techniques of one verdict."""

    style: VerdictStyle
    techniques: list[TechniqueSentence]


def lead(study: StudyRecord) -> list[str]:
    """Say the conclusion in a few sentences."""
    scale = scale_of(study.spec.metric)
    helpful = [arm for arm in study.ranked if style_of(arm).key == "better"]
    so_far = "" if study.verdicts.complete else " so far"
    sentences = [_counts(study)]
    if helpful:
        sentences.append(_largest_gain(study, helpful[0], so_far))
    elif len(study.techniques) > 1:
        sentences.append(f"No technique is shown to be better{so_far}.")
    scores = study.baseline.scores
    if scores:
        spread = f", from {scale.score(min(scores))} to {scale.score(max(scores))}" if len(scores) > 1 else ""
        if study.verdicts.baseline.mean_interval is not None:
            low, high = map(scale.score, study.verdicts.baseline.mean_interval)
            spread += f"; 95% interval for new seeds and images {low} to {high}"
        sentences.append(
            f"The baseline's {scale.label} is {scale.score(study.baseline.mean)} "
            f"({'one run' if len(scores) == 1 else f'mean of {len(scores)} runs'}{spread})."
        )
    if study.verdicts.single_runs:
        sentences.append(study.verdicts.single_runs)
    return sentences


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
    for style in STYLES:
        members = [arm for arm in study.ranked if style_of(arm).key == style.key]
        if members:
            techniques = [
                TechniqueSentence(arm.name, sentence_of(study, arm), preliminary(arm)) for arm in members
            ]
            found.append(Group(style, techniques))
    return found


def sentence_of(study: StudyRecord, arm: StudyArm) -> str:
    """Return the sentence of ``verdicts.json``, or one made here where it has none."""
    if arm.technique is not None and arm.technique.sentence:
        return arm.technique.sentence
    style = style_of(arm)
    if arm.difference is None:
        return style.meaning.capitalize()
    scale = scale_of(study.spec.metric)
    return f"{scale.signed(arm.difference)} {scale.unit} ({_interval(study, arm)}): {style.meaning}"


def _counts(study: StudyRecord) -> str:
    """Say how many techniques have which verdict."""
    arms = study.techniques
    keys = [style_of(arm).key for arm in arms]
    if not arms:
        return "There is no technique in this study."
    if len(arms) == 1:
        text = f"{arms[0].name} {_COUNTED[keys[0]][0]}."
    elif len(set(keys)) == 1:
        which = "Both" if len(arms) == 2 else f"All {len(arms)}"
        alike = f"{which} techniques {_COUNTED[keys[0]][1]}."
        text = _ALIKE[keys[0]].format(count=len(arms)) if keys[0] in _ALIKE else alike
    else:
        counts = [(style.key, keys.count(style.key)) for style in STYLES if style.key in keys]
        parts = [f"{count} {_COUNTED[key][count > 1]}" for key, count in counts]
        text = f"Of {len(arms)} techniques, {joined(parts)}."
    return text if study.verdicts.complete else f"So far: {text}"


def _interval(study: StudyRecord, arm: StudyArm) -> str:
    one = arm.technique
    if one is None or one.low is None:
        return "no interval"
    return f"{study.level} interval {scale_of(study.spec.metric).span(one.low, one.high)}"


def know_more(study: StudyRecord) -> list[tuple[str, str]]:
    """Say what it would take to know more: (what, sentence), techniques of one kind together."""
    inconclusive = [arm for arm in study.ranked if arm.technique and style_of(arm).key == "inconclusive"]
    settled = [arm for arm in inconclusive if not preliminary(arm)]
    found = [
        ("The study's remaining runs", _open(study)),
        ("More seeds", _more_seeds([arm for arm in settled if _reason(arm) == "more seeds"])),
        ("More test images", _more_images(study, [arm for arm in settled if _reason(arm) == "test set"])),
        ("Steadier runs", _too_spread([arm for arm in settled if _reason(arm) == "spread of runs"])),
        ("Nothing more", _stopped([arm for arm in settled if _reason(arm) == "cannot matter"])),
        ("Another recipe", _unstable([arm for arm in study.ranked if style_of(arm).key == "unstable"])),
        ("Runs that work", _failed([arm for arm in study.ranked if style_of(arm).key == "failed"])),
    ]
    return [(what, sentence) for what, sentence in found if sentence]


def _reason(arm: StudyArm) -> str:
    known = ("more seeds", "test set", "spread of runs", "cannot matter")
    reason = arm.technique.reason if arm.technique else None
    return reason if reason in known else "more seeds"


def _open(study: StudyRecord) -> str:
    count = sum(preliminary(arm) for arm in study.techniques)
    if not count or study.verdicts.complete:
        return ""
    which = "One technique is" if count == 1 else f"{count} techniques are"
    return f"{which} still open. The command that started the study continues it."


def _more_seeds(arms: Sequence[StudyArm]) -> str:
    """Name the techniques that more seeds would settle, each with how many."""
    if not arms:
        return ""
    named = [
        f"{arm.name} ({_at_most(arm.technique.more_seeds, 1000)})"
        if arm.technique and arm.technique.more_seeds
        else arm.name
        for arm in arms
    ]
    return f"Seeds per arm that {MAY_SETTLE}, beyond those run: {joined(named)}."


def _more_images(study: StudyRecord, arms: Sequence[StudyArm]) -> str:
    """Say what the test split cannot resolve, and how many images would."""
    if not arms:
        return ""
    scale, images = scale_of(study.spec.metric), f"{study.verdicts.test_images:,} test images"
    limits = [one.resolvable for arm in arms if (one := arm.technique) and one.resolvable is not None]
    limit = f" below about {scale.amount(float(f'{max(limits):.2g}'))}" if limits else ""
    needed = [
        f"{arm.name} ({_at_most(one.images_needed, 1_000_000)})"
        for arm in arms
        if (one := arm.technique) and one.images_needed
    ]
    text = (
        f"These {images} cannot resolve differences{limit}, and more seeds do not help: "
        f"{joined([arm.name for arm in arms])}."
    )
    return f"{text} Images that {MAY_SETTLE}: {joined(needed)}." if needed else text


def _too_spread(arms: Sequence[StudyArm]) -> str:
    names = joined([arm.name for arm in arms]) if arms else ""
    why = "since runs of one recipe differ too much"
    return f"No realistic number of seeds would settle it, {why}: {names}." if names else ""


def _at_most(count: int, most: int) -> str:
    """Return a count; one out of reach is reported as such."""
    return f"{count:,}" if count <= most else f"more than {most:,}"


def _stopped(arms: Sequence[StudyArm]) -> str:
    names = joined([arm.name for arm in arms]) if arms else ""
    return f"Stopped early, since a difference that matters is out of reach: {names}." if names else ""


def _unstable(arms: Sequence[StudyArm]) -> str:
    """Name the arms whose runs diverged: it may be the baseline's, which leaves no technique a verdict."""
    names = _whose(arms, "baseline diverged")
    return (
        f"Some runs diverged: {joined(names)}. A verdict needs a recipe whose runs all finish."
        if names
        else ""
    )


def _failed(arms: Sequence[StudyArm]) -> str:
    names = _whose(arms, "baseline failed")
    crashed = "Runs crashed, twice each"
    return (
        f"{crashed}: {joined(names)}. They are listed below; fix the cause and run the study again."
        if names
        else ""
    )


def _whose(arms: Sequence[StudyArm], of_baseline: str) -> list[str]:
    blamed = [arm for arm in arms if arm.technique and arm.technique.reason == of_baseline]
    names = [arm.name for arm in arms if arm not in blamed]
    return ["the baseline", *names] if blamed else names
