"""Read a study directory for its report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convtrials.core.errors import StudyError
from convtrials.reports.study.record import StudyArm, StudyRecord, StudyRun
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan
from convtrials.study.schemas import BaselineVerdict, Costs, TechniqueCost, TechniqueVerdict, Verdicts


def read_study(folder: Path) -> StudyRecord:
    """Read a study directory.

    Raises
    ------
    StudyError, RunError
        Where the directory is no study, has no verdicts yet, its plan is not the one on record, or a file is damaged or
        fits no other.
    """
    study = StudyDirectory(folder)
    if not study.folder.is_dir():
        raise StudyError(f"{folder}: no such study directory")
    plan, verdicts, costs = study.plan, study.verdicts, study.costs
    _check_names(study.verdicts_path, plan, verdicts)
    dataset = study.shown("dataset.json")
    arms = list(_arms(study, plan, verdicts, costs))
    return StudyRecord(
        directory=study,
        plan=plan,
        verdicts=verdicts,
        costs=costs,
        plan_log=study.plan_log,
        dataset=dataset,
        environment=study.shown("environment.json"),
        execution=study.shown("execution.json"),
        class_names=_class_names(dataset, study.dataset_path),
        baseline=arms[0],
        techniques=tuple(arms[1:]),
    )


def _check_names(path: Path, plan: Plan, verdicts: Verdicts) -> None:
    planned = {arm.name for arm in plan.arms[1:]}
    for technique in verdicts.techniques:
        if technique.name not in planned:
            raise StudyError(f"{path}: technique {technique.name!r} is not in plan.json; run the study again")
    for judged in verdicts.arms:
        if not len(judged.run_seeds) == len(judged.scores) == len(judged.status):
            raise StudyError(
                f"{path}: {judged.name!r} has {len(judged.run_seeds)} seeds, "
                f"{len(judged.scores)} scores and {len(judged.status)} states; equal numbers are needed"
            )


def _arms(study: StudyDirectory, plan: Plan, verdicts: Verdicts, costs: Costs) -> Iterator[StudyArm]:
    verdict_of = {technique.name: technique for technique in verdicts.techniques}
    for number, planned in enumerate(plan.arms):
        technique = verdict_of.get(planned.name) if number else None
        judged = technique if number else verdicts.baseline
        cost = costs.of(planned.name) if number else TechniqueCost(**costs.baseline.model_dump())
        runs = tuple(_runs(study, planned, judged))
        yield StudyArm(number, planned, technique, cost, runs, judged.mean if judged else None)


def _runs(
    study: StudyDirectory, arm: Arm, judged: BaselineVerdict | TechniqueVerdict | None
) -> Iterator[StudyRun]:
    """List an arm's runs: those that verdicts name, and others on disk."""
    known: dict[int, tuple[str, float | None]] = {}
    if judged is not None:
        pairs = zip(judged.status, judged.scores, strict=True)
        known = dict(zip(judged.run_seeds, pairs, strict=True))
    for seed in sorted({*known, *study.seeds_on_disk(arm)}):
        run = study.run(arm, seed - arm.seed_offset)
        result = run.result if run.finished else None
        status, score = known.get(seed, ("unfinished" if result is None else "unused", None))
        yield StudyRun(seed, run, status, score, result)


def _class_names(dataset: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Return the class names; none where the study has not come to its first run."""
    names = dataset.get("class_names", [])
    if not isinstance(names, list) or len(names) == 1 or not all(isinstance(name, str) for name in names):
        raise StudyError(f"{path}: class_names must be a list of two names or more")
    return tuple(names)
