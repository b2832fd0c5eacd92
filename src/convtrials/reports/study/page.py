"""A study's page: one file, nothing fetched, nothing run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from convtrials.core.formatting import duration, joined
from convtrials.reports.html import PageFigure, page_template, plain
from convtrials.reports.study.conclusion import groups, know_more, lead
from convtrials.reports.study.record import StudyRecord
from convtrials.reports.study.tables import (
    changes_of,
    flat,
    lost_runs,
    page_rows,
    recipe_changes,
    recipe_of,
    run_rows,
    secondary_header,
    secondary_rows,
)
from convtrials.reports.study.verdict_style import STYLES, preliminary, style_of, unwritable
from convtrials.reports.style import VERDICT_COLOURS
from convtrials.study.plan.plan import seeds_of
from convtrials.study.results.metrics import scale_of

#: What the page shows of ``dataset.json``; the rest is for programs.
_TOLD_OF_DATA = ("name", "source", "options", "fingerprint", "counts", "image_shape")


def render_study_page(study: StudyRecord, figures: Sequence[PageFigure]) -> str:
    """Return the page as HTML, with `figures` in the order in which they are read."""
    scale = scale_of(study.spec.metric)
    page: str = page_template("study.html.j2").render(
        title=_title(study),
        facts=_facts(study),
        lead=lead(study),
        preliminary=_preliminary(study),
        late_changes=[one for one in study.plan_log.versions if one.finished_runs],
        groups=groups(study),
        know_more=know_more(study),
        warnings=warnings(study),
        hidden_names=_hidden_names(study),
        moment=moment,
        rows=page_rows(study),
        looks=[look for look in STYLES if look.key != "waiting"],
        verdict_colours=VERDICT_COLOURS,
        scale=scale,
        study=study,
        figures=figures,
        secondary_header=secondary_header(study),
        secondary_rows=secondary_rows(study),
        plan=_plan(study),
        techniques=[(arm, changes_of(study, arm), recipe_changes(study, arm)) for arm in study.techniques],
        baseline_recipe=flat(recipe_of(study.baseline)),
        run_rows=run_rows(study),
        lost=lost_runs(study),
        dataset={key: value for key, value in study.dataset.items() if key in _TOLD_OF_DATA},
        execution={key: value for key, value in study.execution.items() if key != "measured"},
        measured=_measured(study.execution.get("measured")),
        cost=_total(study),
        commands=commands(study),
    )
    return page


def commands(study: StudyRecord) -> list[str]:
    """Return the shell commands that run the study again, and that write this page again."""
    folder = str(study.folder)
    again = ["convtrials", "study", "run", f"{folder}/plan.json", "--out", f"{folder}-again"]
    return [shlex.join(again), shlex.join(["convtrials", "study", "report", folder])]


def warnings(study: StudyRecord) -> list[str]:
    """Say what a reader must know before believing the page."""
    doubts = list(study.plan_log.doubts)
    if study.verdicts.plan != study.plan.fingerprint:
        doubts.append(
            f"The verdicts belong to another plan ({study.verdicts.plan[:12]}) than the one in plan.json "
            f"({study.plan.fingerprint[:12]}): run the study again."
        )
    fingerprint = study.dataset.get("fingerprint")
    if fingerprint and fingerprint != study.plan.dataset_fingerprint:
        doubts.append("The dataset is not the one of the plan: their fingerprints differ.")
    return doubts


def _hidden_names(study: StudyRecord) -> str:
    """Say which names stand as numbers in pictures."""
    hidden = unwritable(study.techniques)
    if not hidden:
        return ""
    numbers = joined([f"“technique {arm.number}” is {arm.name}" for arm in hidden])
    return f"The font of the pictures lacks letters of some names; in pictures, {numbers}."


def moment(time: str) -> str:
    """Return an ISO time as people write it, ``2026-03-01 09:30 UTC``; anything else as it is."""
    try:
        when = datetime.fromisoformat(time)
    except ValueError:
        return time
    zone = when.strftime("%Z") if when.tzinfo else ""
    return f"{when:%Y-%m-%d %H:%M} {zone}".strip()


def _title(study: StudyRecord) -> str:
    if study.spec.title:
        return study.spec.title
    count = len(study.techniques)
    data = study.dataset.get("name") or study.spec.source
    model = study.baseline.planned.recipe.model
    return f"{count} technique{'' if count == 1 else 's'} on trial: {plain(model)} on {plain(data)}"


def _facts(study: StudyRecord) -> list[str]:
    """The line under the title."""
    spec, verdicts = study.spec, study.verdicts
    scale = scale_of(spec.metric)
    units = "" if verdicts.unit == "image" else f" of {verdicts.test_units:,} {verdicts.unit}s"
    ended = sum(
        run.status in ("finished", "diverged", "failed", "unused") for arm in study.arms for run in arm.runs
    )
    return [
        f"metric: {scale.label}",
        f"margin: {scale.amount(spec.margin)}",
        f"{seeds_of(spec)} seeds per arm",
        f"{verdicts.test_images:,} test images{units}",
        f"{ended} runs",
        f"plan {study.plan.fingerprint[:10]}",
    ]


def _preliminary(study: StudyRecord) -> str:
    """Say how far an unfinished study has come; nothing of a finished one."""
    if study.verdicts.complete:
        return ""
    open_ones = [arm for arm in study.techniques if preliminary(arm)]
    without = [arm for arm in open_ones if style_of(arm).key == "waiting"]
    settled = len(study.techniques) - len(open_ones)
    text = f"The study has not ended: {settled} of {len(study.techniques)} techniques are settled."
    if without:
        text += f" {len(without)} {'has' if len(without) == 1 else 'have'} no result yet."
    return text + " Open verdicts may still change; do not act on them."


def _plan(study: StudyRecord) -> dict[str, str]:
    plan, spec = study.plan, study.spec
    scale = scale_of(spec.metric)
    looks = joined([str(look) for look in plan.looks]) if plan.looks else "–"
    several = len(plan.looks) > 1
    return {
        "metric": scale.label,
        "margin": scale.amount(spec.margin),
        "family-wise error rate": f"{100 * spec.alpha:g}% over all techniques{' and looks' if several else ''}",
        "seeds per arm": seeds_of(spec)
        + ("" if spec.fewest == spec.most else ", added where the answer is open"),
        "first seed": str(study.baseline.planned.seed_offset),
        "looks at the results": f"after {looks} seeds per arm",
        "sampling unit": f"{study.verdicts.unit} ({study.verdicts.test_units:,} in the test split)",
        "fingerprint": plan.fingerprint,
    }


def _measured(found: Any) -> list[str]:
    """Return the probe's measurements, one per line."""
    sentences = []
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict) and isinstance(one.get("images_per_second"), int | float):
            workers, threads = plain(one.get("workers")), plain(one.get("threads"))
            sentences.append(
                f"{workers} worker(s) × {threads} thread(s): {one['images_per_second']:,.0f} images/s"
            )
    return sentences


def _total(study: StudyRecord) -> dict[str, str]:
    total = study.costs.total
    found = {
        "runs": None if total.runs is None else f"{total.runs:,}",
        "wall-clock time": None if total.wall_seconds is None else duration(total.wall_seconds),
        "training time, all runs": None if total.seconds is None else duration(total.seconds),
        "CPU time, all runs": None if total.cpu_seconds is None else duration(total.cpu_seconds),
    }
    return {key: value for key, value in found.items() if value is not None}
