"""The parts of replicas: stacked tensors, grouped layers, given dropout, recorded passes, choosing a number."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from small_runs import PINNED
from torch import nn

from convtrials.core.streams import stream_seed
from convtrials.models.activations import ACTIVATIONS
from convtrials.models.registry import build_model
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.loss import loss_sum
from convtrials.training.engine.step_timing import StepProbe
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas import choose
from convtrials.training.replicas.batch import MicroBatch
from convtrials.training.replicas.choose import choose_replicas
from convtrials.training.replicas.graphs import Pass, Replayed, without_traces
from convtrials.training.replicas.grouped import grouped_network, unknown_layer
from convtrials.training.replicas.noise import DropoutNoise, GivenDropout, give_dropout
from convtrials.training.replicas.passes import GroupedPasses
from convtrials.training.replicas.stack import Stack, stacked
from convtrials.training.replicas.team import usual_method

SEEDS = (0, 1, 2)


def networks(model: str = "alexnet", channels: int = 2, **knobs: Any) -> list[nn.Module]:
    knobs = {"width": 0.05, "dropout": 0.0, **knobs}
    made = [
        build_model(model, classes=4, channels=channels, image_size=12, seed=seed, **knobs) for seed in SEEDS
    ]
    return [one.double().to(memory_format=torch.channels_last).train() for one in made]


def drawn(count: int = 6, channels: int = 2) -> MicroBatch:
    draws = torch.Generator().manual_seed(5)
    images = torch.randn(3, count, channels, 12, 12, generator=draws, dtype=torch.float64)
    return MicroBatch(images, torch.randint(4, (3, count), generator=draws))


def grouped_passes(members: list[nn.Module], stack: Stack) -> GroupedPasses:
    return GroupedPasses(members, stack, partial(loss_sum, Recipe()), nullcontext)


def test_networks_become_views_of_the_stack_and_keep_values_and_strides() -> None:
    before, members = networks(batch_norm=True), networks(batch_norm=True)
    stack = Stack(members)
    for place, (one, other) in enumerate(zip(before, members, strict=True)):
        for name, parameter in one.named_parameters():
            own = other.get_parameter(name)
            assert torch.equal(own, parameter)
            assert own.stride() == parameter.stride()
            assert own.data_ptr() == stack.parameters[name][place].data_ptr()
            assert own.grad is not None
        for name, buffer in one.named_buffers():
            stack.buffers[name][place] += 1
            assert torch.equal(other.get_buffer(name), buffer + 1)
    assert not stack.gradients[0].any()


def test_a_stack_keeps_the_order_in_memory() -> None:
    parts = [torch.rand(4, 3, 5, 5).to(memory_format=torch.channels_last) for _ in range(2)]
    whole = stacked(parts)
    assert torch.equal(whole, torch.stack(parts))
    assert whole[1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("limit", [0.01, 1000.0])
def test_clipping_is_torchs(limit: float) -> None:
    alone, members = networks(batch_norm=True), networks(batch_norm=True)
    stack = Stack(members)
    for place, (one, other) in enumerate(zip(alone, members, strict=True)):
        for name, parameter in one.named_parameters():
            parameter.grad = torch.randn_like(parameter) * 10**place
            other.get_parameter(name).grad.copy_(parameter.grad)
        nn.utils.clip_grad_norm_(one.parameters(), limit)
    stack.clip_gradients(limit)
    for one, other in zip(alone, members, strict=True):
        for name, parameter in one.named_parameters():
            torch.testing.assert_close(
                other.get_parameter(name).grad, parameter.grad, rtol=1e-12, atol=1e-300
            )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("model", ["alexnet", "alexnet-2012", "vgg11-bn"])
def test_one_grouped_network_gives_every_replicas_logits(model: str, activation: str) -> None:
    members = networks(model, activation=activation)
    batch, stack = drawn(), Stack(members)
    grouped = grouped_network(members[0], stack)
    logits = grouped(batch.images.transpose(0, 1).flatten(1, 2)).view(6, 3, 4).transpose(0, 1)
    for place, one in enumerate(members):
        torch.testing.assert_close(logits[place], one(batch.images[place]), rtol=1e-10, atol=1e-12)


def test_layers_that_cannot_be_grouped_are_named() -> None:
    assert unknown_layer(networks()[0]) is None
    assert usual_method(networks()[0]) == "grouped"
    for layer, name in (
        (nn.LSTM(3, 3), "LSTM"),
        (nn.Conv2d(1, 1, 3, padding="same"), "Conv2d with padding zeros same"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "Conv2d with padding reflect (1, 1)"),
        (nn.BatchNorm2d(3, momentum=None), "BatchNorm2d without momentum or weights"),
    ):
        assert unknown_layer(nn.Sequential(nn.ReLU(), layer)) == name
        assert usual_method(nn.Sequential(layer)) == "side_by_side"


def test_dropout_noise_is_what_each_seeds_own_run_draws() -> None:
    alone, members = networks(dropout=0.4), networks(dropout=0.4)
    for one in members:
        give_dropout(one)
    noise = DropoutNoise(members[0], SEEDS, nullcontext)
    images = drawn().images
    for micro, step in ((0, 0), (0, 7), (2, 7)):
        given = noise.draw(images[0], micro, step)
        for place, seed in enumerate(SEEDS):
            for name, values in given.items():
                layer = members[place].get_submodule(name)
                assert isinstance(layer, GivenDropout)
                layer.noise = values[place]
            torch.manual_seed(stream_seed(seed, "dropout" if micro == 0 else f"dropout/{micro}", step))
            assert torch.equal(members[place](images[place]), alone[place](images[place]))
            members[place].eval()
            assert torch.equal(members[place](images[place]), alone[place].eval()(images[place]))
            for one in (members[place], alone[place]):
                one.train()
    kept = {name: values.data_ptr() for name, values in noise.draw(images[0], 0, 0).items()}
    assert {name: values.data_ptr() for name, values in noise.draw(images[0], 0, 1).items()} == kept


def test_a_dropout_layer_used_twice_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = GivenDropout(0.5)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.drop(self.drop(images))

    with pytest.raises(Exception, match="uses a dropout layer more than once"):
        DropoutNoise(Twice(), SEEDS, nullcontext).draw(drawn().images[0], 0, 0)


def replayed(record: Callable[[Pass], Pass]) -> tuple[Replayed, Stack]:
    members = networks(batch_norm=True)
    stack = Stack(members)
    return Replayed(grouped_passes(members, stack), stack, 6, 6, record=record), stack


def test_recorded_passes_are_passes(caplog: pytest.LogCaptureFixture) -> None:
    """With a stand-in for the CUDA graph: it, too, computes on the memory of the first call, and warms up."""
    recorded = []

    def record(function: Pass) -> Pass:
        for _ in range(3):
            outputs = function()
        recorded.append(function)

        def replay() -> tuple[torch.Tensor, torch.Tensor]:
            for kept, value in zip(outputs, function(), strict=True):
                kept.copy_(value)
            return outputs

        return replay

    compute, stack = replayed(record)
    members = networks(batch_norm=True)
    plain_stack = Stack(members)
    plain = grouped_passes(members, plain_stack)
    results = []
    for count, factor in ((6, 1.0), (4, 1.0), (6, -2.0), (6, 0.5)):
        batch = drawn(count)
        batch = MicroBatch(batch.images * factor, batch.labels)
        results.append((compute(batch, count), plain(batch, count)))
    for (losses, correct), (
        expected,
        hits,
    ) in results:  # looked at late: a replay must not change earlier answers
        assert torch.equal(losses, expected)
        assert torch.equal(correct, hits)
    for one, other in zip(stack.gradients, plain_stack.gradients, strict=True):
        assert torch.equal(one, other)
    for name, buffer in stack.buffers.items():
        assert torch.equal(buffer, plain_stack.buffers[name])
    assert len(recorded) == 1
    assert caplog.messages == []


def test_what_cannot_be_recorded_is_computed_as_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    def record(function: Pass) -> Pass:
        function()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    compute, stack = replayed(record)
    members = networks(batch_norm=True)
    plain_stack = Stack(members)
    losses, _ = compute(drawn(), 6)
    expected, _ = grouped_passes(members, plain_stack)(drawn(), 6)
    assert torch.equal(losses, expected)
    assert torch.equal(stack.gradients[0], plain_stack.gradients[0])
    assert caplog.messages == [
        "replicas: no CUDA graph (operation not permitted when stream is capturing); going on without"
    ]


def test_traces_are_removed() -> None:
    members = networks(batch_norm=True)
    stack = Stack(members)
    passes = grouped_passes(members, stack)
    passes(drawn(), 6)
    before = [tensor.clone() for tensor in (*stack.gradients, *stack.buffers.values())]
    with without_traces(stack):
        passes(drawn(), 6)
        assert not torch.equal(stack.gradients[0], before[0])
    after = (*stack.gradients, *stack.buffers.values())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_fastest_number_is_chosen_and_more_must_pay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rates = {(1, "grouped"): 100.0, (2, "grouped"): 105.0, (2, "side_by_side"): 160.0, (4, "grouped"): 165.0}

    def rate(*arguments: Any, **_: Any) -> float:
        if arguments[2:] not in rates:
            raise torch.OutOfMemoryError
        return rates[arguments[2:]]

    monkeypatch.setattr(choose, "replica_rate", rate)
    chosen = choose_replicas(StepProbe(Recipe(width=0.05), (12, 12, 1), 4), Execution(), candidates=(1, 2, 4))
    assert (chosen.replicas, chosen.method) == (2, "side_by_side")
    assert len(chosen.measured) == 4
    assert caplog.messages[-1] == "probe: 4 replicas, side by side: too little memory"


def test_rates_are_measured_on_real_steps() -> None:
    recipe = Recipe(width=0.05, batch_size=4)
    chosen = choose_replicas(StepProbe(recipe, (12, 12, 1), 4), PINNED, candidates=(1, 2), seconds=0.01)
    assert [(one["replicas"], one["way"]) for one in chosen.measured] == [
        (1, "grouped"),
        (2, "grouped"),
        (2, "side_by_side"),
    ]
    assert all(one["images_per_second"] > 0 for one in chosen.measured)
