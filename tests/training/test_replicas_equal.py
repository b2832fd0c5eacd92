"""Replicas trained at once are the runs that each seed would have had alone, but for rounding."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import PINNED, SMALL, weights

from convtrials.core.streams import stream_seed
from convtrials.data.dataset import Dataset
from convtrials.models.registry import build_model
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.loss import loss_sum
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.noise import DropoutNoise, give_dropout
from convtrials.training.replicas.passes import GroupedPasses, MicroBatch, SideBySidePasses
from convtrials.training.replicas.stack import Stack
from convtrials.training.replicas.train import train_replicas
from convtrials.training.run_directory import Run

SEEDS = (3, 0, 7)
WAYS = ("grouped", "side_by_side")
TENTH = {**SMALL, "width": 0.1, "dropout": 0.5}
SGD = {"optimizer": {"name": "sgd", "lr": 0.05}}

#: Steps of the adaptive optimizers have one size whatever the gradient's, also where it is zero but for rounding (a
#: bias under batch norm, say). A large eps leaves such gradients small: whole runs can then be compared to rounding.
EPS = 1e-3
ADAM = {"optimizer": {"name": "adam", "lr": 5e-3, "eps": EPS}}

#: More augmentations, with CutMix or mixup drawn for each step.
COLOURS = {"randaugment": {"magnitude": 12}, "color_jitter": {"contrast": 0.4}, "noise": 0.03, "cutmix": 1.0}

#: All that a recipe can add, where it works element by element.
EVERYTHING = {
    "optimizer": {"name": "adamw", "lr": 5e-3, "eps": EPS, "weight_decay": 0.05},
    "schedule": {"name": "one_cycle"},
    "batch_norm": True,
    "ema": 0.9,
    "accumulate": 2,
    "batch_size": 8,
    "augment": {"degrees": 10, "erasing": 0.3, "mixup": 0.2, **COLOURS},
    "clip_norm": 0.5,
    "label_smoothing": 0.1,
}


@pytest.fixture
def both(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> Callable[..., list[tuple[Run, Run]]]:
    """Train each seed alone and, in each way, all at once; return the pairs."""

    def run(
        changes: dict[str, Any], *ways: str, seeds: tuple[int, ...] = SEEDS, **execution: Any
    ) -> list[tuple[Run, Run]]:
        recipe, dataset = Recipe(**TENTH).changed(changes), make_dataset()
        how = Execution(**{**PINNED.to_dict(), **execution})
        alone = [
            train(recipe, dataset, seed=seed, out=tmp_path / f"alone{seed}", execution=how) for seed in seeds
        ]
        pairs = []
        for way in ways:
            outs = [tmp_path / f"{way}{seed}" for seed in seeds]
            together = train_replicas(recipe, dataset, seeds, outs, execution=how, method=way)
            pairs += zip(alone, together, strict=True)
        return pairs

    return run


def assert_equal_runs(one: Run, other: Run, *, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Weights, predictions, histories and results, but for times."""
    found = weights(other)
    for name, tensor in weights(one).items():
        # Relative to the largest weight of the tensor: small ones are differences of large gradients.
        scale = float(tensor.abs().max()) if tensor.is_floating_point() else 0.0
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=rtol * scale + atol)
    first, second = (np.load(run.predictions_path) for run in (one, other))
    np.testing.assert_allclose(second["probabilities"], first["probabilities"], rtol=1e-3, atol=atol)
    for key in ("labels", "indices", "run"):
        assert np.array_equal(first[key], second[key])
    assert one.result.files.keys() == other.result.files.keys()
    timed = {"seconds", "cpu_seconds", "images_per_second", "train_seconds", "seconds_since_start_or_resume"}
    histories = zip(one.read_history(), other.read_history(), strict=True)
    for pair in [*histories, (one.result, other.result)]:
        expected, got = (document.to_dict() for document in pair)
        assert expected.keys() == got.keys()
        for key in expected.keys() - timed - {"files"}:  # digests of what is equal but for times and rounding
            value = expected[key]
            assert got[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-4)), key


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("optimizer", [ADAM, SGD], ids=["adam", "sgd"])
def test_replicas_are_separate_runs(both: Any, batch_norm: bool, optimizer: dict[str, Any]) -> None:
    pairs = both({**optimizer, "batch_norm": batch_norm}, *WAYS)
    for one, other in pairs:
        assert_equal_runs(one, other)
    # Tolerances are worth something only where other seeds are farther away.
    first, second = (weights(run)["features.0.weight"] for run in (pairs[0][0], pairs[1][1]))
    assert (first - second).abs().max() > 0.01


def test_everything_that_a_recipe_can_add(both: Any) -> None:
    for one, other in both(EVERYTHING, *WAYS):
        assert other.result.kept == "ema"
        assert_equal_runs(one, other)


