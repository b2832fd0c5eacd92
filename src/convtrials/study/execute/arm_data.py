"""The dataset of an arm: the study's own, or the same images brought to the size that the arm's recipe asks for."""

from convtrials.core.errors import DataError, StudyError
from convtrials.data.dataset import Dataset
from convtrials.data.open import reframed
from convtrials.study.plan.arms import Arm

_opened: dict[tuple[str, str], Dataset] = {}


def dataset_of_arm(dataset: Dataset, arm: Arm) -> Dataset:
    """Return the data that an arm trains on.

    Raises
    ------
    StudyError
        The arm asks for another image size or fit, and the same test images cannot be had so.
    """
    options = arm.recipe.dataset_options()
    if not options:
        return dataset
    key = (dataset.fingerprint, repr(options))
    if key not in _opened:
        try:
            _opened[key] = reframed(dataset, options)
        except DataError as error:
            raise StudyError(f"{arm.name}: {error}") from error
    return _opened[key]
