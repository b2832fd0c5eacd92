"""Autotune: how the runs of a study are computed, and how many at a time; timed side by side, recorded."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from convtrials.core.errors import StudyError
from convtrials.core.log import get_logger
from convtrials.core.process import available_cores
from convtrials.study.schemas import StudyExecution
from convtrials.training.engine.device import check_device
from convtrials.training.engine.execution import ComputeOptions, Execution
from convtrials.training.engine.step_timing import (
    StepProbe,
    autotune_execution,
    mean_time,
    step_times,
    training_step,
)
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.choose import choose_replicas

_log = get_logger(__name__)

#: Seconds that every number of workers trains while it is timed, after its first step.
MEASURED_SECONDS = 1.5

#: At most so many numbers of workers are timed; each needs processes that import torch.
MOST_CANDIDATES = 4

#: Images of 28x28 in a timed step at most, so that timing large batches stays short.
_MOST_IMAGES = 256


def autotune_study(probe: StepProbe, options: ComputeOptions) -> StudyExecution:
    """Choose precision, memory format, threads, workers and replicas by training the baseline for some seconds.

    A line is logged for each thing timed.

    Parameters
    ----------
    probe : StepProbe
        The baseline.
    options : ComputeOptions
        What is given is kept, and not timed.
    """
    if (options.replicas or 1) > 1:
        options = replace(options, workers=1)
        chosen = _autotune_workers(probe, options)
        return chosen.model_copy(update={"replicas": options.replicas})
    chosen = _autotune_workers(probe, options)
    if chosen.execution.device_type != "cuda" or options.replicas is not None or options.workers is not None:
        return chosen
    found = choose_replicas(probe, chosen.execution)
    measured = {"replicas_measured": found.measured} if found.measured else {}
    return chosen.model_copy(update={"replicas": found.replicas, "replica_way": found.method, **measured})


def _autotune_workers(probe: StepProbe, options: ComputeOptions) -> StudyExecution:
    cores, workers, threads = available_cores(), options.workers, options.threads

    def choose(count: int) -> Execution:
        return autotune_execution(
            probe,
            precision=options.precision,
            threads=count,
            device=options.device,
            channels_last=options.channels_last,
        )

    if options.device is not None:
        check_device(options.device)
    if workers is not None or threads is not None:
        known_threads = threads or max(1, cores // (workers or 1))
        execution = choose(known_threads)
        fitting = max(1, cores // known_threads) if execution.device == "cpu" else 1
        return StudyExecution.of(execution, workers or fitting)
    execution = choose(1)
    if execution.device != "cpu" or cores == 1:
        return StudyExecution.of(execution)
    measured = [_time_workers(probe, execution, count, cores // count) for count in _candidates(cores)]
    best = max(measured, key=lambda one: one["images_per_second"])
    return StudyExecution.of(replace(execution, threads=best["threads"]), best["workers"], measured=measured)


def _candidates(cores: int) -> list[int]:
    """One worker per core, then half as many, and so on; one alone last."""
    counts: list[int] = []
    count = cores
    while count > 1 and len(counts) < MOST_CANDIDATES - 1:
        counts.append(count)
        count //= 2
    return [*counts, 1]


def _time_workers(probe: StepProbe, execution: Execution, workers: int, threads: int) -> dict[str, Any]:
    """Train in so many processes side by side; return their images per second together."""
    one = replace(execution, threads=threads)
    processes = [begin_timing(probe, one, MEASURED_SECONDS) for _ in range(workers)]
    try:
        rate = sum(rates_side_by_side(processes))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    _log.info(
        f"probe: {workers} run{'s' if workers > 1 else ''} at a time, {threads} thread"
        f"{'s' if threads > 1 else ''} each: {rate:,.0f} images/s together"
    )
    return {"workers": workers, "threads": threads, "images_per_second": rate}


def begin_timing(probe: StepProbe, execution: Execution, seconds: float) -> "subprocess.Popen[str]":
    """Start a process that trains for some seconds once a line on its input says so; see `rates_side_by_side`."""
    wanted = {
        "probe": {**asdict(probe), "recipe": probe.recipe.model_dump(mode="json")},
        "execution": execution.to_dict(),
        "seconds": seconds,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "convtrials.study.execute.autotune", json.dumps(wanted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": str(execution.threads)},
    )


def rates_side_by_side(processes: "Sequence[subprocess.Popen[str]]") -> list[float]:
    """Let all processes train during the same moment; return the images per second of each.

    Raises
    ------
    StudyError
        One of them ended without an answer.
    """
    for process in processes:  # each says when its network is ready
        _line(process)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [float(_line(process)) for process in processes]


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    text = process.stdout.readline()
    if not text:
        raise StudyError(
            f"a process that should measure the speed of training ended with code {process.wait()}; "
            "--workers N leaves the measuring out"
        )
    return text


def main() -> None:
    """Time what the command line says, when a line on standard input says so."""
    wanted = json.loads(sys.argv[1])
    recipe, shape = Recipe.make(wanted["probe"]["recipe"]), tuple(wanted["probe"]["image_shape"])
    execution = Execution(**wanted["execution"])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a network of your own prints must not look like an answer

    step, images = training_step(
        StepProbe(recipe, shape, wanted["probe"]["classes"]), execution, _MOST_IMAGES
    )
    times = step_times(step, execution.device)
    next(times)  # warms up
    print("ready", file=answers, flush=True)
    sys.stdin.readline()
    print(images / mean_time(times, wanted["seconds"]), file=answers, flush=True)


if __name__ == "__main__":
    main()
