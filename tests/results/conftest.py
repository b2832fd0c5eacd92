"""What is kept of small studies, whose runs were written, not trained."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import publish_study
import pytest

from convtrials.data.dataset import Dataset
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.results.scores import Outcomes

# Small studies are the same as in the tests of studies.
sys.path.insert(0, str(Path(__file__).parents[1] / "study"))

from small_studies import Written, counted_test_images, prepared, spec_of

Make = Callable[..., Dataset]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, make_dataset: Make) -> Path:
    """What is kept of a small study."""
    accuracy = {"baseline": 0.9, "good": 0.97, "early stopping": 0.9}
    techniques = {"good": {"schedule": "cosine"}, "early stopping": {"early_stopping": True}}
    return published(tmp_path_factory.mktemp("kept"), make_dataset, techniques, accuracy)


@pytest.fixture(scope="module")
def kept_long(tmp_path_factory: pytest.TempPathFactory, make_dataset: Make) -> Path:
    """What is kept of a study in which one technique has its verdict at the first look, the other at the second."""
    accuracy = {"baseline": 0.9, "good": 0.97, "near": 0.91}
    techniques = {"good": {"schedule": "cosine"}, "near": {"schedule": "step"}}
    return published(tmp_path_factory.mktemp("long"), make_dataset, techniques, accuracy)


def published(
    folder: Path, make_dataset: Make, techniques: dict[str, Any], accuracy: dict[str, float]
) -> Path:
    """Keep what a small study says whose runs were written, not trained."""
    data = replace(make_dataset(), class_names=("0", "O", "1", "I"))
    study, plan = prepared(folder / "study", spec_of(techniques, (2, 3)), data)
    counted_test_images(study, 2000)
    (study.folder / "study.yaml").write_text("dataset: glyphs\n")
    executor = Written(study, plan, lambda arm, position: accuracy[arm])
    run_to_end(study, plan, Outcomes(study, plan, None), executor, lambda state, ended: None, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["publish_study", str(study.folder), str(folder / "results" / "small")])
        patch.setattr("convtrials.reports.picture.DPI", 40)
        publish_study.main()
    return folder / "results" / "small"
