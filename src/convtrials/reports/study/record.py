"""What a study directory says, read back: plan, verdicts, costs, and which runs there are.

Predictions and histories stay on disk until a picture asks for them, a run at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.reports.study.documents import (
    ArmCost,
    Costs,
    Plan,
    PlannedArm,
    PlanVersion,
    Technique,
    Verdicts,
)
from convtrials.training.run import Run
from convtrials.training.run_documents import HistoryEntry, RunResult


@dataclass(frozen=True, eq=False)
class StudyRun:
    """One run of a study.

    Attributes
    ----------
    seed : int
        The seed itself, the arm's offset included.
    folder : Path
        Its run directory, which may be absent.
    status : str
        ``finished``, ``diverged`` or ``failed`` as the verdicts say, ``unfinished``, or ``unused`` for one that ended
        without being part of a verdict.
    score : float or None
        On the study's metric.
    result : RunResult or None
        How it ended; None where it has not.
    """

    seed: int
    folder: Path
    status: str
    score: float | None
    result: RunResult | None

    def history(self) -> tuple[HistoryEntry, ...]:
        """Read its history, one entry per epoch; empty where there is none."""
        return Run(self.folder).read_history()


@dataclass(frozen=True, eq=False)
class StudyArm:
    """The baseline or a technique, with all that is known of it.

    Attributes
    ----------
    number : int
        0 for the baseline, then techniques in the order of the plan.
    planned : PlannedArm
    technique : Technique or None
        Its verdict; None for the baseline, and for a technique that has none yet.
    cost : ArmCost
    runs : tuple of StudyRun
        By seed.
    mean : float or None
        Of the scores.
    """

    number: int
    planned: PlannedArm
    technique: Technique | None
    cost: ArmCost
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
    folder : Path
    plan, verdicts, costs
        The JSON files of those names.
    plan_log : list of PlanVersion
        In order; empty where the log is missing.
    dataset, environment, execution : dict
    class_names : tuple of str
    baseline : StudyArm
    techniques : tuple of StudyArm
        In the order of the plan.
    plan_doubts : tuple of str
        Why the log of the plan may not tell all.
    """

    folder: Path
    plan: Plan
    verdicts: Verdicts
    costs: Costs
    plan_log: list[PlanVersion]
    dataset: dict[str, Any]
    environment: dict[str, Any]
    execution: dict[str, Any]
    class_names: tuple[str, ...]
    baseline: StudyArm
    techniques: tuple[StudyArm, ...]
    plan_doubts: tuple[str, ...] = ()

    @property
    def arms(self) -> tuple[StudyArm, ...]:
        """The baseline, then the techniques."""
        return (self.baseline, *self.techniques)

    def mark_of(self, arm: StudyArm) -> str:
        """Say in a few words what is wrong with runs of an arm that learned nothing; empty where all learned."""
        return next((one.mark for one in self.verdicts.warnings if one.arm == arm.name and one.mark), "")

    @property
    def level(self) -> str:
        """The confidence of the simultaneous intervals, as people write it."""
        return f"{100 * (1 - self.plan.alpha):g}%"

    @property
    def ranked(self) -> list[StudyArm]:
        """Techniques with the largest difference first; those without one last."""
        return sorted(
            self.techniques, key=lambda arm: math.inf if arm.difference is None else -arm.difference
        )
