"""The arrangement: how many runs at a time, with how many threads each; measured side by side, recorded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convtrials.core.errors import StudyError
from convtrials.core.process import available_cores
from convtrials.study.execute.step_rate import StepProbe, begin_measuring, measured_together
from convtrials.training.engine.execution import Execution, Precision, check_device, probe_execution
from convtrials.training.recipe.recipe import Recipe

#: Seconds that every arrangement trains while it is measured, after its first steps.
MEASURED_SECONDS = 1.5

#: At most so many arrangements are measured; each needs processes that import torch.
MOST_ARRANGEMENTS = 4


@dataclass(frozen=True)
class Arrangement:
    """How the runs of a study are computed.

    Attributes
    ----------
    execution : Execution
        The same for every run: a part of what makes them comparable.
    workers : int
        Runs at a time. Another number on another day changes speed, never results.
    measured : list of dict
        ``workers``, ``threads`` and ``images_per_second`` (of all workers together) of what was tried.
    """

    execution: Execution
    workers: int
    measured: list[dict[str, Any]]


def choose_arrangement(
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    workers: int | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
    device: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Arrangement:
    """Choose precision, memory format, threads and workers by training the baseline for some seconds.

    Parameters
    ----------
    recipe : Recipe
        The baseline.
    image_shape : tuple of int
        (H, W, C).
    classes : int
    workers, precision, threads, device
        Given by a person: then kept, and not measured.
    report : callable
        Takes a line for each thing measured.
    """
    cores = available_cores()
    for name, value in (("--workers", workers), ("--threads", threads)):
        if value is not None and value < 1:
            raise StudyError(f"{name} {value}: must be 1 or more")
    probe = StepProbe(recipe, image_shape, classes)

    def choose(count: int) -> Execution:
        return probe_execution(
            probe.network, image_shape, precision=precision, threads=count, device=device, report=report
        )

    if device is not None:
        check_device(device)
    if workers is not None or threads is not None:
        known_threads = threads or max(1, cores // (workers or 1))
        execution = choose(known_threads)
        return Arrangement(execution, workers or _as_many(execution, cores // known_threads), [])
    execution = choose(1)
    if execution.device != "cpu" or cores == 1:
        return Arrangement(execution, 1, [])
    measured = [_measure(probe, execution, count, cores // count, report) for count in _candidates(cores)]
    best = max(measured, key=lambda one: one["images_per_second"])
    chosen = Execution(execution.device, execution.precision, execution.channels_last, best["threads"])
    return Arrangement(chosen, best["workers"], measured)


def _as_many(execution: Execution, fitting: int) -> int:
    return max(1, fitting) if execution.device == "cpu" else 1


def _candidates(cores: int) -> list[int]:
    """One worker a core, then half as many, and so on; one alone last."""
    counts: list[int] = []
    count = cores
    while count > 1 and len(counts) < MOST_ARRANGEMENTS - 1:
        counts.append(count)
        count //= 2
    return [*counts, 1]


def _measure(
    probe: StepProbe, execution: Execution, workers: int, threads: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Train in so many processes side by side; return their images per second together."""
    one = Execution(execution.device, execution.precision, execution.channels_last, threads)
    processes = [begin_measuring(probe, one, MEASURED_SECONDS) for _ in range(workers)]
    try:
        rate = sum(measured_together(processes))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    report(
        f"probe: {workers} run{'s' if workers > 1 else ''} at a time, {threads} thread"
        f"{'s' if threads > 1 else ''} each: {rate:,.0f} images/s together"
    )
    return {"workers": workers, "threads": threads, "images_per_second": rate}
