"""From the scores of runs to the few sums on which verdicts rest.

Everything is computed arm by arm and pair by pair, in an order of its own, so that the numbers of two arms never
depend, not even in the last bit, on which other runs happen to have ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import StudyError
from convtrials.statistics.design import BASELINE, DIVERGED, FAILED, NoScores, RunScores


@dataclass(frozen=True)
class Moments:
    """Sums over the runs of some arms; A arms, the baseline first.

    Attributes
    ----------
    names : tuple of str
        The arms.
    seeds : ndarray of int64, shape (A,)
        Runs of each arm, at least 2.
    mean : ndarray, shape (A,)
        Mean score over runs and images.
    between : ndarray, shape (A,)
        Variance of runs' mean scores between seeds.
    noise : ndarray, shape (A,)
        The part of `between` that is there because seeds change which images are right: ``v / N``. It is known
        well, from N images, where `between` is known from a few seeds.
    sampling : ndarray, shape (A, A)
        Covariance of two arms' means over a new draw of test units, seeds' noise included.
    identical : ndarray of bool, shape (A,)
        Each run of the arm has exactly the scores of the baseline's run with the same seed.
    images, units : int
        N, and the number of sampled units, G (N where images are sampled one by one).
    """

    names: tuple[str, ...]
    seeds: NDArray[np.int64]
    mean: NDArray[np.float64]
    between: NDArray[np.float64]
    noise: NDArray[np.float64]
    sampling: NDArray[np.float64]
    identical: NDArray[np.bool_]
    images: int
    units: int


def moments_of(runs: Mapping[str, Sequence[NDArray[np.float64]]], units: NDArray[np.int64] | None) -> Moments:
    """Return the moments of `runs`, the baseline first; at least two runs per arm and two units.

    Scores are summed over each unit first. With ``z`` the unit sums less what the run's mean would give them, the
    covariance of two means over a new draw of units is ``G / (G - 1) / N**2 sum_g z_g z'_g``: the usual one of a mean
    where units are images, and that of a ratio of sums where units have unequal sizes (Cochran 1977, section 6.3).
    """
    of_unit = None if units is None else np.unique(units, return_inverse=True)[1].astype(np.int64)
    arms = [_Arm.of(np.stack(scores), of_unit) for scores in runs.values()]
    images = len(next(iter(runs.values()))[0])
    groups = arms[0].deviations.size
    scale = groups / (groups - 1) / images**2
    sampling = np.empty((len(arms), len(arms)))
    for i, one in enumerate(arms):
        for j, other in enumerate(arms[: i + 1]):
            sampling[i, j] = sampling[j, i] = scale * np.sum(one.deviations * other.deviations)
    first = next(iter(runs.values()))
    return Moments(
        names=tuple(runs),
        seeds=np.array([arm.seeds for arm in arms]),
        mean=np.array([arm.mean for arm in arms]),
        between=np.array([arm.between for arm in arms]),
        noise=np.array([scale * arm.noise for arm in arms]),
        sampling=sampling,
        identical=np.array([_identical(first, scores) for scores in runs.values()]),
        images=images,
        units=groups,
    )


@dataclass(frozen=True)
class _Arm:
    seeds: int
    mean: float
    between: float
    noise: float  # sum over seeds and units of squared interactions / (n - 1)
    deviations: NDArray[np.float64]  # (G,) unit sums of the arm's mean run, less size times the mean

    @staticmethod
    def of(scores: NDArray[np.float64], of_unit: NDArray[np.int64] | None) -> "_Arm":
        means = scores.mean(axis=1)
        centred = scores - means[:, None]
        if of_unit is not None:
            centred = np.stack([np.bincount(of_unit, weights=row) for row in centred])
        deviations = centred.mean(axis=0)
        noise = float(np.sum((centred - deviations) ** 2)) / (len(scores) - 1)
        return _Arm(len(scores), float(means.mean()), float(means.var(ddof=1)), noise, deviations)


def _identical(one: Sequence[NDArray[np.float64]], other: Sequence[NDArray[np.float64]]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class Runs(Protocol):
    """What is asked of runs; `ScoredRuns` in the product, sums alone in the benchmark."""

    @property
    def techniques(self) -> tuple[str, ...]:
        """Names of the techniques, in order."""

    def ended(self, arm: str) -> int:
        """Return how many runs of an arm have ended, counted from its first seed without a gap."""

    def failure(self, arm: str, seeds: int) -> NoScores | None:
        """Return whether one of the arm's first runs is lost; a diverged one counts before a failed one."""

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
            raise StudyError(f"a technique is called {BASELINE!r}; that name is reserved")
        self._arms: dict[str, Sequence[RunScores]] = {BASELINE: baseline, **techniques}
        self._units = units
        self.techniques = tuple(techniques)
        self._check()

    def ended(self, arm: str) -> int:
        """Return how many runs of the arm have ended."""
        return len(self._arms[arm])

    def failure(self, arm: str, seeds: int) -> NoScores | None:
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
        return [run for run in self._arms[arm][:seeds] if not isinstance(run, NoScores)]

    def _check(self) -> None:
        images = None if self._units is None else len(self._units)
        for arm, runs in self._arms.items():
            for number, run in enumerate(runs):
                if isinstance(run, NoScores):
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
            raise StudyError("a verdict needs at least two test images, or two groups of them")
