"""The probe: what it times, what it chooses, what it leaves alone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import SMALL

from convtrials.core.errors import RunError
from convtrials.core.process import available_cores
from convtrials.data.dataset import Dataset
from convtrials.training.engine import step_timing
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.step_timing import (
    StepProbe,
    autotune_execution,
    mean_time,
    step_times,
    training_step,
)
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe

PROBE = StepProbe(Recipe(width=0.05, batch_size=8), (8, 8, 1), 2)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, bool, int], float]:
    """A table of rates that stands for the clock, by precision, channels_last and threads."""
    table: dict[tuple[str, bool, int], float] = {}

    def rate(probe: StepProbe, tried: Execution, best: float) -> float:
        return table.get((tried.precision, tried.channels_last, tried.threads), 1.0)

    monkeypatch.setattr(step_timing, "_short_rate", rate)
    monkeypatch.setattr(step_timing, "available_cores", lambda: 4)
    return table


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        ({("fp32", True, 4): 100, ("bf16", True, 4): 400}, ("bf16", True, 4)),
        (
            {("fp32", False, 4): 100, ("bf16", True, 4): 105},
            ("fp32", False, 4),
        ),  # a tenth faster, or not at all
        ({("fp32", True, 4): 100, ("bf16", False, 4): 120}, ("bf16", False, 4)),
        ({("fp32", True, 4): 100, ("fp32", True, 2): 130}, ("fp32", True, 2)),  # fewer threads may win
    ],
)
def test_the_fastest_is_chosen(
    rates: dict[tuple[str, bool, int], float],
    measured: dict[tuple[str, bool, int], float],
    chosen: tuple[str, bool, int],
) -> None:
    rates.update(measured)
    found = autotune_execution(PROBE, device="cpu")
    assert (found.precision, found.channels_last, found.threads) == chosen


def test_what_a_person_gives_is_kept(rates: dict[tuple[str, bool, int], float]) -> None:
    rates.update({("bf16", True, 4): 1000, ("fp32", True, 1): 1000})
    found = autotune_execution(PROBE, precision="fp32", threads=3, device="cpu")
    assert (found.precision, found.threads) == ("fp32", 3)


def test_the_memory_format_can_be_given_and_all_given_is_not_timed(
    rates: dict[tuple[str, bool, int], float], caplog: pytest.LogCaptureFixture
) -> None:
    rates.update({("bf16", True, 4): 1000, ("bf16", False, 4): 500})
    found = autotune_execution(PROBE, channels_last=False, device="cpu")
    assert (found.precision, found.channels_last) == ("bf16", False)
    assert len(caplog.messages) == 3  # two precisions, and fewer threads
    caplog.clear()
    found = autotune_execution(PROBE, precision="fp32", threads=2, channels_last=False, device="cpu")
    assert found == Execution("cpu", "fp32", channels_last=False, threads=2)
    assert caplog.messages == []


def test_a_run_keeps_the_memory_format_that_was_given(
    make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    recipe, given = Recipe(**SMALL), {"precision": "fp32", "threads": 1, "out": tmp_path / "r"}
    run = train(recipe, make_dataset(), channels_last=False, **given)
    assert run.execution.channels_last is False
    assert train(recipe, make_dataset(), **given).folder == run.folder
    with pytest.raises(RunError, match="was started with channels_last False and keeps it"):
        train(recipe, make_dataset(), channels_last=True, **given)


def test_the_clock_is_real_and_every_candidate_is_told(caplog: pytest.LogCaptureFixture) -> None:
    found = autotune_execution(PROBE, device="cpu")
    assert 1 <= found.threads <= available_cores()
    assert len(caplog.messages) == (5 if available_cores() > 1 else 4)
    assert all(line.endswith("images/s") for line in caplog.messages)
    torch.set_num_threads(1)


@pytest.mark.parametrize(("hopeless", "best_rate", "steps"), [(0.0, 0.0, 1), (60.0, 1e12, 2), (60.0, 0.0, 4)])
def test_a_slow_candidate_is_given_up(
    monkeypatch: pytest.MonkeyPatch, hopeless: float, best_rate: float, steps: int
) -> None:
    taken: list[int] = []
    original = step_timing.training_step

    def counted(*arguments: Any) -> tuple[Callable[[], None], int]:
        step, images = original(*arguments)
        return lambda: (taken.append(1), step())[1], images

    monkeypatch.setattr(step_timing, "training_step", counted)
    monkeypatch.setattr(step_timing, "HOPELESS", hopeless)
    assert step_timing._short_rate(PROBE, Execution(), best_rate) > 0
    assert len(taken) == steps


def test_a_timed_step_trains_on_as_many_images_as_the_recipe_and_no_more_pixels_than_asked() -> None:
    execution = Execution()
    step, images = training_step(PROBE, execution, 64)
    assert images == 8
    _, images = training_step(StepProbe(PROBE.recipe, (56, 56, 1), 2), execution, 16)
    assert images == 4
    _, images = training_step(StepProbe(PROBE.recipe, (224, 224, 3), 2), execution, 16)
    assert images == 2
    first, second, third = (tensor for tensor in PROBE.images(execution, 8) + PROBE.images(execution, 8)[:1])
    assert torch.equal(first, third)
    assert (first.shape, second.shape) == ((8, 1, 8, 8), (8,))
    step()  # twice: gradients must not be left over
    step()


def test_the_clock_counts_steps() -> None:
    taken: list[int] = []

    def step() -> None:
        taken.append(1)
        time.sleep(0.01)

    times = step_times(step, "cpu", at_once=3)
    assert 0.01 <= next(times) < 0.03
    assert len(taken) == 3
    assert 0.01 <= mean_time(times, 0.0) < 0.03
    assert len(taken) == 6
    mean_time(times, 0.1)
    assert 9 < len(taken) <= 18


def test_the_choice_is_recorded_before_the_first_step(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        assert (tmp_path / "r" / "execution.json").is_file()
        raise Stop

    monkeypatch.setattr("convtrials.training.engine.train.train_loop", stop)
    with pytest.raises(Stop):
        train(Recipe(**SMALL), make_dataset(), out=tmp_path / "r")
