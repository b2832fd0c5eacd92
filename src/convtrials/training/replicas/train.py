"""Train several seeds of one recipe at once; each becomes an ordinary run directory."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from convtrials.core.errors import Interrupted, RunError
from convtrials.core.log import get_logger, quiet
from convtrials.core.progress import progress_task
from convtrials.data.dataset import Dataset
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.custom import try_custom_parts
from convtrials.training.engine.execution import Execution, check_execution
from convtrials.training.engine.finish import finish_run
from convtrials.training.engine.identity import (
    check_empty,
    check_same,
    check_trainable,
    dataset_as_asked,
    identify,
    write_description,
)
from convtrials.training.engine.input_stats import normalised_as
from convtrials.training.engine.network import initial_network, names_layers, recipe_network
from convtrials.training.engine.progress import RunLength, stop_request
from convtrials.training.engine.setup import make_fabric, open_splits, torch_left_as_it_was
from convtrials.training.engine.train import CHECKPOINT_SECONDS
from convtrials.training.engine.weighting import log_weighting
from convtrials.training.loggers.log_to import LogTo
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.callback import OnProgress, ReplicasCallback
from convtrials.training.replicas.grouped import unknown_layer
from convtrials.training.replicas.loop import replica_loop
from convtrials.training.replicas.passes import Method
from convtrials.training.replicas.stepping import check_for_replicas
from convtrials.training.replicas.team import Replica, Team, usual_method
from convtrials.training.run_directory import Run

_log = get_logger(__name__)


def train_replicas(
    recipe: Recipe,
    dataset: Dataset,
    seeds: Sequence[int],
    outs: Sequence[str | Path],
    *,
    execution: Execution,
    method: Method | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_progress: OnProgress | None = None,
    log_to: str | Sequence[str] | LogTo | None = None,
) -> list[Run]:
    """Train one run per seed, all at once in this process.

    Each run draws its initial weights, order, augmentation and dropout as `train` would, and
    leaves the same files; results are equal but for rounding. Time and CPU time are shared out evenly. A replica that
    diverges ends as diverged, and the others go on. Called again with the same arguments it goes on where it was
    stopped or killed; so does ``train`` with any one of the directories.

    Parameters
    ----------
    seeds : sequence of int
        All different.
    outs : sequence of path
        The run directory of each.
    method : {"grouped", "side_by_side"}, optional
        How they are computed: by grouped convolutions, or network after network (on a GPU on streams of their own).
        By default grouped, where every layer of the network is known.
    checkpoint_seconds : float
        Seconds between checkpoints inside an epoch.
    on_progress : callable, optional
        Gets, after some steps, how far each run is.
    log_to : str or sequence of str, optional
        As for `train`.

    Returns
    -------
    list of Run
        In the order of the seeds; each has a result.

    Raises
    ------
    RunLocked
        Another process is training one of the runs.
    RunError
        A directory holds another run, the data cannot be trained on, or the network cannot be replicated.
    Interrupted
        After Ctrl-C or SIGTERM, with checkpoints written.
    """
    if len(set(seeds)) < len(seeds) or len(seeds) != len(outs) or not seeds:
        raise RunError("replicas: one directory for each of one or more different seeds is needed")
    dataset = dataset_as_asked(recipe, dataset, outs[0])
    check_trainable(recipe, dataset)
    dataset = normalised_as(recipe, dataset)
    check_execution(execution)
    log_to = LogTo.of(log_to)
    runs = [Run(out) for out in outs]
    shape, classes = dataset.image_shape, len(dataset.class_names)
    if not all(run.exists for run in runs):  # refused before anything is written
        check_for_replicas(recipe)
        try_custom_parts(recipe, shape, classes)
        log_weighting(recipe, dataset)
        if names_layers(recipe):
            with quiet():  # each replica's own lines come later
                initial_network(recipe, dataset, seeds[0])
    with ExitStack() as held:
        for run in runs:
            held.enter_context(run.lock())
        held.enter_context(torch_left_as_it_was())
        sample = recipe_network(recipe, shape, classes, seeds[0])
        method = method or usual_method(sample)
        if method == "grouped" and (layer := unknown_layer(sample)):
            _log.warning(f"replicas: {layer} cannot be grouped; going on side by side")
            method = "side_by_side"
        for run, seed in zip(runs, seeds, strict=True):
            _begin(run, recipe, dataset, seed, execution, {"together": len(seeds), "way": method})
        unfinished = [(run, seed) for run, seed in zip(runs, seeds, strict=True) if not run.finished]
        with stop_request().listening() as stop:
            make_team = partial(Team, recipe, execution=execution, method=method)
            make_callback = partial(
                ReplicasCallback,
                stop=stop,
                epochs=recipe.epochs,
                interval=checkpoint_seconds,
                on_progress=on_progress,
                log_to=log_to,
            )
            try:
                replicas = _replicas(unfinished, recipe, dataset, execution)
                _train(replicas, recipe, dataset, execution, make_team, make_callback)
            except (OSError, SafetensorError) as error:
                raise RunError(
                    f"replicas: training cannot go on: {error}\nthe same call goes on from the last checkpoints"
                ) from error
        if stop.asked:  # while the last end was being written
            raise Interrupted("replicas: finished; stopped before anything else")
    return runs


def _begin(
    run: Run, recipe: Recipe, dataset: Dataset, seed: int, execution: Execution, replicas: dict[str, Any]
) -> None:
    """Write what is known before step 0, or check that it is this run."""
    identity = identify(recipe, dataset, seed, recorded=run.identity if run.exists else None)
    if run.exists:
        check_same(run, identity, execution.to_dict())
        return
    check_empty(run)
    write_description(run, recipe, dataset, identity, execution, replicas)


def _train(
    replicas: Sequence[Replica],
    recipe: Recipe,
    dataset: Dataset,
    execution: Execution,
    make_team: Callable[[Sequence[Replica]], Team],
    make_callback: Callable[..., ReplicasCallback],
) -> None:
    """Train those at once that stand at the same step: all of them, unless a kill came between two checkpoints."""
    train_split, val_split = open_splits(dataset, execution)
    length = RunLength.of(recipe, len(train_split))
    for (step, _), members in groupby(sorted(replicas, key=_place), key=_place):
        team, started, seen = list(members), time.perf_counter(), length.images_after(step)
        total = length.total_images
        with (
            ExitStack() as files,
            progress_task(f"train {len(team)} x {recipe.model}", total * len(team), log_steps=False) as task,
        ):
            task.advance(seen * len(team))
            callback = make_callback(team, task, files, images=(seen, total))
            for one, outcome in replica_loop(recipe, team, make_team, train_split, val_split, callback):
                seconds = (time.perf_counter() - started) / len(team)
                finish_run(one.run, dataset, one.seed, one.state, outcome, val_split, seconds)


def _place(replica: Replica) -> tuple[int, int]:
    """Where a replica stands: steps, and epochs that have been validated."""
    return replica.state.step, len(replica.state.history)


def _replicas(
    unfinished: Sequence[tuple[Run, int]],
    recipe: Recipe,
    dataset: Dataset,
    execution: Execution,
) -> list[Replica]:
    """Build each replica's network and state as a run of its own would, and go back to its checkpoint."""
    shape, classes, fabric = dataset.image_shape, len(dataset.class_names), make_fabric(execution)
    replicas = []
    for run, seed in unfinished:
        resuming = run.checkpoint_path.is_file()
        network = (
            recipe_network(recipe, shape, classes, seed)
            if resuming
            else initial_network(recipe, dataset, seed)
        )
        network = network.to(memory_format=execution.memory_format)  # type: ignore[call-overload]
        state = TrainingState.start(recipe, fabric, network)
        if resuming:
            state.load(run)
            _log.info(f"seed {seed}: resumed at step {state.step}")
        replicas.append(Replica(run, seed, state, network))
    return replicas
