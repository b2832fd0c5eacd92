"""The order of an epoch that draws every class equally often."""

import numpy as np
from numpy.typing import NDArray

from convtrials.core.streams import stream_generator


def balanced_order(labels: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of an epoch that draws every class equally often.

    The epoch keeps its number of images: of n images and K classes each class gets n / K, rounded up or down, and who
    gets one more goes round from epoch to epoch. Within an epoch, no image comes a second time before each other of
    its class came once. A class that is larger than its share needs some epochs to come round: in these, too, no
    image comes a second time before each other came once.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        The class of each image. Classes without an image are not drawn.
    seed : int
        The run's seed.
    epoch : int
        From 0.

    Returns
    -------
    ndarray of int64, shape (n,)
        Places of images, ``0 .. n - 1``; images of small classes repeat. A function of (labels, seed, epoch).
    """
    n = len(labels)
    if not n:
        return np.empty(0, np.int64)
    classes, counts = np.unique(labels, return_counts=True)
    turns = stream_generator(seed, "sampler/turns").permutation(len(classes))
    own = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    drawn = []
    for label, places, turn in zip(classes.tolist(), own, turns.tolist(), strict=True):
        in_each = n // len(classes)
        together = -(-len(places) // in_each)  # epochs in which the class comes round
        first = epoch - epoch % together
        before, begin, end = (
            _draws_of_class(number * n, turn, len(classes)) for number in (first, epoch, epoch + 1)
        )
        permuted = stream_generator(seed, f"sampler/{label}", first).permutation(places)
        drawn.append(permuted[np.arange(begin - before, end - before) % len(places)])
    # Which class comes at which place; its images come there in turn.
    at = np.repeat(np.arange(len(classes)), [len(own) for own in drawn])
    at = stream_generator(seed, "sampler/order", epoch).permutation(at)
    order = np.empty(n, np.int64)
    order[np.argsort(at, kind="stable")] = np.concatenate(drawn)
    return order


def _draws_of_class(draws: int, turn: int, classes: int) -> int:
    """Count the draws of one class among the first so many, which all classes take in turns."""
    return (draws + classes - 1 - turn) // classes
