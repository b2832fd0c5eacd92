"""How many runs at a time: measured with real processes, or as a person asks."""

import pytest
from small_studies import BASE

from convtrials.core.errors import RunError, StudyError
from convtrials.study.execute import autotune
from convtrials.study.execute.autotune import (
    autotune_study,
    begin_timing,
    rates_side_by_side,
)
from convtrials.training.engine.execution import ComputeOptions, Execution
from convtrials.training.engine.step_timing import StepProbe

PROBE = StepProbe(BASE, (12, 12, 1), 4)


def test_the_fastest_of_what_was_measured_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(autotune, "available_cores", lambda: 2)
    monkeypatch.setattr(autotune, "MEASURED_SECONDS", 0.2)
    chosen = autotune_study(PROBE, ComputeOptions(precision="fp32"))
    assert [(one["workers"], one["threads"]) for one in chosen.measured] == [(2, 1), (1, 2)]
    best = max(chosen.measured, key=lambda one: one["images_per_second"])
    assert (chosen.workers, chosen.execution.threads) == (best["workers"], best["threads"])
    assert chosen.execution.precision == "fp32"
    assert any("2 runs at a time, 1 thread each" in line for line in caplog.messages)


def test_all_given_is_not_timed_and_recorded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(autotune, "available_cores", lambda: 8)
    options = ComputeOptions(threads=2, precision="fp32", device="cpu", channels_last=False)
    assert autotune_study(PROBE, options).to_dict() == {
        "device": "cpu",
        "precision": "fp32",
        "channels_last": False,
        "threads": 2,
        "workers": 4,
        "measured": [],
        "folder": None,
        "replicas": 1,
        "replica_way": None,
    }
    assert caplog.messages == []


def test_a_given_number_of_workers_divides_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "available_cores", lambda: 8)
    chosen = autotune_study(PROBE, ComputeOptions(workers=3, precision="fp32"))
    assert (chosen.workers, chosen.execution.threads, chosen.measured) == (3, 2, [])
    chosen = autotune_study(PROBE, ComputeOptions(threads=4, precision="fp32"))
    assert (chosen.workers, chosen.execution.threads) == (2, 4)
    chosen = autotune_study(PROBE, ComputeOptions(workers=16, precision="fp32"))
    assert (chosen.workers, chosen.execution.threads) == (16, 1)


@pytest.mark.parametrize("cores", [1, 2, 3, 6, 16, 64])
def test_workers_never_need_more_threads_than_there_are(cores: int) -> None:
    counts = autotune._candidates(cores)
    assert counts[0] == cores
    assert counts[-1] == 1
    assert len(counts) <= autotune.MOST_CANDIDATES
    assert all(count * (cores // count) <= cores for count in counts)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(StudyError, match="--workers 0: must be 1 or more"):
        autotune_study(PROBE, ComputeOptions(workers=0))
    with pytest.raises(RunError, match="allowed are cpu, cuda, cuda:N"):
        autotune_study(PROBE, ComputeOptions(device="abacus"))


def test_processes_are_timed_side_by_side_and_a_dead_one_is_reported() -> None:
    execution = Execution("cpu", "fp32", True, 1)
    processes = [begin_timing(PROBE, execution, 0.1) for _ in range(2)]
    rates = rates_side_by_side(processes)
    assert len(rates) == 2
    assert min(rates) > 0
    broken = begin_timing(StepProbe(BASE, (0, 0, 0), 4), execution, 0.1)
    with pytest.raises(StudyError, match="--workers N leaves the measuring out"):
        rates_side_by_side([broken])
    broken.wait()
