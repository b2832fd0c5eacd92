"""Rates by layer: each layer's own, as timm and BEiT have it; the schedule, a resume and every optimizer keep them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import assert_same_weights, weights
from torch import nn

from convtrials.core.errors import RecipeError
from convtrials.models import build_model
from convtrials.training.optim.layer_rates import rate_factors
from convtrials.training.optim.optimizers import (
    OPTIMIZERS,
    OptimizerConfig,
    build_optimizer,
    learning_rate_of,
    parameter_groups,
    set_learning_rate,
)
from convtrials.training.recipe.recipe import Recipe


def small_network(**changes: Any) -> nn.Module:
    return build_model("alexnet", **{"classes": 4, "channels": 1, "image_size": 12, "width": 0.05, **changes})


@pytest.mark.parametrize("decay", [0.8, 0.5, 1.0])
def test_each_layer_nearer_to_the_input_gets_the_factor_once_more(decay: float) -> None:
    factors = rate_factors(OptimizerConfig(layer_decay=decay), small_network(batch_norm=True))
    assert factors is not None
    layers = [f"features.{place}" for place in (0, 4, 8, 11, 14)] + [
        f"classifier.{place}" for place in (1, 4, 6)
    ]
    # timm's layer_scales: layer_decay ** (layer_max - i), the head's is 1
    expected = [decay ** (len(layers) - 1 - number) for number in range(len(layers))]
    assert [factors[f"{name}.weight"] for name in layers] == expected
    assert factors["classifier.6.bias"] == 1.0
    assert set(factors) == {name for name, _ in small_network(batch_norm=True).named_parameters()}


def test_factors_by_name_multiply_the_decay_and_the_longest_name_counts() -> None:
    config = OptimizerConfig(
        layer_decay=0.5, lr_factors={"features": 0.1, "features.0": 3, "classifier.6.bias": 2}
    )
    factors = rate_factors(config, small_network())
    assert factors is not None
    assert factors["features.0.weight"] == pytest.approx(3 * 0.5**7)
    assert factors["features.3.weight"] == pytest.approx(0.1 * 0.5**6)
    assert factors["classifier.6.weight"] == 1
    assert factors["classifier.6.bias"] == 2


def test_without_them_groups_are_what_they_were() -> None:
    network = small_network(batch_norm=True)
    assert rate_factors(OptimizerConfig(), network) is None
    groups = parameter_groups(network, 0.1)
    assert [list(group) for group in groups] == [["params", "weight_decay"]] * 2
    assert [one for group in groups for one in group["params"]] == [
        *(one for one in network.parameters() if one.ndim >= 2),
        *(one for one in network.parameters() if one.ndim < 2),
    ]


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_steps_each_layer_as_one_at_that_rate_would(name: str) -> None:
    """Each layer moves as it does under an optimizer of its own at its own rate; the scale of a step is the rate's."""
    config = OptimizerConfig(name=name, lr=0.02, weight_decay=0.05, layer_decay=0.5)
    network = small_network()
    factors = rate_factors(config, network)
    assert factors is not None
    together = build_optimizer(config, network, factors)
    references = {share: small_network() for share in set(factors.values())}
    optimizers = {
        share: build_optimizer(config.model_copy(update={"layer_decay": None}), one)
        for share, one in references.items()
    }
    for step in range(3):
        for one in (network, *references.values()):
            draws = torch.Generator().manual_seed(step)
            for parameter in one.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=draws)
        set_learning_rate(together, 0.02 / (step + 1))
        assert learning_rate_of(together) == 0.02 / (step + 1)
        together.step()
        for share, optimizer in optimizers.items():
            set_learning_rate(optimizer, 0.02 / (step + 1) * share)
            optimizer.step()
    for parameter_name, parameter in network.named_parameters():
        expected = references[factors[parameter_name]].get_parameter(parameter_name)
        torch.testing.assert_close(parameter, expected, rtol=1e-6, atol=1e-7)


