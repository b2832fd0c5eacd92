"""A small run with a pinned execution, so that bits can be compared."""

import torch
from safetensors.torch import load_file

from convtrials.training.engine.execution import Execution
from convtrials.training.run_directory import Run

PINNED = Execution("cpu", "fp32", channels_last=True, threads=1)

#: Small enough that an epoch takes a fraction of a second.
SMALL = {"width": 0.125, "epochs": 2, "batch_size": 16, "optimizer": {"name": "adam", "lr": 2e-3}}


def weights(run: Run) -> dict[str, torch.Tensor]:
    """The weights that count, by name."""
    return load_file(run.weights_path)


def assert_same_weights(one: Run, other: Run) -> None:
    """Bit for bit."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
