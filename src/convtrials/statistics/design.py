"""What a study asks of its statistics: the margin, the looks, the error rate, and what a lost run is."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import StudyError

#: The baseline's name among the arms.
BASELINE = "baseline"

#: Seeds at which a sequential study may look, between its fewest and its most.
LOOKS = (3, 5, 7, 10, 15, 20, 30, 50, 70, 100)


class NoScores(Enum):
    """Why a run has no scores."""

    DIVERGED = "diverged"
    FAILED = "failed"


DIVERGED = NoScores.DIVERGED
FAILED = NoScores.FAILED

#: Scores of one run, shape (N,), one per test image, higher is better; or why there are none.
RunScores = NDArray[np.float64] | NoScores


@dataclass(frozen=True)
class Design:
    """The rules of a study's verdicts, fixed before its first run.

    Parameters
    ----------
    margin : float
        Differences smaller than this do not matter in practice; in the metric's unit, so 0.005 is half a point of
        accuracy.
    looks : tuple of int
        Seeds per arm at each look, ascending; one look is a fixed design.
    alpha : float
        Chance of any false "better" or "worse", over all techniques and looks.
    units : ndarray of int64, shape (N,), or None
        The sampled group (a writer) of each test image, any integers; None: images are sampled one by one.
    """

    margin: float
    looks: tuple[int, ...]
    alpha: float = 0.05
    units: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise StudyError(f"margin is {self.margin}; it must be above 0")
        if not self.looks or any(b <= a for a, b in zip((0, *self.looks), self.looks, strict=False)):
            raise StudyError(
                f"looks are {list(self.looks)}; they must be ascending numbers of seeds from 1 on"
            )
        if not 0 < self.alpha < 1:
            raise StudyError(f"alpha is {self.alpha}; it must lie between 0 and 1")


def looks_for(fewest: int, most: int) -> tuple[int, ...]:
    """Return the looks of a study with ``seeds: {min: fewest, max: most}``.

    The first is at `fewest`, the last at `most`; between them those of `LOOKS`.

    Examples
    --------
    >>> looks_for(3, 10)
    (3, 5, 7, 10)
    >>> looks_for(5, 5)
    (5,)
    """
    if not 1 <= fewest <= most:
        raise StudyError(f"seeds min {fewest}, max {most}; allowed is 1 <= min <= max")
    return tuple(sorted({fewest, most, *(n for n in LOOKS if fewest < n < most)}))
