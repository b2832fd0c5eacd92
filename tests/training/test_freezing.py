"""Frozen parts stay as they are, cost no backward pass, and a resume across the border is exact."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import PINNED, SMALL, assert_same_weights, weights
from torch import nn

from convtrials.core.errors import RecipeError, RunError
from convtrials.data.dataset import Dataset
from convtrials.models import build_model, save_weights
from convtrials.training.engine.checkpoint import TrainingState, frozen_optimizer
from convtrials.training.engine.freezing import unfreezing_step
from convtrials.training.engine.loop import train_step
from convtrials.training.engine.progress import RunCallback
from convtrials.training.optim.optimizers import OPTIMIZERS
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.train import train_replicas

#: Everything that touches weights in a step, and batch norm.
FROZEN = {"freeze": "features", "batch_norm": True, "clip_norm": 1.0, "accumulate": 2, "batch_size": 8}


class PowerCut(Exception):
    """Stands for a kill between two steps."""


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Weights with running statistics that no training set has."""
    network = build_model(
        "alexnet", classes=4, channels=1, image_size=12, width=0.125, batch_norm=True, seed=5
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    save_weights(network, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS])
def test_frozen_parameters_and_statistics_stay(train_small: Any, start: Path, optimizer: str) -> None:
    decayed = {"name": optimizer, "lr": 1e-3, "weight_decay": 0.1}
    run = train_small({**FROZEN, "initial_weights": str(start), "optimizer": decayed, "ema": 0.9})
    from safetensors.torch import load_file

    before, after = load_file(start), weights(run)
    for name, tensor in after.items():
        same = torch.equal(tensor, before[name])
        assert same == name.startswith("features"), name


