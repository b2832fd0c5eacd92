"""The tables of a study's page, cell by cell as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convtrials.reports.html import plain
from convtrials.reports.study.formatting import Scale, scale_of, signed, times
from convtrials.reports.study.record import StudyArm, StudyRecord, StudyRun
from convtrials.reports.study.verdict_style import VerdictLook, look_of, preliminary
from convtrials.reports.words import duration
from convtrials.training.run import Run

_BEYOND = {
    "all": "beyond the margin",
    "part": "partly beyond the margin",
    "none": "within the margin",
}

#: Numbers told beside a verdict: their name, key in ``verdicts.json``, factor and decimals.
ALSO = (
    ("Accuracy", "accuracy", 100, 2, "%"),
    ("Macro precision", "macro_precision", 100, 2, "%"),
    ("Macro recall", "macro_recall", 100, 2, "%"),
    ("Macro F1", "macro_f1", 100, 2, "%"),
    ("Macro ROC AUC", "macro_auc", 1, 4, ""),
    ("Log loss", "log_loss", 1, 4, ""),
    ("Calibration error", "calibration_error", 100, 2, "%"),
)

#: More differences than this are cut; the plan has all.
MOST_CHANGES = 12


@dataclass(frozen=True)
class VerdictRow:
    """A line of the table of verdicts."""

    number: int
    name: str
    changes: str
    look: VerdictLook
    preliminary: bool
    beyond: str
    mark: str
    difference: str
    interval: str
    p: str
    fixed: str
    fixed_verdict: str
    seeds: str
    beats: str
    cost: str


def verdict_rows(study: StudyRecord) -> list[VerdictRow]:
    """Return the table of verdicts, the largest difference first."""
    return [_verdict_row(study, arm, scale_of(study.spec.metric)) for arm in study.ranked]


def _verdict_row(study: StudyRecord, arm: StudyArm, scale: Scale) -> VerdictRow:
    one = arm.technique
    lost = sum(run.status in ("diverged", "failed") for run in arm.runs)
    seeds = len(arm.runs) if one is None else one.seeds
    return VerdictRow(
        number=arm.number,
        name=arm.name,
        changes=", ".join(changes_of(study, arm)),
        look=look_of(arm),
        preliminary=preliminary(arm),
        beyond=_BEYOND.get(one.beyond_margin or "", "") if one else "",
        mark=study.mark_of(arm),
        difference=scale.signed(arm.difference),
        interval=scale.span(one.low, one.high) if one else "–",
        p=p_value(one.p_adjusted if one else None),
        fixed=scale.span(one.fixed_low, one.fixed_high) if one else "–",
        fixed_verdict=(one.fixed_verdict or "") if one else "",
        seeds=f"{seeds} ({lost} lost)" if lost else f"{seeds}",
        beats=_percent(one.probability_better if one else None),
        cost=times(arm.cost.cost_ratio, arm.cost.cost_ratio_interval),
    )


def changes_of(study: StudyRecord, arm: StudyArm) -> list[str]:
    """Return what a technique changes in the recipe, as the plan has it: ``schedule: cosine``."""
    told = [f"{key}: {plain(value)}" for key, value in flat(arm.planned.changes).items()]
    if arm.planned.seed_offset != study.baseline.planned.seed_offset:
        told.append(f"seeds from {arm.planned.seed_offset}")
    return told or (["nothing"] if arm.number else [])


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


def also_header(study: StudyRecord) -> list[str]:
    """Return the columns of the table of other numbers."""
    return [
        *(name for name, *_ in _also_columns(study)),
        "Images to reach",
        f"{_cost_word(study)} to reach",
        f"{_cost_word(study)} a run",
    ]


def also_rows(study: StudyRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the table of other numbers: (arm, cells), each cell a value and its difference from the baseline."""
    rows = []
    for arm in (study.baseline, *study.ranked):
        one = arm.technique
        also = (
            study.verdicts.baseline.secondary_metrics
            if arm.number == 0
            else (one.secondary_metrics if one else {})
        )
        differences = one.secondary_differences if one else {}
        cells = [
            (
                _told(also.get(key), factor, decimals, unit),
                signed(differences.get(key), factor, decimals) if one else "",
            )
            for _, key, factor, decimals, unit in _also_columns(study)
        ]
        cells += [_images_to_reach(study, arm), _seconds_to_reach(arm), _seconds_a_run(study, arm)]
        rows.append((arm.name, cells))
    return rows


def _also_columns(study: StudyRecord) -> list[tuple[str, str, int, int, str]]:
    """Return the numbers of `ALSO` besides the study's metric; verdicts of older versions lack some."""
    known = study.verdicts.baseline.secondary_metrics
    return [one for one in ALSO if one[1] != study.spec.metric and (one[1] in known or not known)]


def run_rows(study: StudyRecord) -> list[tuple[str, str, str, str, str, str]]:
    """Return the table of runs: arm, seed, state, score, epochs, time."""
    scale = scale_of(study.spec.metric)
    unit = study.costs.unit if study.costs.unit == "cpu_seconds" else "train_seconds"
    return [
        (arm.name, str(run.seed), run.status, scale.score(run.score), plain(run.result.get("epochs")),
         duration(run.result.get(unit)))
        for arm in study.arms
        for run in arm.runs
    ]  # fmt: skip


def lost_runs(study: StudyRecord) -> list[str]:
    """Say of every run that diverged or failed where it is, and what is known."""
    told = []
    for arm in study.arms:
        for run in arm.runs:
            if run.status in ("diverged", "failed"):
                step = run.result.get("diverged_at")
                at = f" at step {step:,}" if isinstance(step, int) and run.status == "diverged" else ""
                place = f"{run.folder.parent.name}/{run.folder.name}"
                why = _why_failed(study, run) if run.status == "failed" else ""
                told.append(f"{arm.name}, seed {run.seed}: {run.status}{at} (runs/{place}){why}")
    return told


def _why_failed(study: StudyRecord, run: StudyRun) -> str:
    """Return why the run failed the last time; nothing where that was not written."""
    failures = study.directory.failures(Run(run.folder))
    return f": {failures.reason}" if failures.errors else ""


def p_value(p: float | None) -> str:
    """Return a p-value as people write it."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cost_word(study: StudyRecord) -> str:
    return "CPU time" if study.costs.unit == "cpu_seconds" else "Time"


def _images_to_reach(study: StudyRecord, arm: StudyArm) -> tuple[str, str]:
    if arm.number == 0:
        own = study.verdicts.baseline.images_to_baseline
        # Verdicts of earlier versions do not say.
        return (_count(arm.cost.images if own is None else own), "")
    images = arm.technique.images_to_baseline if arm.technique else None
    if images is None:
        return ("never" if arm.finished else "–", "")
    return (_count(images), "")


def _seconds_to_reach(arm: StudyArm) -> tuple[str, str]:
    return (duration(arm.cost.seconds_to_baseline), "")


def _seconds_a_run(study: StudyRecord, arm: StudyArm) -> tuple[str, str]:
    seconds = arm.cost.cpu_seconds if study.costs.unit == "cpu_seconds" else arm.cost.seconds
    cost = times(arm.cost.cost_ratio, arm.cost.cost_ratio_interval)
    return (duration(seconds), cost if arm.number else "")


def _told(value: float | None, factor: float, decimals: int, unit: str) -> str:
    return "–" if value is None else f"{factor * value:.{decimals}f}{unit}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}%"
