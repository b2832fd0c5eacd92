"""What a study directory says, as its report needs it: plan, verdicts, costs, and which runs there are.

Predictions and histories stay on disk until a picture asks for them, a run at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.errors import StudyError
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.plan_log import PlanLog
from convtrials.study.plan.spec import StudySpec
from convtrials.study.schemas import BaselineVerdict, Costs, TechniqueCost, TechniqueVerdict, Verdicts
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import RunResult


@dataclass(frozen=True, eq=False)
class StudyRun:
    """One run of a study.

    Attributes
    ----------
    seed : int
        The seed itself, the arm's offset included.
    run : Run
        Its directory, which may be absent.
    status : str
        ``finished``, ``diverged`` or ``failed`` as the verdicts say, ``unfinished``, or ``unused`` for one that ended
        without being part of a verdict.
    score : float or None
        On the study's metric.
    result : RunResult or None
        None where it has not ended.
    """

    seed: int
    run: Run
    status: str
    score: float | None
    result: RunResult | None


@dataclass(frozen=True, eq=False)
class StudyArm:
    """The baseline or a technique, with all that is known of it.

    Attributes
    ----------
    number : int
        0 for the baseline, then techniques in the order of the plan.
    technique : TechniqueVerdict or None
        Its verdict; None for the baseline, and for a technique that has none yet.
    runs : tuple of StudyRun
        By seed.
    mean : float or None
        Of the scores.
    """

    number: int
    planned: Arm
    technique: TechniqueVerdict | None
    cost: TechniqueCost
    runs: tuple[StudyRun, ...]
    mean: float | None

    @property
    def name(self) -> str:
        """Its name as people wrote it."""
        return self.planned.name

    @property
    def finished(self) -> list[StudyRun]:
        """Runs that a verdict counts and that came to an end without diverging."""
        return [run for run in self.runs if run.status == "finished"]

    @property
    def scores(self) -> list[float]:
        """Scores of the finished runs."""
        return [run.score for run in self.finished if run.score is not None]

    @property
    def difference(self) -> float | None:
        """The technique's difference from the baseline, positive where it is better."""
        return None if self.technique is None else self.technique.difference


@dataclass(frozen=True, eq=False)
class StudyRecord:
    """A study directory.

    Attributes
    ----------
    plan, verdicts, costs
        The JSON files of those names.
    techniques : tuple of StudyArm
        In the order of the plan.
    """

    directory: StudyDirectory
    plan: Plan
    verdicts: Verdicts
    costs: Costs
    plan_log: PlanLog
    dataset: dict[str, Any]
    environment: dict[str, Any]
    execution: dict[str, Any]
    class_names: tuple[str, ...]
    baseline: StudyArm
    techniques: tuple[StudyArm, ...]

    @property
    def folder(self) -> Path:
        """The study directory."""
        return self.directory.folder

    @property
    def spec(self) -> StudySpec:
        """What is compared, and how it is judged."""
        return self.plan.spec

    @property
    def arms(self) -> tuple[StudyArm, ...]:
        """The baseline, then the techniques."""
        return (self.baseline, *self.techniques)

    def mark_of(self, arm: StudyArm) -> str:
        """Say in a few words what is wrong with runs of an arm that learned nothing; empty where all learned."""
        return self.verdicts.mark_of(arm.name)

    @property
    def level(self) -> str:
        """The confidence of the simultaneous intervals, as people write it."""
        return self.verdicts.level

    @property
    def ranked(self) -> list[StudyArm]:
        """Techniques with the largest difference first; those without one last."""
        return sorted(
            self.techniques, key=lambda arm: math.inf if arm.difference is None else -arm.difference
        )


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
