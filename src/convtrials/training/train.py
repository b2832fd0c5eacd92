"""Train one recipe with one seed on one dataset: from nothing, or on from a checkpoint."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from convtrials.core.errors import RunError
from convtrials.core.files import atomic_path, write_json
from convtrials.core.progress import progress_task, say, say_nothing
from convtrials.data.batches import Batches, steps_per_epoch
from convtrials.data.dataset import Dataset
from convtrials.data.reopen import reopen_dataset, source_name
from convtrials.models.registry import build_model
from convtrials.models.weights import load_weights, save_weights
from convtrials.training.curves import CurveWriter
from convtrials.training.environment import describe_environment
from convtrials.training.execution import Execution, Precision, probe_execution
from convtrials.training.loop import Outcome, train_loop
from convtrials.training.predict import predict_probabilities, validation_metrics
from convtrials.training.recipe import Recipe
from convtrials.training.run_directory import Run, default_run_folder
from convtrials.training.state import TrainingState, steps_in
from convtrials.training.watching import RunWatcher, StopRequest

#: Seconds between checkpoints inside an epoch.
CHECKPOINT_SECONDS = 60.0

#: What a person can try when the loss is no longer a number.
DIVERGED_ADVICE = "try a lower optimizer.lr, clip_norm=1, schedule.warmup, or precision fp32"


def train(
    recipe: Recipe,
    dataset: Dataset,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
    execution: Execution | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    silent: bool = False,
) -> Run:
    """Train, keep the weights that count, and classify the test split once.

    Called again with the same arguments it goes on where it was stopped or killed; the weights are then bit for bit
    those of a run never killed (CPU, same machine kind, same execution). A finished run is returned as it is.

    Parameters
    ----------
    recipe : Recipe
    dataset : Dataset
        Needs images in train and val; an empty test split is allowed, its predictions are then left out.
    seed : int
        Initial weights, order, augmentation and dropout follow from it.
    out : path, optional
        The run directory; by default ``runs/MODEL-DATASET-RECIPE-seedN``.
    precision, threads
        Given: kept. Otherwise chosen by a short measured probe.
    execution : Execution, optional
        The whole execution, where a study fixes it for all arms; no probe then.
    checkpoint_seconds : float
        Seconds between checkpoints inside an epoch.
    silent : bool
        No progress output.

    Returns
    -------
    Run
        Its ``result`` says ``finished`` or ``diverged``.

    Raises
    ------
    RunError
        The directory holds another run, or the data cannot be trained on.
    Interrupted
        After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    _check_splits(dataset)
    run = Run(out if out is not None else default_run_folder(recipe, dataset.name, seed))
    identity = {"seed": seed, "recipe": recipe.fingerprint(), "dataset": dataset.fingerprint}
    note = say_nothing if silent else say
    with run.lock(), StopRequest().listening() as stop:
        if run.exists:
            _check_same(run, identity, precision, threads, execution)
            if run.finished:
                return run
            execution = Execution(**run.execution)
        else:
            _check_empty(run)
            execution = execution or probe_execution(
                lambda: _network(recipe, dataset, seed),
                dataset.image_shape,
                precision=precision,
                threads=threads,
                report=note,
            )
            run.begin(
                recipe,
                execution=execution.to_dict(),
                environment=describe_environment(),
                dataset=_describe(dataset),
                identity=identity,
            )
        note(f"execution: {execution.describe()}")
        _train(run, recipe, dataset, seed, execution, stop, checkpoint_seconds, silent, note)
    return run


def resume(
    folder: str | Path, *, checkpoint_seconds: float = CHECKPOINT_SECONDS, silent: bool = False
) -> Run:
    """Go on with an unfinished run, from its directory alone.

    Raises
    ------
    RunError, DataError
        No run there, or its data is gone or has changed.
    """
    run = Run(folder)
    recipe, identity = run.recipe, run.identity
    if run.finished:
        return run
    dataset = reopen_dataset(run.dataset, silent=silent)
    return train(
        recipe,
        dataset,
        seed=identity["seed"],
        out=run.folder,
        checkpoint_seconds=checkpoint_seconds,
        silent=silent,
    )


def _train(
    run: Run,
    recipe: Recipe,
    dataset: Dataset,
    seed: int,
    execution: Execution,
    stop: StopRequest,
    checkpoint_seconds: float,
    silent: bool,
    note: Callable[[str], None],
) -> None:
    started = time.perf_counter()
    torch.set_num_threads(execution.threads)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision, as we did
    fabric = Fabric(accelerator=execution.device, devices=1, precision=execution.fabric_precision)
    network = _network(recipe, dataset, seed, note)
    network = network.to(memory_format=execution.memory_format)  # type: ignore[call-overload]
    state = TrainingState.start(recipe, fabric, network)
    if run.checkpoint_path.is_file():
        state.load(run.checkpoint_path)
        note(f"resumed at step {state.step}")
    train_split, val_split = (Batches(dataset, name, execution.device) for name in ("train", "val"))
    per_epoch = steps_per_epoch(len(train_split), recipe.batch_size * recipe.accumulate)
    images = round(steps_in(recipe.epochs, per_epoch) / per_epoch * len(train_split))
    with (
        CurveWriter(run.folder, state.history) as curves,
        progress_task(f"train {recipe.model}", images, silent=silent, log_steps=False) as task,
    ):
        task.advance(state.step / per_epoch * len(train_split))
        watcher = RunWatcher(
            run, task, curves, stop, epochs=recipe.epochs, checkpoint_seconds=checkpoint_seconds
        )
        outcome = train_loop(recipe, seed, state, train_split, val_split, watcher)
    _finish(run, recipe, dataset, seed, state, outcome, val_split, time.perf_counter() - started)


