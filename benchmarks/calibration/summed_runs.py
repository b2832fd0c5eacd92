"""Runs of a simulated study reduced to their cross products: all that verdicts rest on, a thousand times faster.

``tests/statistics/test_statistics_simulated.py`` holds them against `convtrials.statistics.moments.ScoredRuns`.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.simulated_studies import Study
from convtrials.statistics.design import BASELINE, NoScores
from convtrials.statistics.moments import Moments


class SummedRuns:
    """The runs of some arms of a simulated study on its first images.

    Parameters
    ----------
    study : Study
        The simulated study.
    images : int
        How many of its images are the test set.
    writers_known : bool
        Whether writers, where there are any, are the sampling unit.
    """

    def __init__(self, study: Study, images: int, writers_known: bool = True) -> None:
        arms, self.seeds, _ = study.scores.shape
        scores = study.scores[:, :, :images].reshape(arms * self.seeds, images)
        writers = study.writers[:images] if study.writers is not None and writers_known else None
        self.images, self.units = images, images if writers is None else int(writers[-1]) + 1
        self.means = scores.mean(axis=1, dtype=np.float64)
        # Counts of right images are exact in float32; losses are not.
        kind = np.float32 if scores.dtype == bool and writers is None else np.float64
        values = scores.astype(kind)
        sizes = np.full(images, 1.0)
        if writers is not None:
            starts = np.flatnonzero(np.diff(writers, prepend=-1))
            values = np.add.reduceat(values, starts, axis=1)
            sizes = np.diff(starts, append=images).astype(np.float64)
        if kind is np.float64:
            values -= self.means[:, None] * sizes
            products = values @ values.T
        else:
            products = (values @ values.T).astype(np.float64) - images * np.outer(self.means, self.means)
        self.products = products * (self.units / (self.units - 1) / images**2)
        self.of_arm = np.arange(arms * self.seeds).reshape(arms, self.seeds)
        self.choose(range(1, arms))

    def choose(self, techniques: "range | list[int]") -> "SummedRuns":
        """Keep only these techniques (arm numbers); return itself."""
        self._number = {BASELINE: 0} | {f"technique {t}": t for t in techniques}
        return self

    @property
    def techniques(self) -> tuple[str, ...]:
        return tuple(self._number)[1:]

    def ended(self, arm: str) -> int:
        return self.seeds

    def failure(self, arm: str, seeds: int) -> NoScores | None:
        return None

    def mean(self, arm: str, seeds: int) -> float | None:
        return float(self.means[self.of_arm[self._number[arm], :seeds]].mean())

    def moments(self, seeds: Mapping[str, int]) -> Moments:
        """Return the sums over the first runs of some arms."""
        counts = np.array(list(seeds.values()))
        weights = np.zeros((len(seeds), len(self.means)))
        for row, (arm, count) in enumerate(seeds.items()):
            weights[row, self.of_arm[self._number[arm], :count]] = 1 / count
        mean = weights @ self.means
        between = (weights @ self.means**2 - mean**2) * counts / (counts - 1)
        sampling = weights @ self.products @ weights.T
        noise = (weights @ np.diag(self.products) - np.diag(sampling)) * counts / (counts - 1)
        return Moments(
            names=tuple(seeds),
            seeds=counts,
            mean=mean,
            between=np.maximum(0, between),
            noise=np.maximum(0, noise),
            sampling=sampling,
            identical=np.zeros(len(seeds), dtype=bool),
            images=self.images,
            units=self.units,
        )

    def scores_of_seeds(self, seeds: int) -> NDArray[np.float64]:
        """Return runs' mean scores, shape (1 + techniques, seeds): what tests over seeds alone look at."""
        return self.means[self.of_arm[list(self._number.values()), :seeds]]

    def single_run_variance(self, technique: int) -> float:
        """Return the image variance of the difference between first runs."""
        a, b = self.of_arm[technique, 0], self.of_arm[0, 0]
        return float(self.products[a, a] + self.products[b, b] - 2 * self.products[a, b])
