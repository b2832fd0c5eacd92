"""Train a small network on small patterns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import PINNED, SMALL

from convtrials.data.dataset import Dataset
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run


@pytest.fixture
def train_small(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> Callable[..., Run]:
    """Train ``SMALL`` with changes; each call gets a directory of its own unless named."""
    made = iter(range(1000))

    def run(
        changes: dict[str, Any] | None = None, *, seed: int = 0, out: Path | None = None, **options: Any
    ) -> Run:
        recipe = Recipe(**SMALL).changed(changes or {})
        dataset = options.pop("dataset", None) or make_dataset()
        out = out or tmp_path / f"run{next(made)}"
        options.setdefault("execution", PINNED)
        return train(recipe, dataset, seed=seed, out=out, **options)

    return run
