"""Which images a deployed network is calibrated and checked on: of validation and of test, never one for the other."""

import numpy as np
from numpy.typing import NDArray

from convtrials.core.streams import stream_generator
from convtrials.data.dataset import Dataset
from convtrials.data.rows import rows_of
from convtrials.deploy.extra import DeployError

#: Enough to see the range of every layer; more hardly move it.
MOST_CALIBRATION_IMAGES = 512


def calibration_images(dataset: Dataset, most: int = MOST_CALIBRATION_IMAGES) -> NDArray[np.uint8]:
    """Return the validation images that integer scales are set on, always the same ones of one dataset.

    Parameters
    ----------
    most : int
        1 or more; a smaller validation split is used whole.

    Returns
    -------
    ndarray of uint8, shape (n, H, W, C)

    Raises
    ------
    DeployError
        If the validation split is empty.
    """
    positions = dataset.indices("val")
    if len(positions) == 0:
        raise DeployError(f"dataset {dataset.name}: no validation images to calibrate int8 with")
    drawn = stream_generator(0, "calibration").permutation(len(positions))[:most]
    return rows_of(dataset.images).read(np.sort(positions[drawn]))


def held_out_positions(dataset: Dataset, most: int | None = None) -> NDArray[np.int64]:
    """Return positions of test images, ascending: all, or `most` of them evenly spaced.

    Parameters
    ----------
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
