"""Our engine as a contestant: `train_loop` on a recipe, with a watcher that speaks the benchmark's protocol."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.race.peers.protocol import Rounds, arguments, network_of
from convtrials.core.log import lines_to
from convtrials.data.dataset import Dataset
from convtrials.models.registry import parameter_count
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.loop import train_loop
from convtrials.training.engine.network import recipe_network
from convtrials.training.engine.predict import predict_probabilities, validation_metrics
from convtrials.training.engine.setup import begin_run
from convtrials.training.engine.step_timing import StepProbe, autotune_execution
from convtrials.training.optim.optimizers import OptimizerConfig
from convtrials.training.recipe.recipe import Recipe

#: More epochs than any benchmark sees.
FOREVER = 100_000


class RaceCallback:
    """Tells every step of the loop to the benchmark."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds

    def after_step(self, state: TrainingState, loss: float, images: int) -> None:
        """Called after each optimizer step."""
        self._rounds.after_step(images, loss)

    def after_epoch(self, state: TrainingState) -> None:
        """Called when an epoch has been validated: that takes its time, and is part of training."""


def dataset_of(folder: Path, classes: int) -> Dataset:
    """Open the benchmark's images as a training split; one more of each few is there to validate on.

    Validation belongs to the loop. With so few images its cost is that of the call; peers do without.
    """
    images, labels = np.load(folder / "images.npy"), np.load(folder / "labels.npy")
    few = min(len(labels), classes)
    split = np.zeros(len(labels) + few, np.uint8)
    split[len(labels) :] = 1
    scaled = images.reshape(-1, images.shape[-1]) / 255
    return Dataset(
        name="bench",
        images=np.concatenate([images, images[:few]]),
        labels=np.concatenate([labels, labels[:few]]),
        class_names=tuple(map(str, range(classes))),
        split=split,
        fingerprint="bench",
        mean=tuple(scaled.mean(axis=0).tolist()),
        std=tuple(scaled.std(axis=0).tolist()),
    )


def execution_for(recipe: Recipe, data: Dataset, options: Namespace) -> tuple[Execution, list[str]]:
    """Take the execution that the command line gives, or probe as every run does."""
    asked: dict[str, Any] = options.settings or {}
    if asked.keys() >= {"device", "precision", "channels_last", "threads"}:
        return Execution(**asked), []
    tried: list[str] = []

    threads, precision = options.threads, asked.get("precision")
    with lines_to(tried.append):
        found = autotune_execution(
            StepProbe.of(recipe, data), precision=precision, threads=threads, device="cpu"
        )
    return found, tried


def main() -> None:
    """Train for ever."""
    rounds, options = Rounds(), arguments(__doc__)
    described = network_of(options.folder)
    recipe = Recipe(
        model=described["model"],
        width=described["width"],
        optimizer=OptimizerConfig(name="adam", lr=3e-4),
        batch_size=options.batch_size,
        epochs=FOREVER,
    )
    data = dataset_of(options.folder, described["classes"])
    execution, tried = execution_for(recipe, data, options)
    network = recipe_network(recipe, data.image_shape, len(data.class_names), seed=0)
    state, train, val = begin_run(recipe, data, execution, network)
    validation_metrics(*predict_probabilities(state.judged, val))  # its imports are not to fall into a round
    rounds.introduce(
        parameter_count(state.model),
        execution.describe(),
        ("torch", "lightning-fabric"),
        settings=execution.to_dict(),
        tried=tried,
    )
    train_loop(recipe, 0, state, train, val, RaceCallback(rounds))


if __name__ == "__main__":
    main()
