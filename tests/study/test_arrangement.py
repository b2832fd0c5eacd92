"""How many runs at a time: measured with real processes, or as a person wishes."""

import pytest
from small_studies import BASE

from convtrials.core.errors import RunError, StudyError
from convtrials.study.execute import autotune as arrangement
from convtrials.study.execute.autotune import choose_arrangement
from convtrials.study.execute.step_rate import StepProbe, begin_measuring, measured_together, training_rate
from convtrials.training.engine.execution import Execution

SHAPE = (12, 12, 1)


def test_the_fastest_of_what_was_measured_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrangement, "available_cores", lambda: 2)
    monkeypatch.setattr(arrangement, "MEASURED_SECONDS", 0.2)
    lines: list[str] = []
    chosen = choose_arrangement(BASE, SHAPE, 4, precision="fp32", report=lines.append)
    assert [(one["workers"], one["threads"]) for one in chosen.measured] == [(2, 1), (1, 2)]
    best = max(chosen.measured, key=lambda one: one["images_per_second"])
    assert (chosen.workers, chosen.execution.threads) == (best["workers"], best["threads"])
    assert chosen.execution.precision == "fp32"
    assert any("2 runs at a time, 1 thread each" in line for line in lines)


def test_a_given_number_of_workers_divides_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrangement, "available_cores", lambda: 8)
    chosen = choose_arrangement(BASE, SHAPE, 4, workers=3, precision="fp32")
    assert (chosen.workers, chosen.execution.threads, chosen.measured) == (3, 2, [])
    chosen = choose_arrangement(BASE, SHAPE, 4, threads=4, precision="fp32")
    assert (chosen.workers, chosen.execution.threads) == (2, 4)
    chosen = choose_arrangement(BASE, SHAPE, 4, workers=16, precision="fp32")
    assert (chosen.workers, chosen.execution.threads) == (16, 1)


@pytest.mark.parametrize("cores", [1, 2, 3, 6, 16, 64])
def test_arrangements_never_need_more_threads_than_there_are(cores: int) -> None:
    counts = arrangement._candidates(cores)
    assert counts[0] == cores
    assert counts[-1] == 1
    assert len(counts) <= arrangement.MOST_ARRANGEMENTS
    assert all(count * (cores // count) <= cores for count in counts)


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(StudyError, match="--workers 0: must be 1 or more"):
        choose_arrangement(BASE, SHAPE, 4, workers=0)
    with pytest.raises(RunError, match="allowed are cpu and cuda"):
        choose_arrangement(BASE, SHAPE, 4, device="abacus")


def test_processes_measure_together_and_a_dead_one_is_told() -> None:
    execution = Execution("cpu", "fp32", True, 1)
    processes = [begin_measuring(StepProbe(BASE, SHAPE, 4), execution, 0.1) for _ in range(2)]
    rates = measured_together(processes)
    assert len(rates) == 2
    assert min(rates) > 0
    broken = begin_measuring(StepProbe(BASE, (0, 0, 0), 4), execution, 0.1)
    with pytest.raises(StudyError, match="--workers N leaves the measuring out"):
        measured_together([broken])
    broken.wait()


def test_a_rate_counts_images_of_whole_steps() -> None:
    begun: list[bool] = []
    probe = StepProbe(BASE, SHAPE, 4)
    rate = training_rate(probe, Execution("cpu", "fp32", True, 1), 0.0, lambda: begun.append(True))
    assert begun == [True]
    assert rate > 0
