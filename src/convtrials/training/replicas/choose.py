"""How many replicas at once, and by which method: timed by training the recipe's network on drawn images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from convtrials.core.log import get_logger
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.setup import make_fabric
from convtrials.training.engine.step_timing import StepProbe, mean_time, step_times
from convtrials.training.replicas.batch import MicroBatch
from convtrials.training.replicas.grouped import unknown_layer
from convtrials.training.replicas.passes import Method
from convtrials.training.replicas.team import Replica, Team
from convtrials.training.run_directory import Run

_log = get_logger(__name__)

#: What is tried on a GPU.
CANDIDATES = (1, 2, 4, 8)

#: More replicas must be faster by this factor: they also need more memory, and longer until the first verdict.
NEEDED_FACTOR = 1.1


@dataclass(frozen=True)
class ReplicaChoice:
    """How many replicas, by which method, and what was timed.

    Attributes
    ----------
    method : {"grouped", "side_by_side"} or None
        None: chosen by the network, see `usual_method`.
    measured : list of dict
        ``replicas``, ``way`` (the method) and ``images_per_second`` (of all replicas together).
    """

    replicas: int = 1
    method: Method | None = None
    measured: list[dict[str, Any]] = field(default_factory=list)


def choose_replicas(
    probe: StepProbe,
    execution: Execution,
    *,
    candidates: Sequence[int] = CANDIDATES,
    seconds: float = 1.0,
) -> ReplicaChoice:
    """Choose the fastest number of replicas and method; a line is logged for each thing measured.

    Parameters
    ----------
    candidates : sequence of int
        Rising.
    seconds : float
        For each, after its first steps.
    """
    methods: tuple[Method, ...] = ("grouped", "side_by_side")
    if unknown_layer(probe.network(execution)):
        methods = ("side_by_side",)
    best, measured = (candidates[0], methods[0], 0.0), []
    for replicas in candidates:
        for method in methods if replicas > 1 else methods[:1]:
            try:
                rate = replica_rate(probe, execution, replicas, method, seconds=seconds)
            except torch.OutOfMemoryError:
                _log.info(f"probe: {replicas} replicas, {method.replace('_', ' ')}: too little memory")
                continue
            except Exception as error:  # the executor trains such runs one at a time
                why = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
                _log.info(f"probe: {replicas} replicas, {method.replace('_', ' ')}: not possible ({why})")
                continue
            _log.info(
                f"probe: {replicas} replicas, {method.replace('_', ' ')}: {rate:,.0f} images/s together"
            )
            measured.append({"replicas": replicas, "way": method, "images_per_second": rate})
            if rate > best[2] * (NEEDED_FACTOR if replicas > best[0] else 1.0):
                best = (replicas, method, rate)
    return ReplicaChoice(best[0], best[1], measured)


def replica_rate(
    probe: StepProbe,
    execution: Execution,
    replicas: int,
    method: Method,
    *,
    graphs: bool | None = None,
    seconds: float = 1.0,
) -> float:
    """Train replicas on drawn images for some seconds; return images per second of all together.

    Dropout draws and optimizer steps are in it; reading images, augmentation and validation are not.
    """
    fabric, recipe = make_fabric(execution), probe.recipe
    members = []
    for seed in range(replicas):
        network = probe.network(execution, seed)
        members.append(Replica(Run(Path()), seed, TrainingState.start(recipe, fabric, network), network))
    team = Team(recipe, members, execution, method, graphs=graphs)
    images, labels = probe.images(execution, replicas * recipe.batch_size * recipe.accumulate)
    batch = MicroBatch(images.view(replicas, -1, *images.shape[1:]), labels.view(replicas, -1))
    rates = [recipe.optimizer.lr or 0.0] * replicas
    with torch.random.fork_rng(devices=[]):  # dropout sets the generator
        at_once = 10 if execution.device_type == "cuda" else 1
        times = step_times(lambda: team.step(batch, rates), execution.device, at_once=at_once)
        for _ in islice(times, 3):  # the first ones also warm up
            pass
        return len(images) / mean_time(times, seconds)
