"""The runs of a study that have ended, as the statistics ask for them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import StudyError
from convtrials.statistics.design import BASELINE, DIVERGED, FAILED, Lost, RunScores
from convtrials.statistics.moments import Moments, moments_of


class Runs(Protocol):
    """What is asked of runs; `ScoredRuns` in the product, sums alone in the benchmark."""

    @property
    def techniques(self) -> tuple[str, ...]:
        """Names of the techniques, in order."""

    def ended(self, arm: str) -> int:
        """Return how many runs of an arm have ended, counted from its first seed without a gap."""

    def lost(self, arm: str, seeds: int) -> Lost | None:
        """Return whether one of the arm's first runs is lost; a diverged one tells more than a failed one."""

    def moments(self, seeds: Mapping[str, int]) -> Moments:
        """Return the sums over the first runs of some arms, the baseline first."""

    def mean(self, arm: str, seeds: int) -> float | None:
        """Return the mean score of those of the arm's first runs that have one."""


class ScoredRuns:
    """Runs with a score for every test image.

    Parameters
    ----------
    baseline, techniques : sequences of run scores
        As for `decide`.
    units : ndarray of int64, shape (N,), or None
        Sampled group of each test image.
    """

    def __init__(
        self,
        baseline: Sequence[RunScores],
        techniques: Mapping[str, Sequence[RunScores]],
        units: NDArray[np.int64] | None,
    ) -> None:
        if BASELINE in techniques:
            raise StudyError(f"a technique is called {BASELINE!r}; that name is taken")
        self._arms: dict[str, Sequence[RunScores]] = {BASELINE: baseline, **techniques}
        self._units = units
        self.techniques = tuple(techniques)
        self._check()

    def ended(self, arm: str) -> int:
        """Return how many runs of the arm have ended."""
        return len(self._arms[arm])

    def lost(self, arm: str, seeds: int) -> Lost | None:
        """Return whether one of the arm's first runs is lost."""
        runs = self._arms[arm][:seeds]
        return next((why for why in (DIVERGED, FAILED) if any(run is why for run in runs)), None)

    def moments(self, seeds: Mapping[str, int]) -> Moments:
        """Return the sums over the first runs of some arms."""
        return moments_of({arm: self._scores(arm, n) for arm, n in seeds.items()}, self._units)

    def mean(self, arm: str, seeds: int) -> float | None:
        """Return the mean score of those of the arm's first runs that have one."""
        scores = self._scores(arm, seeds)
        return float(np.mean([run.mean() for run in scores])) if scores else None

    def _scores(self, arm: str, seeds: int) -> list[NDArray[np.float64]]:
        return [run for run in self._arms[arm][:seeds] if not isinstance(run, Lost)]

    def _check(self) -> None:
        images = None if self._units is None else len(self._units)
        for arm, runs in self._arms.items():
            for number, run in enumerate(runs):
                if isinstance(run, Lost):
                    continue
                images = len(run) if images is None else images
                if run.shape != (images,):
                    raise StudyError(
                        f"{arm}, run {number}: {run.shape} scores; {images} test images are expected"
                    )
                if not np.isfinite(run).all():
                    raise StudyError(f"{arm}, run {number}: a score is not a finite number")
        units = images if self._units is None else len(np.unique(self._units))
        if units is not None and units < 2:
            raise StudyError("a verdict needs two test images, or two groups of them, at least")
