"""How many replicas at once, and in which way: measured by training the recipe's network on drawn images."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convtrials.data.batches import as_channels_last, as_contiguous
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.network import recipe_network
from convtrials.training.engine.setup import make_fabric
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.graphs import Speedup
from convtrials.training.replicas.grouped import unknown_layer
from convtrials.training.replicas.passes import MicroBatch, Way
from convtrials.training.replicas.team import Manner, Replica, Team, usual_speedup
from convtrials.training.run import Run

#: What is tried on a GPU.
CANDIDATES = (1, 2, 4, 8)

#: More replicas must be faster by this factor: they also need more memory, and longer until the first verdict.
NEEDED_FACTOR = 1.1


@dataclass(frozen=True)
class Together:
    """How many replicas, in which way, and what was measured.

    Attributes
    ----------
    replicas : int
    way : {"grouped", "side_by_side"}
    measured : list of dict
        ``replicas``, ``way`` and ``images_per_second`` (of all replicas together).
    """

    replicas: int
    way: Way
    measured: list[dict[str, Any]]


def choose_replicas(
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    classes: int,
    execution: Execution,
    *,
    candidates: Sequence[int] = CANDIDATES,
    seconds: float = 1.0,
    report: Callable[[str], None] = lambda line: None,
) -> Together:
    """Choose the fastest number of replicas and way.

    Parameters
    ----------
    recipe : Recipe
    image_shape : tuple of int
        (H, W, C).
    classes : int
    execution : Execution
    candidates : sequence of int
        Rising.
    seconds : float
        For each, after its first steps.
    report : callable
        Takes a line for each thing measured.
    """
    ways: tuple[Way, ...] = ("grouped", "side_by_side")
    if unknown_layer(recipe_network(recipe, image_shape, classes, seed=0)):
        ways = ("side_by_side",)
    best, measured = (candidates[0], ways[0], 0.0), []
    for replicas in candidates:
        for way in ways if replicas > 1 else ways[:1]:
            try:
                rate = replica_rate(recipe, image_shape, classes, execution, replicas, way, seconds=seconds)
            except torch.OutOfMemoryError:
                report(f"probe: {replicas} replicas, {way.replace('_', ' ')}: too little memory")
                continue
            except Exception as error:  # the executor trains such runs one at a time
                why = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
                report(f"probe: {replicas} replicas, {way.replace('_', ' ')}: not possible ({why})")
                continue
            report(f"probe: {replicas} replicas, {way.replace('_', ' ')}: {rate:,.0f} images/s together")
            measured.append({"replicas": replicas, "way": way, "images_per_second": rate})
            if rate > best[2] * (NEEDED_FACTOR if replicas > best[0] else 1.0):
                best = (replicas, way, rate)
    return Together(best[0], best[1], measured)


def replica_rate(
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    classes: int,
    execution: Execution,
    replicas: int,
    way: Way,
    *,
    speedup: Speedup | None = None,
    seconds: float = 1.0,
    note: Callable[[str], None] = lambda line: None,
) -> float:
    """Train replicas on drawn images for some seconds; return images per second of all together.

    Dropout draws and optimizer steps are in it; reading images, augmentation and validation are not.
    """
    fabric = make_fabric(execution)
    members = []
    for seed in range(replicas):
        network = recipe_network(recipe, image_shape, classes, seed)
        network = network.to(memory_format=execution.memory_format)  # type: ignore[call-overload]
        members.append(Replica(Run(Path()), seed, TrainingState.start(recipe, fabric, network), network))
    team = Team(recipe, members, Manner(execution, way, speedup or usual_speedup(execution), note))
    batch = _drawn(recipe, image_shape, classes, execution, replicas)
    rates = [recipe.optimizer.lr or 0.0] * replicas
    images = batch.labels.numel()
    with torch.random.fork_rng(devices=[]):
        for _ in range(3):
            team.step(batch, rates)
        return images * _steps_per_second(lambda: team.step(batch, rates), seconds, execution.device)


def _steps_per_second(step: Callable[[], Any], seconds: float, device: str) -> float:
    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    wait()
    started, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - started < seconds:
        for _ in range(10 if device == "cuda" else 1):
            step()
            steps += 1
        wait()
    return steps / (time.perf_counter() - started)


def _drawn(
    recipe: Recipe, image_shape: tuple[int, int, int], classes: int, execution: Execution, replicas: int
) -> MicroBatch:
    height, width, channels = image_shape
    count = recipe.batch_size * recipe.accumulate
    draws = np.random.default_rng(0)
    pixels = draws.random((replicas * count, channels, height, width), np.float32)
    lay_out = as_channels_last if execution.channels_last else as_contiguous
    images = lay_out(torch.from_numpy(pixels).to(execution.device))
    labels = torch.from_numpy(draws.integers(classes, size=(replicas, count))).to(execution.device)
    return MicroBatch(images.view(replicas, count, channels, height, width), labels)
