"""A run of a small network on small patterns, with a pinned execution so that bits can be compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from convtrials.data.dataset import Dataset
from convtrials.training.execution import Execution
from convtrials.training.recipe import Recipe
from convtrials.training.run_directory import Run
from convtrials.training.train import train

PINNED = Execution("cpu", "fp32", channels_last=True, threads=1)

#: Small enough that an epoch takes a fraction of a second.
SMALL = {"width": 0.125, "epochs": 2, "batch_size": 16, "optimizer": {"name": "adam", "lr": 2e-3}}


@pytest.fixture
def train_small(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> Callable[..., Run]:
    """Train ``SMALL`` with changes; each call gets a directory of its own unless named."""
    made = iter(range(1000))

    def run(
        changes: dict[str, Any] | None = None, *, seed: int = 0, out: Path | None = None, **options: Any
    ) -> Run:
        recipe = Recipe.make(**SMALL).changed(changes or {})
        dataset = options.pop("dataset", None) or make_dataset()
        out = out or tmp_path / f"run{next(made)}"
        options.setdefault("execution", PINNED)
        return train(recipe, dataset, seed=seed, out=out, silent=True, **options)

    return run


def weights(run: Run) -> dict[str, torch.Tensor]:
    """The weights that count, by name."""
    return load_file(run.weights_path)


def assert_same_weights(one: Run, other: Run) -> None:
    """Bit for bit."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
