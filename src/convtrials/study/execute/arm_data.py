"""The dataset of an arm: the study's own, or the same images brought to the frame that the arm's recipe asks for."""

from typing import Any

import numpy as np

from convtrials.core.errors import StudyError
from convtrials.core.log import quiet
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset, source_name
from convtrials.data.options import DatasetOptions
from convtrials.study.plan.arms import Arm

_opened: dict[tuple[str, str], Dataset] = {}


def dataset_of_arm(dataset: Dataset, arm: Arm) -> Dataset:
    """Return the data that an arm trains on.

    Raises
    ------
    StudyError
        The arm asks for another image size or way to fit, and the same test images cannot be had so.
    """
    own = DatasetOptions.make(dataset.manifest.get("options") or {})
    wanted = {key: value for key, value in arm.recipe.dataset_options().items() if value is not None}
    if dataset.image_shape[:2] == (wanted.get("image_size"),) * 2:
        del wanted["image_size"]
    other = {key: value for key, value in wanted.items() if value != getattr(own, key)}
    if not other:
        return dataset
    key = (dataset.fingerprint, repr(other))
    if key not in _opened:
        _opened[key] = _brought_to(dataset, arm, own, other)
    return _opened[key]


def _brought_to(dataset: Dataset, arm: Arm, own: DatasetOptions, other: dict[str, Any]) -> Dataset:
    asked = ", ".join(f"{key} {value}" for key, value in other.items())
    source = source_name(dataset)
    if source is None:
        raise StudyError(f"{arm.name}: {asked}: the dataset was made in memory and stays as it is")
    # The pack's size may have been chosen for it; an arm that says none keeps it.
    size = {"image_size": dataset.image_shape[0]} if dataset.image_shape[0] == dataset.image_shape[1] else {}
    with quiet():
        found = load_dataset(source, **own.document() | size | other)
    if not (np.array_equal(found.labels, dataset.labels) and np.array_equal(found.split, dataset.split)):
        raise StudyError(f"{arm.name}: {asked}: {source} does not give the same images so")
    return found
