"""How a study stands, read from its directory: the same for who runs it and for who looks from another terminal."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from convtrials.core.errors import ConvtrialsError
from convtrials.statistics.result import Decision
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.plan import Plan
from convtrials.study.results.scores import Outcomes
from convtrials.study.schemas import LiveRun
from convtrials.training.run_directory import Run


@dataclass(frozen=True)
class RunState:
    """One run of a study, as it stands.

    Attributes
    ----------
    seed : int
        The actual seed.
    state : str
        ``finished``, ``diverged``, ``failed``, ``running``, ``stopped`` (it has a checkpoint, and no process trains it)
        or ``queued``.
    share : float
        Of its training, 0 to 1.
    images_per_second : float or None
        While it is running.
    score : float or None
        Test score once finished, higher is better.
    val_accuracy : float or None
        After its last whole epoch, while it is running.
    seconds : float or None
        Training time once ended.
    errors : tuple of str
        What went wrong with it, the oldest first.
    learned : bool
        False once finished with answers that are no better than guesses.
    """

    arm: str
    seed: int
    state: str
    share: float = 0.0
    images_per_second: float | None = None
    score: float | None = None
    val_accuracy: float | None = None
    seconds: float | None = None
    errors: tuple[str, ...] = ()
    learned: bool = True


@dataclass(frozen=True)
class StudyState:
    """A study, as it stands.

    Attributes
    ----------
    runs : list of RunState
        Those needed for the next look, and others that have begun; by arm, then by seed.
    workers : int
        Runs trained at a time.
    seconds_left, most_seconds_left : float or None
        To the next look, and to the last one that can be needed; None before anything is known.
    """

    plan: Plan
    decision: Decision
    runs: list[RunState] = field(default_factory=list)
    workers: int = 1
    seconds_left: float | None = None
    most_seconds_left: float | None = None

    def count(self, *states: str) -> int:
        """Count runs in any of these states."""
        return sum(run.state in states for run in self.runs)


def read_status(study: StudyDirectory, plan: Plan, outcomes: Outcomes, workers: int) -> StudyState:
    """Look at every run of a study."""
    decision = outcomes.decide()
    runs = []
    for arm in plan.arms:
        begun = _begun(study.run(arm, 0).folder.parent)
        for position in range(plan.spec.most):
            run = study.run(arm, position)
            if position < decision.needed[arm.name] or (run.folder.name in begun and run.exists):
                runs.append(_look_at(study, outcomes, run, arm.name, arm.seed_offset + position))
    left, most = _time_left(plan, decision, runs, workers)
    return StudyState(plan, decision, runs, workers, left, most)


def _begun(folder: Path) -> set[str]:
    """Name the runs of an arm that have a folder; one listing, where asking for each seed would take many."""
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _look_at(study: StudyDirectory, outcomes: Outcomes, run: Run, arm: str, seed: int) -> RunState:
    failures = study.failures(run)
    if run.finished:
        result = run.result
        return RunState(
            arm,
            seed,
            result.status,
            share=1.0,
            score=outcomes.score(run),
            seconds=result.train_seconds,
            errors=failures.errors,
            learned=outcomes.learned(run),
        )
    if run.locked:
        live = study.live(run) or LiveRun()
        return RunState(
            arm,
            seed,
            "running",
            share=min(1.0, live.images / max(live.total_images, 1)),
            images_per_second=live.images_per_second,
            val_accuracy=live.val_accuracy,
            errors=failures.errors,
        )
    if failures.given_up:
        return RunState(arm, seed, "failed", errors=failures.errors)
    state = "stopped" if run.checkpoint_path.is_file() else "queued"
    return RunState(
        arm, seed, state, share=_checkpointed(run) if state == "stopped" else 0.0, errors=failures.errors
    )


def _checkpointed(run: Run) -> float:
    """The share of a stopped run that its history gives; its checkpoint may be a little further."""
    with contextlib.suppress(OSError, ValueError, KeyError, ConvtrialsError):
        return float(min(1.0, len(run.read_history()) / run.recipe.epochs))
    return 0.0


def _time_left(
    plan: Plan, decision: Decision, runs: list[RunState], workers: int
) -> tuple[float | None, float | None]:
    """Estimate from what ended runs took, or from how fast the running ones are."""
    took: dict[str, list[float]] = {}
    for run in runs:
        if run.seconds is not None and run.state == "finished":
            took.setdefault(run.arm, []).append(run.seconds)
    if not took:
        return None, None
    typical = float(np.mean([second for seconds in took.values() for second in seconds]))
    per_run = {arm.name: float(np.mean(took.get(arm.name, [typical]))) for arm in plan.arms}
    open_runs = [run for run in runs if run.state in ("running", "stopped", "queued")]
    left = sum((1 - run.share) * per_run[run.arm] for run in open_runs) / workers
    beyond = 0.0
    if not decision.complete:
        for arm in plan.arms:
            result = decision.results.get(arm.name)
            if result is None or not result.final:  # the baseline goes on while any technique does
                beyond += max(0, plan.spec.most - decision.needed[arm.name]) * per_run[arm.name]
    return left, left + beyond / workers
