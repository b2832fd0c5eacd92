"""Published copies of small studies, whose runs were written, not trained."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convtrials.data.dataset import Dataset
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.publish import publish
from convtrials.study.results.scores import Outcomes

# Small studies are the same as in the tests of studies.
sys.path.insert(0, str(Path(__file__).parents[1] / "study"))

from small_studies import Written, counted_test_images, prepared, spec_of

Make = Callable[..., Dataset]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, make_dataset: Make) -> Path:
    """A published copy of a small study."""
    accuracy = {"baseline": 0.9, "good": 0.97, "early stopping": 0.9}
    techniques = {"good": {"schedule": "cosine"}, "early stopping": {"early_stopping": True}}
    return published(tmp_path_factory.mktemp("kept"), make_dataset, techniques, accuracy)


def published(
    folder: Path, make_dataset: Make, techniques: dict[str, Any], accuracy: dict[str, float]
) -> Path:
    """Publish a small study whose runs were written, not trained."""
    data = replace(make_dataset(), class_names=("0", "O", "1", "I"))
    study, plan = prepared(folder / "study", spec_of(techniques, (2, 3)), data)
    counted_test_images(study, 2000)
    executor = Written(study, plan, lambda arm, position: accuracy[arm])
    run_to_end(study, plan, Outcomes(study, plan, None), executor, lambda state, ended: None, workers=1)
    publish(study.folder, folder / "results" / "small")
    return folder / "results" / "small"
