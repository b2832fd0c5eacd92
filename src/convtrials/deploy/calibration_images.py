"""The images that integer scales are set on: of the validation split, never of the test split."""

import numpy as np
from numpy.typing import NDArray

from convtrials.core.streams import stream_generator
from convtrials.data.dataset import Dataset
from convtrials.data.rows import rows_of
from convtrials.deploy.needs import DeployError

#: Enough to see the range of every layer; more hardly move it.
MOST_CALIBRATION_IMAGES = 512


def calibration_images(dataset: Dataset, most: int = MOST_CALIBRATION_IMAGES) -> NDArray[np.uint8]:
    """Return validation images, always the same ones of one dataset.

    Parameters
    ----------
    dataset : Dataset
    most : int
        1 or more; a smaller validation split is taken whole.

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
