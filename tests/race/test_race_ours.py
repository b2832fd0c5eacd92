"""Our engine as a contestant, for real on a small network; and the peak that it is held against."""

import math
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.race.lineup import our_contestants
from benchmarks.race.matmul import matmul_peak, measure_peaks
from benchmarks.race.network import parameter_count
from benchmarks.race.ours import execution_for
from benchmarks.race.prepare import write_data
from benchmarks.race.race import RaceRules, race
from convtrials.core.progress import progress_task
from convtrials.data.dataset import Dataset
from convtrials.training.engine.execution import Execution
from convtrials.training.recipe.recipe import Recipe


def test_the_real_engine_answers(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    data = make_dataset(per_class=40, size=28)  # 96 training images: six steps an epoch
    network = write_data(tmp_path / "data", data, model="vgg11", width=0.05, batch_size=16, files=False)
    ours, _, together = our_contestants(tmp_path / "data", 16, precision="fp32", threads=1)
    assert together.processes == 2
    rules = RaceRules(2, {"steps": 8}, parameters=parameter_count(network), settle_seconds=0)
    with progress_task("ours", None) as task:
        (row,) = race([ours], rules, tmp_path / "race", task)
    assert row.why_not == ""
    assert row.facts["choice"].startswith("cpu, fp32, ")
    assert row.facts["settings"]["threads"] == 1
    assert any("images/s" in line for line in row.facts["tried"])
    for one in row.rounds:  # each goes over the end of an epoch, validation included
        assert one["images"] == 8 * 16
        assert one["cpu_seconds"] > 0
        assert 0 < one["loss"] < 2 * math.log(4)


def test_an_execution_that_is_given_is_not_probed(make_dataset: Callable[..., Dataset]) -> None:
    given = {"device": "cpu", "precision": "bf16", "channels_last": False, "threads": 3}
    execution, tried = execution_for(Recipe(width=0.05), make_dataset(), Namespace(settings=given, threads=1))
    assert execution == Execution("cpu", "bf16", channels_last=False, threads=3)
    assert tried == []


def test_the_peak_counts_two_operations_a_multiply_add(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("benchmarks.race.matmul.time.perf_counter", lambda: float(next(clock)))
    # Every look at the clock is a second later: a product takes one.
    assert matmul_peak(10, torch.float32, seconds=5) == 2 * 10**3


def test_the_peak_is_measured_in_a_process_of_its_own() -> None:
    peaks = measure_peaks(32, seconds=0.01)
    assert peaks["n"] == 32
    assert peaks["fp32"] > 0