def test_muon_gives_the_head_to_adamw_wherever_its_factor_stands() -> None:
    network = small_network()
    config = OptimizerConfig(name="muon", lr_factors={"features.3": 0.1})
    optimizer: Any = build_optimizer(config, network, rate_factors(config, network))
    by_adam = [one for group in optimizer._adam.param_groups for one in group["params"] if one.ndim >= 2]
    assert len(by_adam) == 1
    assert by_adam[0] is network.get_parameter("classifier.6.weight")


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_the_history_has_the_recipes_rate_and_a_resume_keeps_all(
    train_small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from convtrials.training.engine.checkpoint import TrainingState
    from convtrials.training.engine.progress import RunCallback

    changes = {"optimizer": {"name": name, "lr": 1e-3, "layer_decay": 0.6}, "schedule": "cosine"}
    unbroken = train_small(changes)
    plain = train_small({"optimizer": {"name": name, "lr": 1e-3}, "schedule": "cosine"})
    rates = [[entry.learning_rate for entry in run.read_history()] for run in (unbroken, plain)]
    assert rates[0] == rates[1]
    assert not torch.equal(weights(unbroken)["features.0.weight"], weights(plain)["features.0.weight"])
    original = RunCallback.after_step

    def after_step(self: RunCallback, state: TrainingState, loss: float, images: int) -> None:
        original(self, state, loss, images)
        if state.step == 5:
            raise KeyError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "after_step", after_step)
        with pytest.raises(KeyError):
            train_small(changes, out=tmp_path / "cut", checkpoint_seconds=0.0)
    resumed = train_small(changes, out=tmp_path / "cut")
    assert_same_weights(unbroken, resumed)
    assert [entry.learning_rate for entry in resumed.read_history()] == rates[0]


OWN = """
import torch

class Kept(torch.optim.SGD):
    pass

def flat(params, lr):
    return torch.optim.SGD([one for group in params for one in group["params"]], lr)
"""


def test_an_optimizer_of_ones_own_gets_groups_with_factors(
    train_small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rates_of_ones_own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    changes = {"optimizer": {"name": "rates_of_ones_own:Kept", "lr": 0.01, "layer_decay": 0.5}}
    assert_same_weights(
        train_small(changes),
        train_small({"optimizer": {"name": "torch.optim:SGD", "lr": 0.01, "layer_decay": 0.5}}),
    )
    with pytest.raises(RecipeError, match="flat does not keep the groups that it is given"):
        train_small({"optimizer": {"name": "rates_of_ones_own:flat", "lr": 0.01, "layer_decay": 0.5}})
    train_small({"optimizer": {"name": "rates_of_ones_own:flat", "lr": 0.01}})


def test_a_change_of_optimizer_keeps_rates_by_layer() -> None:
    recipe = Recipe(
        optimizer={"name": "sgd", "momentum": 0.5, "layer_decay": 0.8, "lr_factors": {"features": 0.1}}
    )
    changed = recipe.changed({"optimizer": "adamw"}).optimizer
    assert (changed.layer_decay, changed.lr_factors, changed.momentum) == (0.8, {"features": 0.1}, None)
    assert "layer_decay" not in Recipe().to_yaml()
    assert "lr_factors" not in Recipe().to_yaml()


def test_a_network_of_one_layer_has_no_layers_to_decay_over() -> None:
    with pytest.raises(RecipeError, match="layer_decay: the network is one layer"):
        rate_factors(OptimizerConfig(layer_decay=0.5), nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))


def test_several_runs_at_once_have_the_same_rates(
    train_small: Any, make_dataset: Any, tmp_path: Path
) -> None:
    from small_runs import PINNED, SMALL

    from convtrials.training.replicas.train import train_replicas

    changes = {"optimizer": {"name": "adam", "lr": 1e-3, "layer_decay": 0.5}, "dropout": 0.0}
    recipe = Recipe(**SMALL).changed(changes)
    runs = train_replicas(recipe, make_dataset(), [0, 1], [tmp_path / "a", tmp_path / "b"], execution=PINNED)
    for seed, run in enumerate(runs):
        alone = train_small(changes, seed=seed)
        for name, tensor in weights(alone).items():
            torch.testing.assert_close(weights(run)[name], tensor, rtol=2e-3, atol=2e-5)
        assert [one.learning_rate for one in run.read_history()] == [
            one.learning_rate for one in alone.read_history()
        ]


def test_a_factor_of_one_changes_nothing(train_small: Any) -> None:
    changes = {"optimizer": {"name": "sgd", "lr": 0.01}, "epochs": 1}
    assert_same_weights(
        train_small({**changes, "optimizer.lr_factors": {"features": 1.0}}), train_small(changes)
    )
