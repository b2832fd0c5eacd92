"""Bootstrap intervals for the headline numbers: how much would they move with other test images?

Test images are resampled with replacement and every number is computed again. Resampling is plain, not
stratified: a class keeps its expected, not its exact, number of images. That needs no assumption of how the split
was drawn, keeps its width for classes with one or two images (a stratified resample of one image never varies),
and is slightly wide where the split is exactly stratified. Where images come in sampled groups (writers), whole
groups are resampled.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from convtrials.core.streams import stream_generator
from convtrials.evaluation.calibration import expected_calibration_error
from convtrials.evaluation.calibration_interval import (
    calibrated_errors,
    calibration_error,
    calibration_interval,
)
from convtrials.evaluation.resampling import (
    Interval,
    Statistic,
    Weights,
    indicator,
    percentile_interval,
    resample_counts,
)
from convtrials.evaluation.scores import (
    log_losses,
    macro_f1_of_counts,
    macro_precision_of_counts,
    macro_recall_of_counts,
    top_k_hits,
    useful_k,
)

#: Images times resamples held at once: 2**21 doubles are 16 MiB.
CHUNK_CELLS = 2**21

#: Images times classes times resamples spent on the macro AUC: some seconds.
RANKING_WORK = 2 * 10**9

#: Percentiles of fewer resamples than this say too little.
FEWEST_RESAMPLES = 200


def weighted_mean(values: NDArray[np.float64]) -> Statistic:
    """Return the statistic "mean of `values` (N,)"."""
    return lambda weights: (values @ weights) / weights.sum(axis=0)


#: Averages over the classes that are present, by the name of their interval.
MACRO_AVERAGES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "macro_precision": macro_precision_of_counts,
    "macro_recall": macro_recall_of_counts,
    "macro_f1": macro_f1_of_counts,
}


def macro_average(
    name: str, labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> Statistic:
    """Return the statistic of that name in `MACRO_AVERAGES`."""
    of_counts = MACRO_AVERAGES[name]
    is_label, is_predicted = indicator(labels, classes), indicator(predicted, classes)
    is_hit = indicator(labels, classes, (labels == predicted).astype(np.float64))

    def statistic(weights: Weights) -> NDArray[np.float64]:
        support, claims, hits = is_label @ weights, is_predicted @ weights, is_hit @ weights
        return of_counts(support, claims, hits)

    return statistic


def macro_auc(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Statistic:
    """Return the statistic "area under the ROC curve, one-vs-rest, averaged over classes".

    The area is the chance that an image of the class scores above one outside it, ties counting half
    (Mann-Whitney).
    A class without images, or without others, in a resample is left out of that resample's average.
    """
    ranked = [
        _RankedClass.of(labels == k, probabilities[:, k])
        for k in range(probabilities.shape[1])
        if 0 < (labels == k).sum() < len(labels)
    ]

    def statistic(weights: Weights) -> NDArray[np.float64]:
        areas = np.array([one.area(weights) for one in ranked])
        known = ~np.isnan(areas)
        with np.errstate(invalid="ignore"):
            mean: NDArray[np.float64] = np.where(known, areas, 0).sum(axis=0) / known.sum(axis=0)
        return mean

    return statistic


@dataclass(frozen=True, eq=False)
class _RankedClass:
    """Scores of one class, sorted once for all resamples.

    The scores of the class's own images cut all others into segments; a resample needs only their sums.
    """

    members: NDArray[np.intp]
    segments: csr_matrix  # sums the others by segment
    below: NDArray[np.intp]  # for each member, how many segments score less ...
    not_above: NDArray[np.intp]  # ... or no more

    @classmethod
    def of(cls, is_member: NDArray[np.bool_], scores: NDArray[np.float64]) -> "_RankedClass":
        members, others = np.flatnonzero(is_member), np.flatnonzero(~is_member)
        cuts = np.unique(scores[members])
        # Segment 2c lies below cut c and above the one before, segment 2c + 1 is level with cut c.
        left = np.searchsorted(cuts, scores[others], side="left")
        level = np.searchsorted(cuts, scores[others], side="right") - left
        shape = (2 * len(cuts) + 1, len(scores))
        segments = csr_matrix((np.ones(len(others)), (2 * left + level, others)), shape=shape)
        below = 2 * np.searchsorted(cuts, scores[members]) + 1
        return cls(members, segments, below, below + 1)

    def area(self, weights: Weights) -> NDArray[np.float64]:
        sums = self.segments @ weights
        passed = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(sums, axis=0)])
        own = weights[self.members]
        wins = (own * (passed[self.below] + passed[self.not_above])).sum(axis=0) / 2
        with np.errstate(invalid="ignore"):
            value: NDArray[np.float64] = wins / (own.sum(axis=0) * passed[-1])
        return value


def bootstrap_intervals(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    seed: int = 0,
    resamples: int = 1000,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, Interval | None]:
    """Return 95% intervals for the headline numbers.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (N, K)
        Rows sum to one.
    labels : ndarray of int64, shape (N,)
        True classes.
    seed : int
        The same seed gives the same intervals; the stream is ``"bootstrap"``.
    resamples : int
        R. The macro AUC uses fewer where N * K * R exceeds `RANKING_WORK`.
    groups : ndarray of int64, shape (N,), or None
        Sampled groups of the images: whole groups are then resampled.

    Returns
    -------
    dict of str to Interval or None
        ``accuracy``, ``top_3``, ``top_5``, ``macro_precision``, ``macro_recall``, ``macro_f1``, ``macro_auc``,
        ``log_loss`` and ``expected_calibration_error``. Percentile intervals (Efron and Tibshirani 1993, chapter 13);
        for the last see `calibration_interval`. None where one cannot be had: too many images times classes for the
        macro AUC, or a single class in the split.
    """
    predicted = probabilities.argmax(axis=1)
    correct = predicted == labels
    confidence = probabilities.max(axis=1)
    statistics: dict[str, Statistic] = {
        "accuracy": weighted_mean(correct.astype(np.float64)),
        **{name: macro_average(name, labels, predicted, probabilities.shape[1]) for name in MACRO_AVERAGES},
        "log_loss": weighted_mean(log_losses(probabilities, labels)),
        "expected_calibration_error": calibration_error(confidence, correct),
    }
    for k in useful_k(probabilities.shape[1]):
        statistics[f"top_{k}"] = weighted_mean(top_k_hits(probabilities, labels, k).astype(np.float64))
    counts = dict.fromkeys(statistics, resamples)
    ranking = min(resamples, RANKING_WORK // probabilities.size)
    if len(np.unique(labels)) > 1 and ranking >= min(resamples, FEWEST_RESAMPLES):
        statistics["macro_auc"] = macro_auc(probabilities, labels)
        counts["macro_auc"] = ranking
    draws = _draw(statistics, counts, len(labels), seed, groups)
    intervals: dict[str, Interval | None] = {
        name: percentile_interval(values) for name, values in draws.items()
    }
    # Chunks of resamples use the steps from 0 on; step -1 is free.
    generator = stream_generator(seed, "bootstrap", -1)
    intervals["expected_calibration_error"] = calibration_interval(
        expected_calibration_error(confidence, correct),
        draws["expected_calibration_error"],
        calibrated_errors(confidence, correct, resamples, generator, groups),
    )
    return {**intervals, "macro_auc": intervals.get("macro_auc")}


def _draw(
    statistics: dict[str, Statistic],
    counts: dict[str, int],
    images: int,
    seed: int,
    groups: NDArray[np.int64] | None,
) -> dict[str, NDArray[np.float64]]:
    """Compute every statistic on its number of resamples, a chunk of resamples at a time."""
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    # 64 columns a chunk at most: then the sums of one class stay in the processor's cache.
    chunk = int(np.clip(CHUNK_CELLS // images, 1, 64))
    total = max(counts.values())
    for number, start in enumerate(range(0, total, chunk)):
        width = min(chunk, total - start)
        weights = resample_counts(stream_generator(seed, "bootstrap", number), images, width, groups)
        for name, statistic in statistics.items():
            wanted = min(width, counts[name] - start)
            if wanted > 0:
                parts[name].append(statistic(weights[:, :wanted]))
    drawn = {name: np.concatenate(values) for name, values in parts.items()}
    # A resample of very few images may hold a single class: it says nothing of rankings.
    known = {name: values[~np.isnan(values)] for name, values in drawn.items()}
    return {name: values for name, values in known.items() if len(values)}
