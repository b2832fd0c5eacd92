"""Train one recipe with one seed on one dataset: from nothing, or on from a checkpoint."""

import operator
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from convtrials.core.errors import Interrupted, RunError
from convtrials.core.log import get_logger
from convtrials.core.process import StopRequest
from convtrials.core.progress import progress_task
from convtrials.data.dataset import Dataset
from convtrials.training.engine.custom import try_custom_parts
from convtrials.training.engine.execution import Execution, Precision, check_execution
from convtrials.training.engine.finish import finish_run
from convtrials.training.engine.identity import (
    check_empty,
    check_kinds,
    check_same,
    check_trainable,
    dataset_as_asked,
    identify,
    write_description,
)
from convtrials.training.engine.input_stats import normalised_as
from convtrials.training.engine.loop import train_loop
from convtrials.training.engine.network import initial_network, names_layers, recipe_network
from convtrials.training.engine.progress import Progress, RunCallback, RunLength, stop_request
from convtrials.training.engine.setup import begin_run, torch_left_as_it_was
from convtrials.training.engine.step_timing import StepProbe, autotune_execution
from convtrials.training.engine.weighting import log_weighting
from convtrials.training.loggers.log_to import LogTo
from convtrials.training.loggers.loggers import RunLoggers
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run, default_run_folder, load_run

_log = get_logger(__name__)

#: Seconds between checkpoints inside an epoch.
CHECKPOINT_SECONDS = 60.0


def train(
    recipe: Recipe,
    dataset: Dataset,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
    device: str | None = None,
    channels_last: bool | None = None,
    execution: Execution | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_progress: Callable[[Progress], None] | None = None,
    log_to: str | Sequence[str] | LogTo | None = None,
) -> Run:
    """Train, keep the weights that count, and classify the test split once.

    Called again with the same arguments it goes on where it was stopped or killed; the weights are then bit for bit
    those of a run never killed (CPU, same machine kind, same execution). A finished run is returned as it is. torch's
    thread count and global generator are left as they were; the C library is asked to keep freed memory from then on
    (`convtrials.core.process`).

    Parameters
    ----------
    dataset : Dataset
        Needs images in train and val; an empty test split is allowed, its predictions are then left out.
    seed : int
        Initial weights, order, augmentation and dropout follow from it.
    out : path, optional
        The run directory; by default ``runs/MODEL-DATASET-DIGEST-seedN``.
    precision, threads, device, channels_last
        Given: kept. Otherwise chosen: a GPU where there is one, and the rest by a short measured probe.
    execution : Execution, optional
        The whole execution, where a study fixes it for all arms; no probe then.
    checkpoint_seconds : float
        Seconds between checkpoints inside an epoch.
    on_progress : callable, optional
        Gets, after every step, how far the run is.
    log_to : str or sequence of str, optional
        ``"mlflow"``, ``"wandb"``: recipe, curves and final metrics go there too, in the background. A service that does
        not answer changes nothing but what it knows. By default a run that goes on is sent where it was sent before;
        ``"none"`` ends that. TensorBoard files are always written.

    Returns
    -------
    Run
        Its ``result`` says ``finished`` or ``diverged``.

    Raises
    ------
    RunLocked
        Another process is training this run.
    RunError
        The directory holds another run, or the data cannot be trained on.
    WeightsError
        The file of initial weights cannot be read or does not fit; nothing is written then.
    Interrupted
        After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    log_to = LogTo.of(log_to)
    check_kinds(recipe, dataset)
    seed = operator.index(seed)  # of NumPy's integers too
    dataset = dataset_as_asked(recipe, dataset, out)
    check_trainable(recipe, dataset)
    dataset = normalised_as(recipe, dataset)
    run = Run(out if out is not None else default_run_folder(recipe, dataset, seed))
    identity = identify(recipe, dataset, seed, recorded=run.identity if run.exists else None)
    if not run.exists:
        try_custom_parts(recipe, dataset.image_shape, len(dataset.class_names))
    # Before anything is measured or written: weights or names of layers that do not fit are reported at once.
    network = initial_network(recipe, dataset, seed) if names_layers(recipe) and not run.exists else None
    with run.lock(), torch_left_as_it_was():
        if run.exists:
            asked = {
                "precision": precision,
                "threads": threads,
                "device": device,
                "channels_last": channels_last,
            }
            check_same(run, identity, execution.to_dict() if execution else asked)
            if run.finished:
                return run
            execution = run.execution
            check_execution(execution)
        else:
            check_empty(run)
            log_weighting(recipe, dataset)
            execution = execution or autotune_execution(
                StepProbe.of(recipe, dataset),
                precision=precision,
                threads=threads,
                device=device,
                channels_last=channels_last,
            )
            check_execution(execution)
            write_description(run, recipe, dataset, identity, execution)
        _log.info(f"execution: {execution.describe()}")
        if execution.device_type != "cpu":
            _log.info(
                f"device {execution.device}: resumed, a run is the same but for rounding; bit for bit on a CPU alone"
            )
        with stop_request().listening() as stop, _writing_errors_reported(run):
            _train(
                run, recipe, dataset, seed, network, execution, stop, checkpoint_seconds, on_progress, log_to
            )
        if stop.asked:  # while the end was being written
            raise Interrupted(f"{run.folder}: finished; stopped before anything else")
    return run


def resume(
    folder: str | Path,
    data: Dataset | str | Path | None = None,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_progress: Callable[[Progress], None] | None = None,
    log_to: str | Sequence[str] | LogTo | None = None,
) -> Run:
    """Go on with an unfinished run, from its directory alone.

    Recipe, seed and execution are those of the run; a run that has ended is returned as it is.

    Parameters
    ----------
    folder : path
        The run directory.
    data : Dataset or path, optional
        Where the run's data is now, if it was made in memory or has moved.
    checkpoint_seconds, on_progress, log_to
        As for `train`.

    Raises
    ------
    RunError, DataError
        No run there, or its data is gone or has changed.
    Interrupted
        After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    run = load_run(folder)
    recipe, identity = run.recipe, run.identity
    if run.finished:
        return run
    run.use_recorded_folder()
    return train(
        recipe,
        data if isinstance(data, Dataset) else run.open_dataset(data),
        seed=identity.seed,
        out=run.folder,
        checkpoint_seconds=checkpoint_seconds,
        on_progress=on_progress,
        log_to=log_to,
    )


