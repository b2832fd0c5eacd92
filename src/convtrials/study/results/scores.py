"""What the ended runs of a study say: scores of every test image, read once, and the decision they give."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import StudyError
from convtrials.data.dataset import Dataset
from convtrials.evaluation.guessing import NOT_LEARNED, Answers, against_guessing
from convtrials.evaluation.predictions import Predictions
from convtrials.statistics.decide import decide
from convtrials.statistics.design import BASELINE, DIVERGED, FAILED, Design, RunScores
from convtrials.statistics.interval import mean_interval
from convtrials.statistics.result import Decision
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan
from convtrials.study.results.metrics import secondary_metrics, verdict_metric
from convtrials.study.schemas import Failures, Piece, StudyDataset, StudyExecution
from convtrials.training.run_directory import Run


class JudgedStudy(Protocol):
    """What judging needs of a study: a study directory has it, and so has a published copy."""

    @property
    def dataset(self) -> StudyDataset:
        """What data the study is on."""

    @property
    def execution(self) -> StudyExecution:
        """How every run is computed."""

    @property
    def merged(self) -> tuple[Piece, ...]:
        """The studies that were merged into this one."""

    def run(self, arm: Arm, position: int) -> Run:
        """Return the run of an arm with the study's seed number ``position``, from 0."""

    def failures(self, run: Run) -> Failures:
        """Return what went wrong with a run; nothing, where nothing did."""

    def ended_runs(self) -> list[Run]:
        """Return the runs of any plan that have a result."""

    def wall_seconds(self) -> float | None:
        """Return how long the study took by the clock, if known."""


class Outcomes:
    """Reads each ended run of a study once.

    Parameters
    ----------
    units : ndarray of int64, shape (N,), or None
        The sampled group of each test image, where the dataset knows writers, patients or the like.
    """

    def __init__(self, study: JudgedStudy, plan: Plan, units: NDArray[np.int64] | None) -> None:
        self._study, self._plan = study, plan
        self.units = units
        self.design = Design(plan.spec.margin, plan.looks, plan.spec.alpha, units)
        self._known: dict[Path, RunScores] = {}
        self._answers: dict[Path, Answers] = {}
        self._learned: dict[Path, bool] = {}
        self._made_from: dict[str, tuple[Path, dict[str, object]]] = {}
        self._decision: Decision | None = None
        self._decided_for: tuple[tuple[int, int], ...] | None = None
        self._secondary: dict[Path, dict[str, float | None]] = {}
        self._test: tuple[Path, NDArray[np.int64], NDArray[np.int64]] | None = None

    def ended(self, arm: Arm) -> list[RunScores]:
        """Return the runs of an arm that have ended, from its first seed on, up to the first that has not."""
        found: list[RunScores] = []
        for position in range(self._plan.spec.most):
            run = self._study.run(arm, position)
            if run.folder not in self._known and run.finished:
                self._check_identity(arm, position, run)
            scores = self._scores(run)
            if scores is None:
                break
            found.append(scores)
        return found

    def decide(self) -> Decision:
        """Return the verdicts that the ended runs give, and which runs are needed next."""
        ended = {arm.name: self.ended(arm) for arm in self._plan.arms}
        # Asked for every second; only a run that has ended since changes the answer.
        key = tuple((len(runs), sum(run is FAILED for run in runs)) for runs in ended.values())
        if key != self._decided_for:
            self._decision = decide(ended.pop(BASELINE), ended, self.design)
            self._decided_for = key
        assert self._decision is not None
        return self._decision

    def secondary_metrics(self, run: Run) -> dict[str, float | None]:
        """Return the metrics without a verdict, of one run that finished well."""
        if run.folder not in self._secondary:
            self._secondary[run.folder] = secondary_metrics(run.read_predictions())
        return self._secondary[run.folder]

    def status(self, run: Run) -> str:
        """Say how a run ended: ``finished``, ``diverged``, ``failed``, or ``missing``."""
        scores = self._scores(run)
        if scores is None:
            return "missing"
        return "diverged" if scores is DIVERGED else "failed" if scores is FAILED else "finished"

    def score(self, run: Run) -> float | None:
        """Return the mean score of a run, higher is better; None where it has none."""
        scores = self._scores(run)
        return float(scores.mean()) if isinstance(scores, np.ndarray) else None

    def answers(self, run: Run) -> Answers | None:
        """Return how often a run answered each class; None where it did not finish well."""
        self._scores(run)
        return self._answers.get(run.folder)

    def learned(self, run: Run) -> bool:
        """Return whether a run's answers are better than guesses, as far as there are any."""
        answers = self.answers(run)
        if answers is not None and run.folder not in self._learned:
            self._learned[run.folder] = against_guessing(answers).kind not in NOT_LEARNED
        return self._learned.get(run.folder, True)

    def mean_interval(self, runs: Sequence[Run]) -> tuple[float, float] | None:
        """Return the 95% interval of the mean score of an arm's runs; None where a run is lost or there are too few."""
        scores = [self._scores(run) for run in runs]
        vectors = [one for one in scores if isinstance(one, np.ndarray)]
        return mean_interval(vectors, units=self.units) if len(vectors) == len(scores) else None

    def _scores(self, run: Run) -> RunScores | None:
        known = self._known.get(run.folder)
        if known is not None:
            return known
        if not run.finished:
            # Not kept: a run that was given up may be tried again.
            return FAILED if self._study.failures(run).given_up else None
        if run.result.diverged:
            self._known[run.folder] = DIVERGED
        else:
            self._known[run.folder], self._answers[run.folder] = self._read(run)
        return self._known[run.folder]

    def _read(self, run: Run) -> tuple[NDArray[np.float64], Answers]:
        """Return the score of each test image, and the answers, of a run that finished well."""
        predictions = run.read_predictions()
        self._check_same_test(run, predictions)
        classes = predictions.probabilities.shape[1]
        return (
            verdict_metric(self._plan.spec.metric).scores(predictions),
            Answers.of(predictions.labels, predictions.predicted, classes),
        )

    def _check_identity(self, arm: Arm, position: int, run: Run) -> None:
        """Refuse a run of something else, and runs of one arm that were made from other code or other weights."""
        identity = run.identity.to_dict()
        wanted = (arm.seed_offset + position, arm.recipe.fingerprint())
        if (identity.pop("seed", None), identity.pop("recipe", None)) != wanted:
            raise StudyError(f"{run.folder}: holds a run of another recipe or seed than the plan's")
        first, before = self._made_from.setdefault(arm.name, (run.folder, identity))
        different = [key for key in {**before, **identity} if before.get(key) != identity.get(key)]
        if different:
            raise StudyError(
                f"{run.folder}: was made from another {different[0]} than {first}\n"
                "runs of one arm must be alike; remove those of the older state, or choose another --out"
            )

    def _check_same_test(self, run: Run, predictions: Predictions) -> None:
        """Pairing needs the same test images in the same order in every run."""
        if self._test is None:
            self._test = (run.folder, predictions.indices, predictions.labels)
        first, indices, labels = self._test
        if not (np.array_equal(indices, predictions.indices) and np.array_equal(labels, predictions.labels)):
            raise StudyError(f"{run.folder}: predictions are of other test images than those of {first}")


def units_of_test(dataset: Dataset) -> NDArray[np.int64] | None:
    """Return the sampled group of each test image; None where images themselves are the sample."""
    if dataset.groups is None or not dataset.groups_are_sampled:
        return None
    return dataset.groups[dataset.indices("test")].astype(np.int64)
