"""How much of the error is the images' own: classes that look alike, and images that every run gets wrong.

A classifier is asked for the one true name of each image. Some images do not hold it: a handwritten O is often a 0,
and a few labels are wrong. No recipe can win those, so the accuracy that can be reached lies below one. Nobody knows
how far below; what can be measured are signs of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import RunError

#: Sets of classes that a person might not tell apart either, as class names.
CHARACTER_GROUPS = (("0", "O"), ("1", "I", "L"), ("5", "S"), ("2", "Z"))


def group_of_classes(class_names: Sequence[str], groups: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Return the number of each class after merging: equal for classes of one group.

    Parameters
    ----------
    groups : sequence of sequences of str
        Each class in one group at most; classes in none stay alone.

    Returns
    -------
    ndarray of int64, shape (K,)

    Raises
    ------
    RunError
        A name that is no class, or that stands in two groups.

    Examples
    --------
    >>> group_of_classes(["0", "1", "O"], [["0", "O"]]).tolist()
    [0, 1, 0]
    """
    places = {name: number for number, name in enumerate(class_names)}
    merged = np.arange(len(class_names))
    seen: set[str] = set()
    for group in groups:
        for name in group:
            if name not in places or name in seen:
                raise RunError(
                    f"group {', '.join(group)}: {name!r:.40} "
                    + ("stands in two groups" if name in seen else "is not a class of this dataset")
                )
            seen.add(name)
            merged[places[name]] = places[group[0]]
    return merged


@dataclass(frozen=True)
class Merged:
    """What is left of the error when confusions inside groups do not count as errors.

    Attributes
    ----------
    accuracy : float
        Mean accuracy of the runs as they are, 0 to 1.
    merged_accuracy : float
        The same with the classes of a group counted as one.
    errors_inside : float
        Share of all errors that lie inside groups, 0 to 1; 0 where there is no error.
    """

    accuracy: float
    merged_accuracy: float
    errors_inside: float


def merge_groups(answers: NDArray[np.int64], labels: NDArray[np.int64], merged: NDArray[np.int64]) -> Merged:
    """Compare accuracy with and without the confusions inside groups.

    Parameters
    ----------
    answers : ndarray of int, shape (R, N)
        The class that each of R runs gives each of N images.
    labels : ndarray of int, shape (N,)
    merged : ndarray of int, shape (K,)
        From `group_of_classes`.
    """
    right = float((answers == labels).mean())
    forgiven = float((merged[answers] == merged[labels]).mean())
    return Merged(right, forgiven, (forgiven - right) / (1 - right) if right < 1 else 0.0)


def group_errors(
    answers: NDArray[np.int64], labels: NDArray[np.int64], merged: NDArray[np.int64]
) -> dict[int, float]:
    """Return the mean number of errors of a run inside each group of two classes or more, by the group's number."""
    inside = (answers != labels) & (merged[answers] == merged[labels])
    size = np.bincount(merged, minlength=len(merged))
    counts = np.bincount(np.broadcast_to(merged[labels], answers.shape)[inside], minlength=len(merged))
    return {int(group): float(counts[group] / len(answers)) for group in np.flatnonzero(size > 1)}


@dataclass(frozen=True)
class Agreement:
    """How far runs that were trained apart agree.

    Attributes
    ----------
    mean_accuracy : float
        Of a single run.
    vote_accuracy : float
        Of the class that most runs name (of equals, the one of the run that comes first).
    all_right : float
        Share of images that every run gets right.
    some_right : float
        Share that some get right and some wrong: decided by chance in training.
    none_right : float
        Share that no run gets right.
    same_wrong : float
        Share on which every run gives one and the same wrong answer: part of `none_right`.
    same_wrong_inside : float
        The part of `same_wrong` that lies inside groups of like classes.
    """

    runs: int
    mean_accuracy: float
    vote_accuracy: float
    all_right: float
    some_right: float
    none_right: float
    same_wrong: float
    same_wrong_inside: float


def agreement(answers: NDArray[np.int64], labels: NDArray[np.int64], merged: NDArray[np.int64]) -> Agreement:
    """Count on which images runs agree, rightly and wrongly.

    What every run gets wrong in the same way, other runs like them will as well, so 1 - `same_wrong` bounds what
    networks of this family can be hoped to reach on these images. The bound rises as more, and more different, runs
    are added: it is a sign, not a law.

    Parameters
    ----------
    answers : ndarray of int, shape (R, N)
        R at least 1.
    labels : ndarray of int, shape (N,)
    merged : ndarray of int, shape (K,)
        From `group_of_classes`.
    """
    right = answers == labels
    same_wrong = (answers == answers[0]).all(axis=0) & ~right[0]
    none_right = ~right.any(axis=0)
    all_right = right.all(axis=0)
    inside = same_wrong & (merged[answers[0]] == merged[labels])
    return Agreement(
        runs=len(answers),
        mean_accuracy=float(right.mean()),
        vote_accuracy=float((majority(answers, len(merged)) == labels).mean()),
        all_right=float(all_right.mean()),
        some_right=float((~all_right & ~none_right).mean()),
        none_right=float(none_right.mean()),
        same_wrong=float(same_wrong.mean()),
        same_wrong_inside=float(inside.mean()),
    )


def majority(answers: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return the class that most runs name, shape (N,); of equals, the one whose first run comes first.

    Parameters
    ----------
    answers : ndarray of int, shape (R, N)
    classes : int
        K; answers go from 0 to K - 1.
    """
    images = np.arange(answers.shape[1])
    votes = np.zeros((answers.shape[1], classes), dtype=np.int64)
    for answer in answers:
        votes[images, answer] += 1
    strongest = votes == votes.max(axis=1, keepdims=True)
    first = strongest[images, answers].argmax(axis=0)  # the first run whose answer is among the strongest
    winners: NDArray[np.int64] = answers[first, images]
    return winners