@contextmanager
def _writing_errors_reported(run: Run) -> Iterator[None]:
    """Report a full disk or a lost folder in a line: nothing that was written whole is lost."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{run.folder}: training cannot go on: {error}\nthe same command goes on from the last checkpoint"
        ) from error


def _train(
    run: Run,
    recipe: Recipe,
    dataset: Dataset,
    seed: int,
    network: nn.Module | None,
    execution: Execution,
    stop: StopRequest,
    checkpoint_seconds: float,
    on_progress: Callable[[Progress], None] | None,
    log_to: LogTo,
) -> None:
    started = time.perf_counter()
    resuming = run.checkpoint_path.is_file()
    if resuming:
        network = recipe_network(recipe, dataset.image_shape, len(dataset.class_names), seed)
    elif network is None:
        network = initial_network(recipe, dataset, seed)
    state, train_split, val_split = begin_run(recipe, dataset, execution, network)
    if resuming:
        state.load(run)
        _log.info(f"resumed at step {state.step}")
    if state.freezing is not None:
        _log.info(state.freezing.describe())
    length = RunLength.of(recipe, len(train_split))
    seen, total = length.images_after(state.step), length.total_images
    with RunLoggers(run, state.history, log_to) as loggers:
        with progress_task(f"train {recipe.model}", total, log_steps=False) as task:
            task.advance(seen)
            callback = RunCallback(
                run,
                loggers,
                task,
                stop=stop,
                epochs=recipe.epochs,
                interval=checkpoint_seconds,
                images=(seen, total),
                on_progress=on_progress,
            )
            outcome = train_loop(recipe, seed, state, train_split, val_split, callback)
        finish_run(run, dataset, seed, state, outcome, val_split, time.perf_counter() - started)
