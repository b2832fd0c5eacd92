"""The dataset of an arm: the study's own, or the same images at the size that the arm's recipe asks for."""

import numpy as np

from convtrials.core.errors import StudyError
from convtrials.core.log import quiet
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset, source_name
from convtrials.study.plan.arms import Arm

_opened: dict[tuple[str, int], Dataset] = {}


def dataset_of_arm(dataset: Dataset, arm: Arm) -> Dataset:
    """Return the data that an arm trains on.

    Raises
    ------
    StudyError
        The arm asks for another image size, and the same test images cannot be had at it.
    """
    size = arm.recipe.image_size
    if size is None or dataset.image_shape[:2] == (size, size):
        return dataset
    key = (dataset.fingerprint, size)
    if key not in _opened:
        _opened[key] = _at_size(dataset, arm, size)
    return _opened[key]


def _at_size(dataset: Dataset, arm: Arm, size: int) -> Dataset:
    source = source_name(dataset)
    if source is None:
        raise StudyError(f"{arm.name}: image_size {size}: the dataset was made in memory and has its size")
    options = dict(dataset.manifest.get("options") or {}) | {"image_size": size}
    with quiet():
        other = load_dataset(source, **options)
    if not (np.array_equal(other.labels, dataset.labels) and np.array_equal(other.split, dataset.split)):
        raise StudyError(
            f"{arm.name}: image_size {size}: {source} does not give the same images at this size"
        )
    return other
