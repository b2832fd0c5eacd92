"""The tables of a study's page, cell by cell as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convtrials.core.formatting import count, duration, times
from convtrials.reports.html import plain
from convtrials.reports.study.record import StudyArm, StudyRecord, StudyRun
from convtrials.reports.study.verdict_style import VerdictStyle, style_of
from convtrials.study.results.metrics import SECONDARY_METRICS, SecondaryMetric, scale_of
from convtrials.study.results.verdict_row import VerdictRow, row_without_result, verdict_rows

_BEYOND = {
    "all": "beyond the margin",
    "part": "partly beyond the margin",
    "none": "within the margin",
}

#: More differences than this are cut; the plan has all.
MOST_CHANGES = 12


@dataclass(frozen=True)
class PageRow:
    """A line of the table of verdicts: the row, and what the page shows next to it."""

    number: int
    row: VerdictRow
    changes: str
    style: VerdictStyle
    beyond: str


def page_rows(study: StudyRecord) -> list[PageRow]:
    """Return the table of verdicts, the largest difference first."""
    known = {row.name: row for row in verdict_rows(study.verdicts, study.costs)}
    return [
        PageRow(
            number=arm.number,
            row=(row := known.get(arm.name) or row_without_result(arm.name, study.spec.metric)),
            changes=", ".join(changes_of(study, arm)),
            style=style_of(arm),
            beyond=_BEYOND.get(row.beyond_margin or "", ""),
        )
        for arm in study.ranked
    ]


def changes_of(study: StudyRecord, arm: StudyArm) -> list[str]:
    """Return what a technique changes in the recipe, as the plan has it: ``schedule: cosine``."""
    texts = [f"{key}: {plain(value)}" for key, value in flat(arm.planned.changes).items()]
    if arm.planned.seed_offset != study.baseline.planned.seed_offset:
        texts.append(f"seeds from {arm.planned.seed_offset}")
    return texts or (["nothing"] if arm.number else [])


def recipe_changes(study: StudyRecord, arm: StudyArm) -> list[tuple[str, str, str]]:
    """Return (setting, baseline's value, technique's value) of every setting that differs, at most `MOST_CHANGES`."""
    before, after = flat(recipe_of(study.baseline)), flat(recipe_of(arm))
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return [(key, plain(before.get(key)), plain(after.get(key))) for key in keys][:MOST_CHANGES]


def recipe_of(arm: StudyArm) -> dict[str, Any]:
    """Return the recipe of an arm as files have it."""
    return arm.planned.recipe.model_dump(mode="json")


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Write nested settings with dots: ``{"schedule": {"name": "cosine"}}`` becomes ``{"schedule.name": "cosine"}``."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{above}{key}.")
        else:
            result[f"{above}{key}"] = value
    return result


def secondary_header(study: StudyRecord) -> list[str]:
    """Return the columns of the table of other numbers."""
    return [
        *(metric.label for metric in _secondary_columns(study)),
        "Images to reach",
        f"{_cost_word(study)} to reach",
        f"{_cost_word(study)} per run",
    ]


def secondary_rows(study: StudyRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the table of other numbers: (arm, cells), each cell a value and its difference from the baseline."""
    rows = []
    for arm in (study.baseline, *study.ranked):
        one = arm.technique
        secondary = (
            study.verdicts.baseline.secondary_metrics
            if arm.number == 0
            else (one.secondary_metrics if one else {})
        )
        differences = one.secondary_differences if one else {}
        cells = [
            (
                metric.written(secondary.get(metric.name)),
                metric.difference(differences.get(metric.name)) if one else "",
            )
            for metric in _secondary_columns(study)
        ]
        cells += [_images_to_reach(study, arm), _seconds_to_reach(arm), _seconds_a_run(study, arm)]
        rows.append((arm.name, cells))
    return rows


def _secondary_columns(study: StudyRecord) -> list[SecondaryMetric]:
    """Return the secondary metrics besides the study's metric; verdicts of older versions lack some."""
    known = study.verdicts.baseline.secondary_metrics
    return [
        metric
        for metric in SECONDARY_METRICS.values()
        if metric.name != study.spec.metric and (metric.name in known or not known)
    ]


def run_rows(study: StudyRecord) -> list[tuple[str, str, str, str, str, str]]:
    """Return the table of runs: arm, seed, state, score, epochs, time."""
    scale = scale_of(study.spec.metric)
    unit = study.costs.unit if study.costs.unit == "cpu_seconds" else "train_seconds"
    return [
        (arm.name, str(run.seed), run.status, scale.score(run.score), plain(run.result and run.result.epochs),
         duration(run.result and getattr(run.result, unit)))
        for arm in study.arms
        for run in arm.runs
    ]  # fmt: skip


def lost_runs(study: StudyRecord) -> list[str]:
    """Say of every run that diverged or failed where it is, and what is known."""
    lines = []
    for arm in study.arms:
        for run in arm.runs:
            if run.status in ("diverged", "failed"):
                step = run.result.diverged_at if run.result else None
                at = f" at step {step:,}" if step is not None and run.status == "diverged" else ""
                place = f"{run.run.folder.parent.name}/{run.run.folder.name}"
                why = _why_failed(study, run) if run.status == "failed" else ""
                lines.append(f"{arm.name}, seed {run.seed}: {run.status}{at} (runs/{place}){why}")
    return lines


def _why_failed(study: StudyRecord, run: StudyRun) -> str:
    """Return why the run failed the last time; nothing where that was not written."""
    failures = study.directory.failures(run.run)
    return f": {failures.reason}" if failures.errors else ""


def _cost_word(study: StudyRecord) -> str:
    return "CPU time" if study.costs.unit == "cpu_seconds" else "Time"


def _images_to_reach(study: StudyRecord, arm: StudyArm) -> tuple[str, str]:
    if arm.number == 0:
        own = study.verdicts.baseline.images_to_baseline
        # Verdicts of earlier versions do not say.
        return (count(arm.cost.images if own is None else own), "")
    images = arm.technique.images_to_baseline if arm.technique else None
    if images is None:
        return ("never" if arm.finished else "–", "")
    return (count(images), "")


def _seconds_to_reach(arm: StudyArm) -> tuple[str, str]:
    return (duration(arm.cost.seconds_to_baseline), "")


def _seconds_a_run(study: StudyRecord, arm: StudyArm) -> tuple[str, str]:
    seconds = arm.cost.cpu_seconds if study.costs.unit == "cpu_seconds" else arm.cost.seconds
    cost = times(arm.cost.cost_ratio, arm.cost.cost_ratio_interval)
    return (duration(seconds), cost if arm.number else "")
