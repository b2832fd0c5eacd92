"""A finished run as training leaves it, without training: realistic predictions, history and documents."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from convtrials.data.dataset import Dataset

CHARACTERS = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")

RECIPE = "model: alexnet\nwidth: 0.25\nepochs: 4\noptimizer:\n  name: adam\n  lr: 0.001\n"


def lifelike_probabilities(labels, classes, seed=0, sharpness=2.5):
    """Softmax of noisy scores: mostly right, with neighbours confused more than others; float32 (N, K)."""
    draws = np.random.default_rng(seed)
    scores = draws.normal(size=(len(labels), classes))
    rows = np.arange(len(labels))
    scores[rows, labels] += 3.0
    scores[rows, (labels + 1) % classes] += 1.5
    odds = np.exp(sharpness * (scores - scores.max(axis=1, keepdims=True)))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def write_run(
    folder: Path, dataset: Dataset, *, epochs: int = 4, names=None, result=None, recipe=RECIPE
) -> Path:
    """Write the directory of a run that was trained on `dataset`."""
    folder.mkdir(parents=True)
    indices = dataset.indices("test")
    labels = dataset.labels[indices]
    probabilities = lifelike_probabilities(labels, len(dataset.class_names))
    np.savez(folder / "predictions-test.npz", probabilities=probabilities, labels=labels, indices=indices)
    (folder / "recipe.yaml").write_text(recipe)
    (folder / "history.jsonl").write_text(
        "".join(json.dumps(epoch(n, epochs)) + "\n" for n in range(1, epochs + 1))
    )
    documents = {
        "run": {
            "identity": {"seed": 3, "recipe": "r", "dataset": dataset.fingerprint},
            "folder": "/made/here",
        },
        "execution": {"precision": "fp32", "channels_last": False, "threads": 1, "device": "cpu"},
        "environment": {
            "convtrials": "0",
            "python": "3.11",
            "git_commit": None,
            "packages": {"torch": "2.13"},
        },
        "dataset": {
            "name": dataset.name,
            "source": "some folder/of images",
            "options": {"samples_per_class": 40, "split_seed": 0},
            "fingerprint": dataset.fingerprint,
            "counts": dataset.counts(),
            "class_names": list(names or dataset.class_names),
            "image_shape": list(dataset.image_shape),
            "mean": list(dataset.mean),
            "std": list(dataset.std),
            "pack": None,
        },
        "result": {
            "status": "finished",
            "seed": 3,
            "epochs": epochs,
            "steps": 8 * epochs,
            "best_epoch": max(epochs - 1, 1),
            "train_seconds": 75.2,
            "cpu_seconds": 74.1,
            "val_accuracy": 0.9,
            "parameters": 123456,
            **(result or {}),
        },
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


def epoch(number, epochs):
    """One line of history; training accuracy is unknown at first, as the format allows."""
    left = 1 - number / (epochs + 1)
    return {
        "epoch": number,
        "step": 8 * number,
        "train_loss": 0.2 + 2 * left**2,
        "train_accuracy": None if number == 1 else 0.95 - 0.4 * left,
        "val_loss": 0.4 + 1.5 * left**2,
        "val_accuracy": 0.9 - 0.3 * left,
        "val_macro_f1": 0.89 - 0.3 * left,
        "learning_rate": 1e-3,
        "images_per_second": 4000.0,
        "seconds": 18.0 * number,
        "cpu_seconds": 17.5 * number,
    }


def characters(make_dataset) -> Dataset:
    """36 classes, 300 images or so in the test split."""
    return replace(make_dataset(per_class=40, classes=36, size=16), class_names=CHARACTERS, name="characters")
