"""Class weights, a balanced sampler and focal loss as techniques of a study."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_studies import BASE, prepared, spec_of

import convtrials as ct
from convtrials.core.errors import RecipeError
from convtrials.data.dataset import Dataset
from convtrials.study.plan.study_file import read_study_file

TECHNIQUES = {
    "weighted": {"class_weights": "balanced"},
    "balanced-sampler": {"sampler": "balanced"},
    "focal": {"loss": "focal"},
    "by-name": {"class_weights": {"class 3": [2, 4]}},
}
ARMS = ["baseline", "weighted", "balanced-sampler", "focal", "by-name 2", "by-name 4"]


@pytest.fixture
def unbalanced(make_dataset: Callable[..., Dataset]) -> Dataset:
    """The training split has an eighth of the last class's images."""
    whole = make_dataset(per_class=40)
    own = np.flatnonzero((whole.labels == 3) & (whole.split == 0))
    keep = np.setdiff1d(np.arange(len(whole)), own[3:])
    return replace(
        whole,
        images=whole.images[keep],
        labels=whole.labels[keep],
        split=whole.split[keep],
        fingerprint="unbalanced",
    )


def test_a_study_file_names_them(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        """
dataset: glyphs
baseline: {model: alexnet-lite, epochs: 2}
seeds: 2
techniques:
  weighted: {class_weights: balanced}
  balanced-sampler: {sampler: balanced}
  focal: {loss: focal}
  focus: {loss: {name: focal, gamma: [1, 5]}}
  joined: {all of: [weighted, focal]}
"""
    )
    arms = {arm.name: arm.recipe for arm in read_study_file(tmp_path / "study.yaml").arms}
    assert arms["weighted"].class_weights == "balanced"
    assert arms["balanced-sampler"].sampler == "balanced"
    assert (arms["focal"].loss.name, arms["focal"].loss.gamma) == ("focal", 2.0)
    assert [arms[name].loss.gamma for name in ("focus 1", "focus 5")] == [1.0, 5.0]
    assert (arms["joined"].class_weights, arms["joined"].loss.name) == ("balanced", "focal")


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_study_of_them(tmp_path: Path, unbalanced: Dataset, replicas: int) -> None:
    """Each arm is trained and judged; with replicas, at once, and as alone but for rounding."""
    study = ct.Study(BASE, TECHNIQUES, seeds=2)
    fixed = {"threads": 1, "precision": "fp32", "device": "cpu", "channels_last": True}
    result = study.run(unbalanced, tmp_path / "study", replicas=replicas, **fixed)  # type: ignore[arg-type]
    assert set(result.to_frame().index) == set(ARMS[1:])
    for arm in ARMS:
        folders = (tmp_path / "study" / "runs").glob(f"{arm.replace(' ', '-')}-??????/*")
        runs = [ct.load_run(path) for path in folders]
        assert len(runs) == 2
        assert all(run.result.status == "finished" for run in runs)
        if replicas == 2:
            assert runs[0].environment.replicas is not None
            assert runs[0].environment.replicas["together"] == 2
    first = next((tmp_path / "study" / "runs").glob("by-name-4-*/*"))
    assert ct.load_run(first).recipe.class_weights == {"class 3": 4.0}


def test_a_wrong_name_is_refused_with_its_arm_before_the_first_run(
    tmp_path: Path, unbalanced: Dataset
) -> None:
    spec = spec_of({"weighted": {"class_weights": {"class3": 2}}})
    with pytest.raises(
        RecipeError, match=r"^weighted: class_weights: there is no class 'class3'; did you mean"
    ):
        prepared(tmp_path / "study", spec, unbalanced)
    assert not (tmp_path / "study" / "plan.json").exists()


def test_the_first_lines(tmp_path: Path, unbalanced: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    def lines(techniques: dict[str, object]) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            prepared(
                tmp_path / f"study{len(techniques)}{next(iter(techniques))}", spec_of(techniques), unbalanced
            )
        return [record.getMessage() for record in caplog.records]

    assert lines({"cosine": {"schedule": "cosine"}})[0].endswith(
        "techniques to try: class_weights: balanced, sampler: balanced, loss: focal"
    )
    found = lines(TECHNIQUES)
    assert "weighted: class_weights: from 0.781 (class 0) to 6.25 (class 3)" in found
    assert "balanced-sampler: sampler: balanced: about 18.75 images of each of 4 classes an epoch" in found
    assert "by-name 2: class_weights: not named, so with weight 1: class 0, class 1, class 2" in found
    assert not any("techniques to try" in line for line in found)
