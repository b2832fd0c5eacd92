"""Which images of the test split a deployed network is checked on."""

import numpy as np
from numpy.typing import NDArray

from convtrials.data.dataset import Dataset
from convtrials.deploy.needs import DeployError


def held_out_positions(dataset: Dataset, most: int | None = None) -> NDArray[np.int64]:
    """Return positions of test images, ascending: all, or `most` of them evenly spaced.

    Parameters
    ----------
    dataset : Dataset
    most : int, optional
        1 or more.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    DeployError
        If the test split is empty.
    """
    positions = dataset.indices("test")
    if len(positions) == 0:
        raise DeployError(f"dataset {dataset.name}: no test images")
    if most is None or most >= len(positions):
        return positions
    return positions[np.arange(most) * len(positions) // most]
