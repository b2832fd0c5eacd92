"""Scores that several layers report about predictions, written once so that they agree everywhere."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The k of top-k accuracy.
TOP_K = (3, 5)

#: Probabilities are not taken to be smaller than this in a logarithm: the resolution of float32.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)


def log_losses(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``-log p(true class)`` of each image.

    Parameters
    ----------
    probabilities : ndarray of float, shape (N, K)
        From 0 to 1. Those below `SMALLEST_PROBABILITY` count as that: one rounding to zero is no infinite loss.
    labels : ndarray of int64, shape (N,)
        True classes, ``0`` to ``K - 1``.

    Returns
    -------
    ndarray of float64, shape (N,)
        In nats, 0 to 15.9; NaN where the probability is NaN.
    """
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: NDArray[np.float64] = -np.log(np.clip(of_truth, SMALLEST_PROBABILITY, 1.0))
    return losses


def macro_f1_of_counts(
    support: NDArray[Any], claims: NDArray[Any], hits: NDArray[Any]
) -> NDArray[np.float64]:
    """Return F1, averaged over the classes that are present.

    A class that is present and never predicted counts as 0; a class without images is left out.

    Parameters
    ----------
    support, claims, hits : ndarray of counts, shape (K,) or (K, R)
        Images of each class, predictions of it, and those that are right; R columns for R resamples. At least one
        class is present in each column.

    Returns
    -------
    ndarray of float64, shape () or (R,)
        From 0 to 1.

    References
    ----------
    Opitz, Burst: Macro F1 and Macro F1, arXiv 1911.03347, the mean of classes' F1.
    """
    # 2 hits / (support + claims) is the harmonic mean of precision and recall, defined without either.
    f1 = 2 * hits / np.maximum(support + claims, 1)
    return _mean_of_present(f1, support)


def macro_precision_of_counts(
    support: NDArray[Any], claims: NDArray[Any], hits: NDArray[Any]
) -> NDArray[np.float64]:
    """Return precision, averaged over the classes that are present; arguments and shapes as `macro_f1_of_counts`.

    A class that is present and never predicted counts as 0.
    """
    return _mean_of_present(hits / np.maximum(claims, 1), support)


def macro_recall_of_counts(
    support: NDArray[Any], claims: NDArray[Any], hits: NDArray[Any]
) -> NDArray[np.float64]:
    """Return recall, averaged over the classes that are present; arguments and shapes as `macro_f1_of_counts`."""
    return _mean_of_present(hits / np.maximum(support, 1), support)


def _mean_of_present(values: NDArray[Any], support: NDArray[Any]) -> NDArray[np.float64]:
    """Average over classes with images; the others have 0 in `values`, for they have no hits."""
    mean: NDArray[np.float64] = np.asarray(values.sum(axis=0) / (support > 0).sum(axis=0))
    return mean


def wilson_interval(rate: NDArray[Any], count: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the 95% interval of a rate seen in `count` images, shape (B,) each.

    References
    ----------
    Wilson: Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    z = 1.959964
    middle = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return middle - half, middle + half


def top_k_hits(probabilities: NDArray[np.float64], labels: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """Say for each image whether its class is among the `k` most probable, shape (N,).

    Equal probabilities rank by class index, as ``argmax`` has it, so that ``k = 1`` is accuracy.
    """
    first = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    hits: NDArray[np.bool_] = (first == labels[:, None]).any(axis=1)
    return hits


def useful_k(classes: int) -> list[int]:
    """Return those of `TOP_K` that can fail with so many classes."""
    return [k for k in TOP_K if k < classes]