@pytest.mark.parametrize("name", ["rmsprop", "adagrad", "adadelta", "nadam", "radam"])
def test_every_optimizer_that_works_element_by_element(both: Any, name: str) -> None:
    changes = {"optimizer": {"name": name, "eps": EPS}, "epochs": 1, "clip_norm": 0.1}
    for one, other in both(changes, "grouped", seeds=(0, 1)):
        assert_equal_runs(one, other)


def test_rates_of_their_own_and_matrices_are_stepped_one_by_one(both: Any) -> None:
    plateau = {"name": "plateau", "metric": "val_accuracy", "patience": 0, "gamma": 0.5, "min_delta": 0.3}
    changes = {"optimizer": {"name": "muon", "lr": 0.02}, "schedule": plateau, "epochs": 3}
    pairs = both({**changes, "batch_norm": True}, "side_by_side")
    for one, other in pairs:
        assert_equal_runs(one, other)
    assert len({run.read_history()[-1].learning_rate for _, run in pairs}) > 1


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "vgg11", "activation": "gelu"},
        {"model": "alexnet-2012", "activation": "prelu"},
        {"model": "vgg11-bn", "activation": "leaky_relu"},
    ],
    ids=lambda changes: changes["model"],
)
def test_other_networks(both: Any, changes: dict[str, str]) -> None:
    for one, other in both({**changes, **SGD, "epochs": 1}, "grouped", seeds=(0, 1)):
        assert other.environment.replicas == {"together": 2, "way": "grouped"}
        assert_equal_runs(one, other)


def test_bfloat16_and_the_contiguous_layout(both: Any) -> None:
    for one, other in both(SGD, "grouped", seeds=(0, 1), precision="bf16", channels_last=False):
        # Eight bits of mantissa: dropout and order of another seed would differ by a hundred times as much.
        first, second = (np.load(run.predictions_path)["probabilities"] for run in (one, other))
        assert np.abs(first - second).max() < 0.02
        assert other.read_history()[-1].train_loss == pytest.approx(
            one.read_history()[-1].train_loss, rel=0.01
        )


@pytest.mark.parametrize("passes", [GroupedPasses, SideBySidePasses])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_of_a_step_in_double_precision(passes: Any, batch_norm: bool) -> None:
    """Two micro-batches under dropout, with mixed labels: gradients, losses, hits and running statistics."""

    def network(seed: int) -> torch.nn.Module:
        model = build_model(
            "alexnet", classes=5, channels=3, image_size=12, width=0.1, batch_norm=batch_norm, seed=seed
        )
        return model.double().to(memory_format=torch.channels_last).train()

    draws = torch.Generator().manual_seed(1)
    images = torch.randn(3, 10, 3, 12, 12, generator=draws, dtype=torch.float64)
    labels, mixed = torch.randint(5, (2, 3, 10), generator=draws)
    lam = torch.rand(3, generator=draws, dtype=torch.float64)
    step, pieces, recipe = 4, (slice(0, 6), slice(6, 10)), Recipe(label_smoothing=0.1)

    alone, expected = [network(seed) for seed in SEEDS], torch.zeros(3, dtype=torch.float64)
    hits = torch.zeros(3, dtype=torch.int64)
    for place, (seed, model) in enumerate(zip(SEEDS, alone, strict=True)):
        for micro, piece in enumerate(pieces):
            torch.manual_seed(stream_seed(seed, "dropout" if micro == 0 else f"dropout/{micro}", step))
            logits = model(images[place, piece].contiguous(memory_format=torch.channels_last))
            own, other = labels[place, piece], mixed[place, piece]
            loss = loss_sum(recipe, logits, own, other, float(lam[place])) / 10
            loss.backward()
            expected[place] += loss.detach()
            hits[place] += (logits.argmax(1) == own).sum()

    together = [network(seed) for seed in SEEDS]
    for model in together:
        give_dropout(model)
    stack = Stack(together)
    noise = DropoutNoise(together[0], SEEDS, nullcontext)
    compute = passes(together, stack, partial(loss_sum, recipe), nullcontext)
    losses, correct = torch.zeros_like(expected), torch.zeros_like(hits)
    for micro, piece in enumerate(pieces):
        part = MicroBatch(images, labels, mixed, lam).part(piece)
        compute.give(noise.draw(part.images[0], micro, step))
        loss, right = compute(part, 10)
        losses, correct = losses + loss, correct + right

    exact = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(losses, expected, **exact)
    assert torch.equal(correct, hits)
    for place, (one, other) in enumerate(zip(alone, together, strict=True)):
        for name, parameter in one.named_parameters():
            assert stack.parameters[name].grad is not None
            torch.testing.assert_close(other.get_parameter(name).grad, parameter.grad, **exact)
            assert torch.equal(stack.parameters[name].grad[place], other.get_parameter(name).grad)
        for name, buffer in one.named_buffers():
            torch.testing.assert_close(other.get_buffer(name), buffer, **exact)
