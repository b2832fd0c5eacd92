"""Is the right class among the first k answers?"""

import numpy as np
from numpy.typing import NDArray

#: The k that are told.
TOP_K = (3, 5)


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
