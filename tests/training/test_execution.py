"""The probe: what it times, what it chooses, what it leaves alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import SMALL
from torch import nn

from convtrials.core.errors import RunError
from convtrials.core.process import available_cores
from convtrials.data.dataset import Dataset
from convtrials.training.engine import execution as execution_module
from convtrials.training.engine.execution import Execution, check_device, probe_execution
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe

SHAPE = (8, 8, 1)


def tiny() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2))


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, bool, int], float]:
    """A table of rates that stands for the clock, by precision, channels_last and threads."""
    table: dict[tuple[str, bool, int], float] = {}

    def rate(model: nn.Module, images: torch.Tensor, tried: Execution, limit: float | None) -> float:
        return table.get((tried.precision, tried.channels_last, tried.threads), 1.0)

    monkeypatch.setattr(execution_module, "_rate", rate)
    monkeypatch.setattr(execution_module, "available_cores", lambda: 4)
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
    found = probe_execution(tiny, SHAPE, device="cpu")
    assert (found.precision, found.channels_last, found.threads) == chosen


def test_what_a_person_gives_is_kept(rates: dict[tuple[str, bool, int], float]) -> None:
    rates.update({("bf16", True, 4): 1000, ("fp32", True, 1): 1000})
    found = probe_execution(tiny, SHAPE, precision="fp32", threads=3, device="cpu")
    assert (found.precision, found.threads) == ("fp32", 3)


def test_the_clock_is_real_and_every_candidate_is_told() -> None:
    lines: list[str] = []
    found = probe_execution(tiny, SHAPE, device="cpu", report=lines.append)
    assert 1 <= found.threads <= available_cores()
    assert len(lines) == (5 if available_cores() > 1 else 4)
    assert all(line.endswith("images/s") for line in lines)
    torch.set_num_threads(1)


def test_a_hopeless_candidate_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            steps.append(1)
            outputs: torch.Tensor = self.layer(images.flatten(1))
            return outputs

    monkeypatch.setattr(execution_module, "_HOPELESS", 0.0)
    rate = execution_module._rate(Slow(), torch.rand(4, 1, 8, 8), Execution(), None)
    assert len(steps) == 1
    assert rate > 0


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
        train(Recipe(**SMALL), make_dataset(), out=tmp_path / "r", silent=True)


def test_devices_are_checked() -> None:
    with pytest.raises(RunError, match="allowed are cpu and cuda"):
        check_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(RunError, match="torch sees no GPU"):
            check_device("cuda")
