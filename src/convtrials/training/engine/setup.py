"""Set up a run: the process, its generators, the network and the data made ready for the first step."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import nn

from convtrials.core.process import keep_freed_memory
from convtrials.data.batches import Batches
from convtrials.data.dataset import Dataset
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.device import device_index, use_device
from convtrials.training.engine.execution import Execution
from convtrials.training.recipe.recipe import Recipe


def make_fabric(execution: Execution) -> Fabric:
    """Make this process ready to train as the execution says.

    Sets torch's thread count and, where the execution names a GPU by its number, torch's current GPU; asks the C
    library to keep freed memory (`convtrials.core.process`).
    """
    keep_freed_memory()
    torch.set_num_threads(execution.threads)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision, as we did
    use_device(execution.device)
    number = device_index(execution.device)
    return Fabric(
        accelerator=execution.device_type,
        devices=1 if number is None else [number],
        precision=execution.fabric_precision,
    )


def open_splits(dataset: Dataset, execution: Execution) -> tuple[Batches, Batches]:
    """Return the batches of train and val, where and in the layout that the execution says."""
    return (
        Batches(dataset, "train", execution.device, channels_last=execution.channels_last),
        Batches(dataset, "val", execution.device, channels_last=execution.channels_last),
    )


def begin_run(
    recipe: Recipe, dataset: Dataset, execution: Execution, network: nn.Module
) -> tuple[TrainingState, Batches, Batches]:
    """Set up what the loop needs, as the execution says; see `make_fabric` for what becomes of the process.

    Parameters
    ----------
    dataset : Dataset
        With images in train and val.
    network : nn.Module
        With its initial weights; moved to the device and brought into the memory format.

    Returns
    -------
    state : TrainingState
        Before step 0.
    train, val : Batches
    """
    fabric = make_fabric(execution)
    network = network.to(memory_format=execution.memory_format)  # type: ignore[call-overload]
    state = TrainingState.start(recipe, fabric, network)
    return state, *open_splits(dataset, execution)


def seed_layers(seed: int, device: torch.device) -> None:
    """Set the generators from which layers draw by themselves (dropout), on the CPU and on the device.

    The same draws as after ``torch.manual_seed``, which also leaves word for every kind of device that is not there: a
    stack trace per call, kept for ever. At one call per step that is 2% of the time of a small network, and a leak.

    Parameters
    ----------
    device : torch.device
        Where the network is.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def torch_left_as_it_was() -> Iterator[None]:
    """Give the caller's thread count, global generators and current GPU back; training sets them."""
    threads = torch.get_num_threads()
    gpus = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    current = torch.cuda.current_device() if gpus else None
    apple = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    with torch.random.fork_rng(devices=gpus):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            if current is not None:
                torch.cuda.set_device(current)
            if apple is not None:
                torch.mps.set_rng_state(apple)
