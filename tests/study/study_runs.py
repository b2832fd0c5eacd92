"""Runs of a study as training leaves them, written without training."""

import json
from pathlib import Path

import numpy as np

from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry


def softmax_probabilities(labels, classes, seed=0, skill=2.0):
    """Noisy scores that favour the true class; float32 (N, K), rows sum to one."""
    scores = np.random.default_rng(seed).normal(size=(len(labels), classes))
    scores[np.arange(len(labels)), labels] += skill
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def history_of(accuracies, *, steps=10, seconds=2.0, cpu_seconds=3.0):
    """One entry per epoch of equal length and cost."""
    return [
        {
            "epoch": n,
            "step": steps * n,
            "val_accuracy": accuracy,
            "seconds": seconds * n,
            "cpu_seconds": cpu_seconds * n,
        }
        for n, accuracy in enumerate(accuracies, 1)
    ]


def entries_of(accuracies, **options):
    """The same, as a run reads them."""
    return tuple(HistoryEntry(**entry) for entry in history_of(accuracies, **options))


def write_ended_run(folder: Path, history, *, status="finished", train=1280, epochs=None, **result) -> Run:
    """Write what the costs of a study read; the result follows from the history unless given."""
    folder.mkdir(parents=True)
    last = history[-1] if history else {"step": 0, "seconds": 0.0, "cpu_seconds": 0.0}
    document = {
        "status": status,
        "seed": 0,
        "epochs": len(history),
        "steps": last["step"],
        "train_seconds": last["seconds"],
        "cpu_seconds": last["cpu_seconds"],
        **({"val_accuracy": last["val_accuracy"]} if status == "finished" else {}),
        **result,
    }
    (folder / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
    described = {
        "name": "made",
        "fingerprint": "f",
        "counts": {"train": train, "val": 9, "test": 9},
        "class_names": ["a", "b"],
        "image_shape": [8, 8, 1],
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    (folder / "recipe.yaml").write_text(f"epochs: {len(history) if epochs is None else epochs}\n")
    (folder / "run.json").write_text("{}")
    (folder / "result.json").write_text(json.dumps(document))
    return Run(folder)


def add_predictions(run: Run, labels, probabilities) -> Run:
    """Write the predictions of the test split."""
    np.savez(run.predictions_path, probabilities=probabilities, labels=labels, indices=np.arange(len(labels)))
    return run
