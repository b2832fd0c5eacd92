"""What it would take to know more than a study says."""

from __future__ import annotations

from collections.abc import Sequence

from convtrials.core.formatting import joined
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.reports.study.verdict_style import look_of, preliminary
from convtrials.study.results.metrics import scale_of
from convtrials.study.results.sentences import MAY_SETTLE


def know_more(study: StudyRecord) -> list[tuple[str, str]]:
    """Say what it would take to know more: (what, sentence), techniques of one kind together."""
    inconclusive = [arm for arm in study.ranked if arm.technique and look_of(arm).key == "inconclusive"]
    settled = [arm for arm in inconclusive if not preliminary(arm)]
    found = [
        ("The study's remaining runs", _open(study)),
        ("More seeds", _more_seeds([arm for arm in settled if _reason(arm) == "more seeds"])),
        ("More test images", _more_images(study, [arm for arm in settled if _reason(arm) == "test set"])),
        ("Steadier runs", _too_spread([arm for arm in settled if _reason(arm) == "spread of runs"])),
        ("Nothing more", _stopped([arm for arm in settled if _reason(arm) == "cannot matter"])),
        ("Another recipe", _unstable([arm for arm in study.ranked if look_of(arm).key == "unstable"])),
        ("Runs that work", _failed([arm for arm in study.ranked if look_of(arm).key == "failed"])),
    ]
    return [(what, told) for what, told in found if told]


def _reason(arm: StudyArm) -> str:
    known = ("more seeds", "test set", "spread of runs", "cannot matter")
    reason = arm.technique.reason if arm.technique else None
    return reason if reason in known else "more seeds"


def _open(study: StudyRecord) -> str:
    count = sum(preliminary(arm) for arm in study.techniques)
    if not count or study.verdicts.complete:
        return ""
    which = "One technique is" if count == 1 else f"{count} techniques are"
    return f"{which} still open. The command that started the study goes on with it."


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
    """Say what the test split cannot tell, and how many images would."""
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
    told = (
        f"These {images} cannot resolve differences{limit}, and more seeds do not help: "
        f"{joined([arm.name for arm in arms])}."
    )
    return f"{told} Images that {MAY_SETTLE}: {joined(needed)}." if needed else told


def _too_spread(arms: Sequence[StudyArm]) -> str:
    names = joined([arm.name for arm in arms]) if arms else ""
    why = "since runs of one recipe differ too much"
    return f"No realistic number of seeds would settle it, {why}: {names}." if names else ""


def _at_most(count: int, most: int) -> str:
    """Return a count; one that nobody will reach is told as such."""
    return f"{count:,}" if count <= most else f"more than {most:,}"


def _stopped(arms: Sequence[StudyArm]) -> str:
    names = joined([arm.name for arm in arms]) if arms else ""
    return f"Stopped early, since a difference that matters is out of reach: {names}." if names else ""


def _unstable(arms: Sequence[StudyArm]) -> str:
    """Name the arms whose runs diverged: it may be the baseline's, which leaves no technique a verdict."""
    names = _whose(arms, "baseline diverged")
    return (
        f"Some runs diverged: {joined(names)}. A verdict needs a recipe whose runs all hold." if names else ""
    )


def _failed(arms: Sequence[StudyArm]) -> str:
    names = _whose(arms, "baseline failed")
    crashed = "Runs crashed, twice each"
    return (
        f"{crashed}: {joined(names)}. See below which; mend the cause and run the study again."
        if names
        else ""
    )


def _whose(arms: Sequence[StudyArm], of_baseline: str) -> list[str]:
    blamed = [arm for arm in arms if arm.technique and arm.technique.reason == of_baseline]
    names = [arm.name for arm in arms if arm not in blamed]
    return ["the baseline", *names] if blamed else names
