"""Inference measured: latency, throughput and accuracy lost of every engine, on one run and its test split."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convtrials.core.log import get_logger
from convtrials.core.process import available_cores
from convtrials.core.progress import Task, progress_task
from convtrials.data.dataset import Dataset
from convtrials.data.rows import rows_of
from convtrials.deploy.extra import DeployError
from convtrials.deploy.images import calibration_images, held_out_positions
from convtrials.deploy.inference_accuracy import compare_predictions
from convtrials.deploy.inference_engines import ENGINES, REFERENCE, Engine, EngineBuilder, check_engine_names
from convtrials.deploy.inference_timing import summarise_latencies, take_turns
from convtrials.deploy.predictor import load_finished_run
from convtrials.training.engine.environment import describe_environment
from convtrials.training.run_directory import Run

_log = get_logger(__name__)

#: Images that an engine classifies at once while its accuracy is taken, of 28x28; fewer of larger ones.
_ACCURACY_PIXELS = 256 * 28 * 28

LARGEST_BATCH = 65536
MOST_BATCH_SIZES = 8


def bench_inference(
    run: Run,
    dataset: Dataset,
    *,
    engines: Sequence[str] = (),
    batch_sizes: Sequence[int] = (1, 512),
    threads: int | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    most_images: int | None = None,
) -> dict[str, Any]:
    """Measure a finished run's inference.

    Parameters
    ----------
    run : Run
        Finished, with weights.
    dataset : Dataset
        The one it was trained on. The test split is classified; int8 is calibrated on validation images.
    engines : sequence of str
        Names in `ENGINES`; all by default. The reference is classified with in any case, and timed if named.
    batch_sizes : sequence of int
        1 to 65536, at most 8 of them.
    threads : int, optional
        All cores of this process by default.
    rounds : int
        Turns of each engine and batch size, interleaved.
    seconds : float
        Of one turn.
    most_images : int, optional
        At most so many test images, evenly spaced, for the accuracy.

    Returns
    -------
    dict
        Plain values for JSON; `convtrials.deploy.inference_table` draws it.

    Raises
    ------
    DeployError, RunError
        Bad names or sizes, no weights, other data than the run's.
    """
    names = check_engine_names(list(engines))
    sizes = check_batch_sizes(batch_sizes)
    threads = threads or available_cores()
    finished = load_finished_run(run)
    finished.check_dataset(dataset)
    positions = held_out_positions(dataset, most_images)
    calibration = calibration_images(dataset)
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with _torch_threads(threads), tempfile.TemporaryDirectory(prefix="convtrials-") as folder:
        builder = EngineBuilder(finished, calibration, threads, Path(folder))
        made, missing = _make(builder, [REFERENCE, *(name for name in names if name != REFERENCE)])
        accuracies = _accuracies(made, dataset, positions)
        timed = {name: engine for name, engine in made.items() if name in names}
        latencies = _latencies(timed, dataset, positions, sizes, rounds, seconds)
    rows = [
        _row(made[name], accuracies[name], latencies[name])
        if name in made
        else {"name": name, "summary": ENGINES[name].summary, "available": False, "reason": missing[name]}
        for name in ENGINES
        if name in names
    ]
    return {
        "what": "inference",
        "run": {
            **finished.origin,
            "parameters": sum(value.numel() for value in finished.network.parameters()),
            "image_shape": list(finished.image_shape),
        },
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "test_images": len(positions),
            "calibration": {"split": "val", "images": len(calibration)},
        },
        "settings": {
            "threads": threads,
            "rounds": rounds,
            "seconds": seconds,
            "batch_sizes": sizes,
            "most_images": most_images,
            "engines": names if engines else None,
        },
        "machine": {**_machine(), "load_before": load_before},
        "reference": REFERENCE,
        "reference_accuracy": accuracies[REFERENCE]["accuracy"],
        "engines": rows,
    }


def check_batch_sizes(sizes: Sequence[int]) -> list[int]:
    """Return batch sizes, each once.

    Raises
    ------
    DeployError
        If there are none or too many, or one is out of range.
    """
    found = list(dict.fromkeys(sizes))
    if not 1 <= len(found) <= MOST_BATCH_SIZES or not all(1 <= size <= LARGEST_BATCH for size in found):
        raise DeployError(
            f"batch sizes {', '.join(map(str, sizes)) or 'none'}: 1 to {MOST_BATCH_SIZES} sizes "
            f"of 1 to {LARGEST_BATCH} images are allowed"
        )
    return found


def _make(builder: EngineBuilder, names: list[str]) -> tuple[dict[str, Engine], dict[str, str]]:
    """Make engines; return them and why others cannot be had."""
    made: dict[str, Engine] = {}
    missing: dict[str, str] = {}
    with progress_task("make engines", len(names)) as task:
        for name in names:
            task.show(name)
            try:
                made[name] = builder.make(name)
            except DeployError as reason:
                missing[name] = str(reason)
                _log.info(f"{name}: not available: {reason}")
            task.advance()
    return made, missing


def _accuracies(
    engines: dict[str, Engine], dataset: Dataset, positions: NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    labels = dataset.labels[positions]
    found: dict[str, dict[str, Any]] = {}
    reference: NDArray[np.float32] | None = None
    with progress_task("accuracy", len(engines) * len(positions)) as task:
        for name, engine in engines.items():  # the reference is the first
            task.show(name)
            probabilities = _probabilities(engine, dataset, positions, task)
            reference = probabilities if reference is None else reference
            found[name] = compare_predictions(reference, probabilities, labels).to_dict()
    return found


def _probabilities(
    engine: Engine, dataset: Dataset, positions: NDArray[np.int64], task: Task
) -> NDArray[np.float32]:
    rows = rows_of(dataset.images)
    height, width = dataset.image_shape[:2]
    size = max(1, min(1024, _ACCURACY_PIXELS // (height * width)))
    pieces = []
    for start in range(0, len(positions), size):
        piece = positions[start : start + size]
        pieces.append(engine.classify(rows.read(piece)))
        task.advance(len(piece))
    return np.concatenate(pieces)


def _latencies(
    engines: dict[str, Engine],
    dataset: Dataset,
    positions: NDArray[np.int64],
    sizes: list[int],
    rounds: int,
    seconds: float,
) -> dict[str, dict[str, Any]]:
    """Time every engine with every batch size, in turns; keys of the result are engine, batch size."""
    rows = rows_of(dataset.images)
    batches = {size: rows.read(np.resize(positions, size)) for size in sizes}
    calls = {
        (name, size): partial(engine.classify, batches[size])
        for size in sizes
        for name, engine in engines.items()
    }
    with progress_task("latency", rounds * len(calls)) as task:
        turns = take_turns(calls, rounds=rounds, seconds=seconds, after_turn=lambda key: task.advance())
    found: dict[str, dict[str, Any]] = {name: {} for name in engines}
    for (name, size), latencies in turns.items():
        found[name][str(size)] = summarise_latencies(latencies, size)
    return found


def _row(engine: Engine, accuracy: dict[str, Any], latencies: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": engine.name,
        "summary": ENGINES[engine.name].summary,
        "available": True,
        "bytes": engine.bytes,
        **accuracy,
        "batches": latencies,
    }


def _machine() -> dict[str, Any]:
    found = describe_environment().to_dict()
    for package in ("onnx", "onnxruntime"):
        try:
            found["packages"][package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found["packages"][package] = None
    return found


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
