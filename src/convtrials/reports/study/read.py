"""Read a study directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convtrials.core.errors import StudyError
from convtrials.reports.study.documents import (
    ArmCost,
    Baseline,
    Costs,
    Plan,
    PlanVersion,
    Technique,
    Verdicts,
)
from convtrials.reports.study.files import parse_document, parse_object, read_document, read_text
from convtrials.reports.study.record import StudyArm, StudyRecord, StudyRun
from convtrials.study.plan.plan_log import LOG_NAME, check_on_record, read_plan_document
from convtrials.training.run import Run


def read_study(folder: Path) -> StudyRecord:
    """Read a study directory.

    Raises
    ------
    StudyError, RunError
        Where the directory is no study, has no verdicts yet, its plan is not the one on record, or a file is damaged or
        fits no other.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StudyError(f"{folder}: no such study directory")
    if not (folder / "plan.json").is_file():
        raise StudyError(f"{folder}: no plan.json in it; not a study directory")
    plan = read_document(folder / "plan.json", Plan)
    if not (folder / "verdicts.json").is_file():
        raise StudyError(f"{folder}: no verdicts.json in it; run the study first (convtrials study run)")
    verdicts = read_document(folder / "verdicts.json", Verdicts)
    costs = read_document(folder / "costs.json", Costs) if (folder / "costs.json").is_file() else Costs()
    _check_names(folder, plan, verdicts)
    versions = _plan_log(folder / LOG_NAME)
    log = check_on_record(folder / "plan.json", read_plan_document(folder / "plan.json"))
    dataset = _loose(folder / "dataset.json")
    arms = list(_arms(folder, plan, verdicts, costs))
    return StudyRecord(
        folder=folder,
        plan=plan,
        verdicts=verdicts,
        costs=costs,
        plan_log=versions,
        dataset=dataset,
        environment=_loose(folder / "environment.json"),
        execution=_loose(folder / "execution.json"),
        class_names=_class_names(dataset, folder / "dataset.json"),
        baseline=arms[0],
        techniques=tuple(arms[1:]),
        plan_doubts=log.doubts,
    )


def _check_names(folder: Path, plan: Plan, verdicts: Verdicts) -> None:
    for key in ("name", "slug"):
        found = [getattr(arm, key) for arm in plan.arms]
        twice = next((one for one in found if found.count(one) > 1), None)
        if twice is not None:
            raise StudyError(f"{folder / 'plan.json'}: two arms have the {key} {twice!r}")
    planned = {arm.name for arm in plan.arms[1:]}
    for technique in verdicts.techniques:
        if technique.name not in planned:
            raise StudyError(
                f"{folder / 'verdicts.json'}: technique {technique.name!r} is not in plan.json; run the study again"
            )
    everybody: tuple[Baseline | Technique, ...] = (verdicts.baseline, *verdicts.techniques)
    for judged in everybody:
        if not len(judged.run_seeds) == len(judged.scores) == len(judged.status):
            raise StudyError(
                f"{folder / 'verdicts.json'}: {judged.name!r} has {len(judged.run_seeds)} seeds, "
                f"{len(judged.scores)} scores and {len(judged.status)} states; equal numbers are needed"
            )


def _arms(folder: Path, plan: Plan, verdicts: Verdicts, costs: Costs) -> Iterator[StudyArm]:
    verdict_of = {technique.name: technique for technique in verdicts.techniques}
    cost_of = {cost.name: cost for cost in costs.techniques}
    for number, planned in enumerate(plan.arms):
        technique = verdict_of.get(planned.name) if number else None
        judged = technique if number else verdicts.baseline
        cost = cost_of.get(planned.name, ArmCost()) if number else costs.baseline
        runs = tuple(_runs(folder / "runs" / planned.slug, judged))
        yield StudyArm(number, planned, technique, cost, runs, judged.mean if judged else None)


def _runs(folder: Path, judged: Baseline | Technique | None) -> Iterator[StudyRun]:
    """List an arm's runs: those that verdicts name, and others on disk."""
    told: dict[int, tuple[str, float | None]] = {}
    if judged is not None:
        pairs = zip(judged.status, judged.scores, strict=True)
        told = dict(zip(judged.run_seeds, pairs, strict=True))
    for seed in sorted({*told, *_seeds_on_disk(folder)}):
        place = folder / f"seed{seed}"
        ended = (place / "result.json").is_file()
        result = Run(place).result if ended else None
        status, score = told.get(seed, ("unused" if ended else "unfinished", None))
        yield StudyRun(seed, place, status, score, result)


def _seeds_on_disk(folder: Path) -> Iterator[int]:
    for place in folder.glob("seed*") if folder.is_dir() else ():
        digits = place.name.removeprefix("seed")
        if digits.isascii() and digits.isdigit() and len(digits) < 16 and place.is_dir():
            yield int(digits)


def _plan_log(path: Path) -> list[PlanVersion]:
    if not path.is_file():
        return []
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    return [
        parse_document(line, PlanVersion, f"{path} line {number}") for number, line in enumerate(lines, 1)
    ]


def _loose(path: Path) -> dict[str, Any]:
    return parse_object(read_text(path), str(path)) if path.is_file() else {}


def _class_names(dataset: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Return the class names; none where the study has not come to its first run."""
    names = dataset.get("class_names", [])
    if not isinstance(names, list) or len(names) == 1 or not all(isinstance(name, str) for name in names):
        raise StudyError(f"{path}: class_names must be a list of two names or more")
    return tuple(names)
