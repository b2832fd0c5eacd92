"""How much the classes of a dataset differ in size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Largest class over smallest above which something should be tried about it.
IMBALANCED_FROM = 5.0

#: What can be tried, for people.
TO_TRY = "techniques to try: class_weights: balanced, sampler: balanced, loss: focal"


@dataclass(frozen=True)
class ClassImbalance:
    """The largest and the smallest class.

    Attributes
    ----------
    largest, smallest : str
        Their names.
    most, fewest : int
        Their images, 1 or more.
    """

    largest: str
    most: int
    smallest: str
    fewest: int

    @property
    def ratio(self) -> float:
        """How many times as many images the largest has, 1 or more."""
        return self.most / self.fewest

    @property
    def text(self) -> str:
        """What there is, for people."""
        return (
            f"class {self.largest} has {self.ratio:.1f} times the images of class {self.smallest} "
            f"({self.most:,} to {self.fewest:,})"
        )


def class_imbalance(counts: NDArray[np.int64], class_names: Sequence[str]) -> ClassImbalance | None:
    """Compare the largest class with the smallest that has any image.

    Parameters
    ----------
    counts : ndarray of int64, shape (K,)
        Images of each class.
    class_names : sequence of str, K of them

    Returns
    -------
    ClassImbalance or None
        None where there are no images.
    """
    if not counts.any():
        return None
    low, high = int(np.where(counts > 0, counts, counts.max()).argmin()), int(counts.argmax())
    return ClassImbalance(class_names[high], int(counts[high]), class_names[low], int(counts[low]))