def test_it_is_as_if_the_features_were_no_part_of_the_training(
    train_small: Any, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classifier learns bit for bit as it does when it is trained alone, on the maps of the features."""
    changes = {"freeze": "features", "batch_norm": True, "initial_weights": str(start), "dropout": 0.0}
    run = train_small(changes)

    def alone(
        recipe: Any, seed: int, state: TrainingState, group: Any, weights: None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        network: Any = state.model.module
        with torch.no_grad():
            network.eval()
            maps = network.avgpool(network.features(network.pad(group.images))).flatten(1)
        logits = network.classifier.train()(maps)
        loss = nn.functional.cross_entropy(logits, group.labels, reduction="sum") / len(group.labels)
        loss.backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
        return loss.detach(), (logits.argmax(dim=1) == group.labels).sum()

    monkeypatch.setattr("convtrials.training.engine.loop.train_step", alone)
    assert_same_weights(run, train_small({**changes, "freeze": None}))


def test_no_backward_pass_goes_through_frozen_features(
    train_small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []

    def step(recipe: Any, seed: int, state: TrainingState, group: Any, weights: None) -> Any:
        network: Any = state.model.module
        handles = [
            part.register_forward_hook(
                lambda module, inputs, output, name=name: seen.append((name, output.grad_fn is not None))
            )
            for name, part in (("features", network.features), ("classifier", network.classifier))
        ]
        outcome = train_step(recipe, seed, state, group, weights)
        for handle in handles:
            handle.remove()
        assert all(one.grad is None for one in network.features.parameters())
        return outcome

    monkeypatch.setattr("convtrials.training.engine.loop.train_step", step)
    train_small({"freeze": "features", "unfreeze_at": 1.0, "epochs": 2})
    half = len(seen) // 2
    assert set(seen[:half]) == {("features", False), ("classifier", True)}
    assert set(seen[half:]) == {("features", True), ("classifier", True)}


def test_the_optimizer_has_no_state_of_what_is_frozen(
    train_small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[int, tuple[int, int]] = {}
    original = RunCallback.after_step

    def after_step(self: RunCallback, state: TrainingState, loss: float, images: int) -> None:
        original(self, state, loss, images)
        groups = state.optimizer.param_groups
        sizes[state.step] = len(state.optimizer.state), sum(len(group["params"]) for group in groups)

    monkeypatch.setattr(RunCallback, "after_step", after_step)
    train_small({"freeze": "features"})
    assert set(sizes.values()) == {(6, 6)}
    sizes.clear()
    train_small({"freeze": "features", "unfreeze_at": 0.5, "epochs": 1})  # 5 steps an epoch: 2.5 -> 3
    assert sizes == {1: (6, 16), 2: (6, 16), 3: (6, 16), 4: (16, 16), 5: (16, 16)}


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam", "freeze": "features"},
        {"optimizer": "adamw", "freeze": "features", "unfreeze_at": 0.8, "schedule": "one_cycle", "ema": 0.9},
        {"optimizer": "muon", "freeze": 3, "unfreeze_at": 1.0, "optimizer.layer_decay": 0.7},
        {
            "optimizer": {"name": "sgd", "lr": 0.02, "lr_factors": {"features": 0.1}, "weight_decay": 1e-3},
            "freeze": -1,
            "unfreeze_at": 0.5,
            "early_stopping": {"patience": 10},
            "accumulate": 2,
            "batch_size": 8,
        },
    ],
    ids=["for good", "adamw", "muon", "sgd"],
)
def test_a_cut_before_at_and_after_the_border_changes_nothing(
    train_small: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changes = {"batch_norm": True, **changes}
    unbroken = train_small(changes)
    assert unbroken.result.steps == 10
    original = RunCallback.after_step
    for cut_at in (2, 3, 4, 5, 6):
        out = tmp_path / f"cut{cut_at}"

        def after_step(
            self: RunCallback, state: TrainingState, loss: float, images: int, cut_at: int = cut_at
        ) -> None:
            original(self, state, loss, images)
            if state.step == cut_at:
                raise PowerCut

        with monkeypatch.context() as patch:
            patch.setattr(RunCallback, "after_step", after_step)
            with pytest.raises(PowerCut):
                train_small(changes, out=out, checkpoint_seconds=0.0)
        resumed = train_small(changes, out=out)
        assert_same_weights(unbroken, resumed)
        for one, other in zip(unbroken.read_history(), resumed.read_history(), strict=True):
            timed = {"seconds", "cpu_seconds", "images_per_second"}
            assert one.model_dump(exclude=timed) == other.model_dump(exclude=timed)


def test_unfreezing_trains_all(train_small: Any, start: Path) -> None:
    changes = {"batch_norm": True, "initial_weights": str(start), "freeze": "features"}
    frozen, thawed = (weights(train_small({**changes, **more})) for more in ({}, {"unfreeze_at": 1.5}))
    assert not any(torch.equal(frozen[name], thawed[name]) for name in frozen)


@pytest.mark.parametrize(
    ("epochs", "total", "per_epoch", "step"),
    [(1, 10, 5, 5), (0.5, 10, 5, 3), (0.3, 20, 10, 3), (0.001, 5, 5, 1), (0.9, 2, 2, 1), (2.99, 15, 5, 14)],
)
def test_the_step_from_which_all_is_trained(epochs: float, total: int, per_epoch: int, step: int) -> None:
    """The last step at least: rounding never drops the unfreezing that a recipe asks for."""
    assert unfreezing_step(epochs, total, per_epoch) == step


def test_what_is_frozen_is_said(train_small: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "convtrials")
    train_small({**FROZEN, "unfreeze_at": 1})
    network = build_model("alexnet", classes=4, channels=1, image_size=12, width=0.125, batch_norm=True)
    count = sum(one.numel() for one in network.features.parameters())
    said = [line for line in caplog.messages if "train" in line or "freeze" in line]
    assert (
        "freeze without initial_weights: the frozen layers keep the weights that were drawn for them" in said
    )
    assert (
        f"freeze: {count:,} parameters are not trained until epoch 1; 5 batch norms keep their running statistics"
        in said
    )
    assert "all layers are trained from step 5 on" in said


def test_parts_that_are_not_there_are_refused_before_anything_is_measured_or_written(
    train_small: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "convtrials.training.engine.train.autotune_execution", lambda *a, **k: pytest.fail("probed")
    )
    for changes, line in (
        ({"freeze": "layer1"}, "its parts are pad, features, avgpool, classifier"),
        ({"freeze": 8}, "freeze = 8: the network has 8 layers"),
        ({"optimizer.lr_factors": {"head": 2}}, "optimizer.lr_factors: the network has no 'head'"),
    ):
        with pytest.raises(RecipeError, match=line):
            train_small(changes, out=tmp_path / "r", execution=None)
        assert not (tmp_path / "r").exists()


def test_a_layer_that_starts_from_scratch_cannot_be_frozen(train_small: Any, tmp_path: Path) -> None:
    save_weights(
        build_model("alexnet", classes=9, channels=1, image_size=12, width=0.125),
        tmp_path / "nine.safetensors",
    )
    changes = {"initial_weights": str(tmp_path / "nine.safetensors"), "freeze": ["features", "classifier.6"]}
    with pytest.raises(
        RecipeError, match=r"freeze: classifier\.6 starts from scratch: .* so it must be trained"
    ):
        train_small(changes)
    train_small({**changes, "freeze": "features"})


def test_several_runs_at_once_are_refused(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    recipe = Recipe(**SMALL).changed({"freeze": "features"})
    with pytest.raises(RunError, match="frozen parts is for one run at a time"):
        train_replicas(recipe, make_dataset(), [0, 1], [tmp_path / "a", tmp_path / "b"], execution=PINNED)
    assert not (tmp_path / "a").exists()


def test_what_a_network_of_ones_own_does_not_train_is_not_let_go() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    network[0].bias.requires_grad_(False)
    optimizer, freezing = frozen_optimizer(Recipe(freeze="0", unfreeze_at=1), network)
    assert freezing is not None
    freezing.before_step(5, 10, 5)
    assert [one.requires_grad for one in network.parameters()] == [True, False, True, True]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 3
