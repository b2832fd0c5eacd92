"""Is a run better than guessing? Decided from counts of its answers to the test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: "Better than guessing" is claimed where guessing would do as well with at most this probability.
LEVEL = 0.01

#: Of the images that guessing gets wrong, a run that gets fewer right than this is hardly better, however many images
#: there are: on 10,000 of them half a point is beyond chance, and still nothing learned.
LITTLE = 0.02

#: A run is said to have learned nothing only where the test images leave no room for one that gets this share right.
MUCH = 0.2

#: A run that gives this share of its answers to one class answers one class.
ONE_CLASS = 0.99

#: From this macro AUC on (beyond chance), the probabilities hold something that the answers do not show.
RANKS = 0.6

Kind = Literal["one_class", "at_chance", "accuracy_misleads", "test_set_too_small"]

#: The kinds that say that a run's answers are worth nothing.
NOT_LEARNED: tuple[Kind, ...] = ("one_class", "at_chance")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a run answered to the images of a split, counted.

    Attributes
    ----------
    support, claims, hits : ndarray of int64, shape (K,)
        Images of each class, answers with it, and those of them that are right.
    """

    support: NDArray[np.int64]
    claims: NDArray[np.int64]
    hits: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[Any], predicted: NDArray[Any], classes: int) -> Answers:
        """Count true and predicted classes, each of shape (N,) and from 0 to ``classes - 1``."""
        which = (labels, predicted, labels[labels == predicted])
        return cls(*(np.bincount(one, minlength=classes).astype(np.int64) for one in which))


@dataclass(frozen=True)
class Standing:
    """How a run stands against guessing.

    Attributes
    ----------
    kind : str or None
        ``one_class``: it answers (nearly) every image with one class. ``at_chance``: its answers are no better than
        guesses. ``accuracy_misleads``: its accuracy is that of answering the largest class, though its answers do
        depend on the image. ``test_set_too_small``: too few images to say. None: it is better than guessing.
    guessed : int
        The class with most images.
    guessed_right : int
        Images that always answering it gets right.
    p_value : float
        Chance that guesses get as many right: one-sided exact binomial test against the largest class's share.
    kappa : float
        Cohen's kappa: agreement beyond that of answers of the same classes given at random; 0 is chance, 1 perfect.
    answer : int
        The class most often answered.
    answers_alike : int
        How often.
    ranks : bool
        Whether the probabilities put images of a class first beyond chance, as far as the macro AUC was given.
    """

    kind: Kind | None
    images: int
    right: int
    guessed: int
    guessed_right: int
    p_value: float
    kappa: float
    answer: int
    answers_alike: int
    ranks: bool

    @property
    def accuracy(self) -> float:
        """Share of the images that are right."""
        return self.right / self.images

    @property
    def guessing(self) -> float:
        """Share that always answering the largest class gets right."""
        return self.guessed_right / self.images


def against_guessing(answers: Answers, macro_auc: float | None = None) -> Standing:
    """Say how a run stands against guessing.

    The null is the best that anyone can do who never looks at an image: always answering the largest class. Answers
    that have nothing to do with the image, whatever their shares, are right at most as often on average, and in the
    upper tail at most as often as the binomial of the test says (Hoeffding).

    Parameters
    ----------
    answers : Answers
        Of one image at least.
    macro_auc : float or None
        Where it is known, `Standing.ranks` is decided by it.

    References
    ----------
    Hoeffding: On the distribution of the number of successes in independent trials, 1956.
    """
    images, right = int(answers.support.sum()), int(answers.hits.sum())
    guessed, answer = int(answers.support.argmax()), int(answers.claims.argmax())
    guessed_right, alike = int(answers.support[guessed]), int(answers.claims[answer])
    # How often answers of these shares, dealt out at random, are right.
    by_luck = float(answers.support @ answers.claims) / images**2
    p_value = chance_of(right, images, guessed_right / images)
    accuracy = right / images
    return Standing(
        kind=_kind(answers, p_value, accuracy, guessed_right / images, by_luck),
        images=images,
        right=right,
        guessed=guessed,
        guessed_right=guessed_right,
        p_value=p_value,
        kappa=_beyond(accuracy, by_luck),
        answer=answer,
        answers_alike=alike,
        ranks=macro_auc is not None and _ranks(answers.support, macro_auc),
    )


def chance_of(right: int, images: int, share: float) -> float:
    """Return how likely `right` or more of `images` are right where each is with probability `share`."""
    from scipy.stats import binom

    return float(binom.sf(right - 1, images, share))


def _kind(answers: Answers, p_value: float, accuracy: float, guessing: float, by_luck: float) -> Kind | None:
    images, right = int(answers.support.sum()), int(answers.hits.sum())
    if (
        guessing == 1.0
    ):  # a single class: nothing can be better than guessing, and nothing is learned about the run
        return None
    if p_value <= LEVEL and _beyond(accuracy, guessing) >= LITTLE:
        return None
    if chance_of(right, images, by_luck) <= LEVEL and _beyond(accuracy, by_luck) >= LITTLE:
        return "accuracy_misleads"
    answer = int(answers.claims.argmax())
    if answers.claims[answer] >= ONE_CLASS * images:
        # A run that knows half of the other images misses all of so few by chance.
        others = images - int(answers.support[answer])
        return "one_class" if 0.5**others <= LEVEL else "test_set_too_small"
    return "at_chance" if _beyond(_most(right, images), guessing) <= MUCH else "test_set_too_small"


def _beyond(accuracy: float, chance: float) -> float:
    """Return how much of the way from chance to perfect an accuracy goes."""
    return (accuracy - chance) / (1 - chance) if chance < 1 else 0.0


def _most(right: int, images: int) -> float:
    """Return the upper end of the one-sided interval of an accuracy, exact, at `LEVEL`."""
    from scipy.stats import beta

    return 1.0 if right == images else float(beta.isf(LEVEL, right + 1, images - right))


def _ranks(support: NDArray[np.int64], macro_auc: float) -> bool:
    """Return whether a macro AUC is beyond chance, and by enough to speak of it.

    Each class's AUC has the variance of a Mann-Whitney statistic under the null; as classes share their images, the
    standard errors are averaged, as if all were fully correlated.
    """
    from scipy.stats import norm

    images = int(support.sum())
    own = support[(support > 0) & (support < images)]
    if not len(own):
        return False
    error = float(np.sqrt((images + 1) / (12 * own * (images - own))).mean())
    return macro_auc >= RANKS and macro_auc - 0.5 > float(norm.isf(LEVEL)) * error