def _finish(
    run: Run,
    recipe: Recipe,
    dataset: Dataset,
    seed: int,
    state: TrainingState,
    outcome: Outcome,
    val: Batches,
    seconds: float,
) -> None:
    """Write weights, predictions and, last, the result."""
    run.write_history(state.history)
    result: dict[str, Any] = {
        "status": "finished" if outcome.diverged_at is None else "diverged",
        "seed": seed,
        "epochs": len(state.history),
        "steps": state.step,
        "stopped_early": outcome.stopped_early,
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
        "train_seconds": state.train_seconds,
        "seconds_since_start_or_resume": seconds,
    }
    if outcome.diverged_at is not None:
        result |= {"diverged_at": outcome.diverged_at, "advice": DIVERGED_ADVICE}
    else:
        weights, kept = state.kept_weights()
        best_epoch = state.stopper.best_epoch if kept == "best" and state.stopper else len(state.history)
        state.judged.load_state_dict(weights)
        save_weights(state.judged, run.weights_path)
        result |= {"kept": kept, "best_epoch": best_epoch}
        result |= validation_metrics(*predict_probabilities(state.judged, val))
        if len(dataset.indices("test")):
            result["test_accuracy"] = _write_predictions(run, dataset, state)
    write_json(run.folder / "result.json", result)
    run.checkpoint_path.unlink(missing_ok=True)


def _write_predictions(run: Run, dataset: Dataset, state: TrainingState) -> float:
    """Classify the test split, this once; return the accuracy."""
    test = Batches(dataset, "test", str(state.fabric.device))
    probabilities, labels = predict_probabilities(state.judged, test)
    with atomic_path(run.predictions_path) as temporary, open(temporary, "wb") as file:
        np.savez(file, probabilities=probabilities, labels=labels, indices=dataset.indices("test"))
    return float((probabilities.argmax(axis=1) == labels).mean())


def _network(
    recipe: Recipe, dataset: Dataset, seed: int, note: Callable[[str], None] = say_nothing
) -> nn.Module:
    height, width, channels = dataset.image_shape
    network = build_model(
        recipe.model,
        classes=len(dataset.class_names),
        channels=channels,
        image_size=(height, width),
        width=recipe.width,
        dropout=recipe.dropout,
        activation=recipe.activation,
        batch_norm=recipe.batch_norm,
        classifier_width=recipe.classifier_width,
        seed=seed,
    )
    if recipe.initial_weights:
        for message in load_weights(network, Path(recipe.initial_weights)):
            note(message)
    return network


def _describe(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "source": source_name(dataset),
        "options": dataset.manifest.get("options"),
        "fingerprint": dataset.fingerprint,
        "counts": dataset.counts(),
        "class_names": list(dataset.class_names),
        "image_shape": list(dataset.image_shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "pack": str(dataset.folder) if dataset.folder else None,
    }


def _check_splits(dataset: Dataset) -> None:
    counts = dataset.counts()
    for name in ("train", "val"):
        if not counts[name]:
            raise RunError(f"dataset {dataset.name}: no images in the {name} split; training needs some")
    if len(dataset.class_names) < 2:
        raise RunError(f"dataset {dataset.name}: one class only; a classifier needs two or more")


def _check_same(
    run: Run,
    identity: dict[str, Any],
    precision: str | None,
    threads: int | None,
    execution: Execution | None,
) -> None:
    for key, value in identity.items():
        if run.identity.get(key) != value:
            raise RunError(
                f"{run.folder}: holds a run with another {key} ({run.identity.get(key)}, not {value})\n"
                "choose another --out; a run directory is never overwritten"
            )
    recorded = run.execution
    wanted = execution.to_dict() if execution else {"precision": precision, "threads": threads}
    for key, value in wanted.items():
        if value is not None and recorded.get(key) != value and not run.finished:
            raise RunError(
                f"{run.folder}: was begun with {key} {recorded.get(key)} and keeps it; "
                f"leave out {key} {value}, or choose another --out"
            )


def _check_empty(run: Run) -> None:
    foreign = [entry.name for entry in run.folder.iterdir() if entry.name != ".lock"]
    ours = {"recipe.yaml", "execution.json", "environment.json", "dataset.json"}  # killed while beginning
    if any(name not in ours and not name.startswith(".") for name in foreign):
        raise RunError(
            f"{run.folder}: not empty and no run directory ({sorted(foreign)[0]} is there); choose another --out"
        )
