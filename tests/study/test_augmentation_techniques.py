"""Every augmentation with a name is a technique of a study: trained, judged, and refused where it cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_studies import prepared, spec_of

from convtrials.core.errors import RecipeError
from convtrials.data.dataset import Dataset
from convtrials.study.execute.in_process import InProcess
from convtrials.study.execute.run_trainer import RunTrainer
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.results.scores import Outcomes

TECHNIQUES: dict[str, Any] = {
    "randaugment": {"randaugment": True},
    "randaugment strong": {"randaugment": {"operations": 3, "magnitude": [15, 27]}},
    "trivialaugment": {"trivialaugment": True},
    "cutmix": {"cutmix": 1.0},
    "cutmix or mixup": {"cutmix": 1.0, "mixup": 0.2},
    "jitter": {"augment.color_jitter": 0.4},
    "jitter of hue": {"augment.color_jitter": {"hue": 0.1}},
    "perspective": {"augment": {"perspective": 0.4}},
    "noise": {"augment.noise": 0.05},
    "blur": {"augment.blur": 1.0},
    "together": {"all of": ["randaugment", "cutmix", "jitter"]},
}


def test_every_augmentation_is_a_technique(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = make_dataset(channels=3)
    study, plan = prepared(tmp_path / "study", spec_of(TECHNIQUES, (2, 2)), dataset)
    trainer = RunTrainer(study, plan, dataset, study.execution.execution)
    outcomes = Outcomes(study, plan, None)
    decision = run_to_end(study, plan, outcomes, InProcess(trainer), lambda state, ended: None, workers=1)
    names = {*TECHNIQUES, "randaugment strong 15", "randaugment strong 27"} - {"randaugment strong"}
    assert decision.results.keys() == names
    histories = {}
    for arm in plan.arms:
        run = study.run(arm, 0)
        assert run.result.status == "finished"
        histories[arm.name] = tuple(entry.train_loss for entry in run.read_history())
    assert (
        len(set(histories.values())) == len(names) + 1
    )  # each saw other images than the baseline, and than the others


def test_colours_of_grey_images_are_refused_before_a_run(
    make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"color_jitter\.saturation = 0\.4: needs images in colour"):
        prepared(
            tmp_path / "study", spec_of({"jitter": {"augment.color_jitter": 0.4}}, (2, 2)), make_dataset()
        )
    assert not (tmp_path / "study" / "plan.json").exists()
