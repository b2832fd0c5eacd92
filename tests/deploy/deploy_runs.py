"""Small runs, really trained, on patterns that are hard enough to be mistaken now and then."""

from pathlib import Path
from typing import Any

import numpy as np

from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run

PINNED = Execution("cpu", "fp32", channels_last=True, threads=1)
CLASSES = 6


def noisy_patterns(
    folder: Path, *, channels: int = 1, size: int = 16, per_class: int = 160, noise: float = 60
) -> Dataset:
    """Pack an .npz of images that differ less between classes than within them."""
    draws = np.random.default_rng(5)
    patterns = draws.normal(128, 40, (CLASSES, size, size, channels))
    labels = np.repeat(np.arange(CLASSES), per_class)
    images = patterns[labels] + draws.normal(0, noise, (len(labels), size, size, channels))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "patterns.npz", images=np.clip(images, 0, 255).astype(np.uint8), labels=labels)
    return load_dataset(folder / "patterns.npz", ratios=(0.6, 0.1, 0.3))


def trained(folder: Path, dataset: Dataset, **changes: Any) -> Run:
    """Train some seconds' fraction, in fp32, so that the run's own probabilities can be compared with."""
    recipe = Recipe(
        **{
            "width": 0.125,
            "epochs": 8,
            "batch_size": 32,
            "dropout": 0.1,
            "optimizer": {"name": "adam", "lr": 3e-3},
            **changes,
        }
    )
    return train(recipe, dataset, out=folder, execution=PINNED)


def own_probabilities(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and positions of the test images, as training wrote them."""
    with np.load(run.predictions_path) as saved:
        return saved["probabilities"], saved["labels"], saved["indices"]
