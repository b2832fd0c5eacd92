"""Fine-tuning on trial: a technique that starts from a run's weights, against training from scratch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_studies import BASE, PINNED, prepared, spec_of

from convtrials.core.errors import ConvtrialsError
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.prepare import prepare
from convtrials.study.run_study import run_study
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.train import train

Make = Callable[..., Dataset]


def test_fine_tuning_against_training_from_scratch(make_dataset: Make, tmp_path: Path) -> None:
    execution = Execution("cpu", "fp32", channels_last=True, threads=1)
    first = train(BASE, make_dataset(classes=6), out=tmp_path / "first", execution=execution)
    finetune = {"initial_weights": str(first.folder), "freeze": "features"}
    techniques = {
        "finetune": finetune,
        "then all": {**finetune, "unfreeze_at": 1},
        "slower": {"initial_weights": str(first.folder), "optimizer": {"layer_decay": [0.5, 0.8]}},
        "parts": {**finetune, "freeze": [["features.0"], ["features.0", "features.3"]]},
    }
    data = make_dataset()
    study, plan = prepared(tmp_path / "s", spec_of(techniques), data)
    names = ["baseline", "finetune", "then all", "slower 0.5", "slower 0.8"]
    assert [arm.name for arm in plan.arms][:5] == names
    assert len(plan.arms) == 7
    run_study(study, plan, data, PINNED, show=lambda state, ended: None)
    given = load_file(first.weights_path)
    for arm in plan.arms[:3]:
        kept = load_file(study.run(arm, 0).weights_path)
        same = all(torch.equal(given[name], kept[name]) for name in given if name.startswith("features"))
        assert same == (arm.name == "finetune")
    assert {one.name for one in study.verdicts.techniques} == {arm.name for arm in plan.arms[1:]}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"freeze": "layer1"}, "bad: freeze: the network has no 'layer1'"),
        ({"optimizer": {"lr_factors": {"head": 2}}}, "bad: optimizer.lr_factors: the network has no 'head'"),
        ({"input_stats": {"mean": [0.1, 0.2], "std": [1, 1]}}, "bad: input_stats: 2 numbers"),
        ({"augment": {"color_jitter": {"hue": 0.1}}}, "bad: augment.color_jitter.hue"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_study_begins(
    make_dataset: Make, tmp_path: Path, changes: dict[str, object], line: str
) -> None:
    with pytest.raises(ConvtrialsError, match=line):
        prepare(StudyDirectory(tmp_path / "s"), spec_of({"bad": changes}), make_dataset(), PINNED)
    assert not (tmp_path / "s").exists()
