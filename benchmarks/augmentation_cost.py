"""What augmentations cost: whole training steps with each of them, against steps without any.

    python -m benchmarks.augmentation_cost [--size 28] [--channels 1] [--rounds 15]

Each round takes a step of every kind, in another order each time, so that a busy machine slows all of them; times are
the processor's. Printed are the medians, over rounds, of a step's time divided by that of the plain step of its round,
and of the augmentation's own milliseconds.
The step is that of a run: read, augment, normalise, forward, backward, update; AlexNet at a quarter of its width.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from convtrials.core.process import keep_freed_memory
from convtrials.data.augmentation.config import AugmentConfig
from convtrials.data.augmentation.pipeline import augmented
from convtrials.data.batches import Batches
from convtrials.data.dataset import Dataset
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.loop import train_step
from convtrials.training.engine.network import recipe_network
from convtrials.training.engine.setup import make_fabric
from convtrials.training.recipe.recipe import Recipe

KINDS: dict[str, dict[str, Any]] = {
    "none": {},
    "affine": {"degrees": 10, "translate": 0.1},
    "affine and perspective": {"degrees": 10, "translate": 0.1, "perspective": 0.3},
    "perspective": {"perspective": 0.3},
    "elastic": {"elastic_alpha": 15},
    "erasing": {"erasing": 0.25},
    "randaugment": {"randaugment": True},
    "trivialaugment": {"trivialaugment": True},
    "color_jitter: brightness, contrast": {"color_jitter": {"brightness": 0.4, "contrast": 0.4}},
    "color_jitter: 0.4": {"color_jitter": 0.4},
    "color_jitter: hue alone": {"color_jitter": {"hue": 0.1}},
    "blur": {"blur": 1.0},
    "noise": {"noise": 0.05},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
}


def random_dataset(size: int, channels: int, count: int = 2048) -> Dataset:
    """Make a dataset of noise: its content does not change the time of a step."""
    draws = np.random.default_rng(0)
    return Dataset(
        name="noise",
        images=draws.integers(0, 256, (count, size, size, channels), dtype=np.uint8),
        labels=(np.arange(count) % 36).astype(np.int64),
        class_names=tuple(map(str, range(36))),
        split=np.zeros(count, np.uint8),
        fingerprint="noise",
        mean=(0.5,) * channels,
        std=(0.3,) * channels,
    )


def steps_of(section: dict[str, Any], data: Dataset, threads: int) -> Callable[[int], tuple[float, float]]:
    """Return a function of the step's number that gives its processor seconds, whole and of the augmentation alone."""
    recipe = Recipe(width=0.25, batch_size=128, augment=section)
    network = recipe_network(recipe, data.image_shape, len(data.class_names), seed=0)
    execution = Execution("cpu", "fp32", channels_last=True, threads=threads)
    state = TrainingState.start(recipe, make_fabric(execution), network.to(memory_format=torch.channels_last))
    train = Batches(data, "train")

    def step(number: int) -> tuple[float, float]:
        indices = np.random.default_rng(number).integers(0, len(train), 128)
        started = time.process_time()
        images, labels = train.raw(indices)
        before = time.process_time()
        group = augmented(images, labels, recipe.augment, 0, number)
        seconds = time.process_time() - before
        train_step(recipe, 0, state, replace(group, images=train.normalise(group.images)))
        return time.process_time() - started, seconds

    return step


def main() -> None:
    """Time rounds of steps, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(given.threads)
    data = random_dataset(given.size, given.channels)
    kinds = {}
    for name, section in KINDS.items():
        jitter = AugmentConfig.model_validate(section).color_jitter
        if given.channels == 3 or jitter is None or not (jitter.saturation or jitter.hue):
            kinds[name] = steps_of(section, data, given.threads)
    ratios: dict[str, list[float]] = {name: [] for name in kinds}
    alone: dict[str, list[float]] = {name: [] for name in kinds}
    plain = []
    for turn in range(given.rounds + 1):
        order = np.random.default_rng(turn).permutation(list(kinds)).tolist()
        times = {name: kinds[name](turn) for name in order}
        plain.append(times["none"][0] * 1000)
        for name, (whole, part) in times.items():
            if turn:  # the first one warms up
                ratios[name].append(whole / times["none"][0])
                alone[name].append(part * 1000)
    steps = f"batch 128, {given.threads} thread(s), {given.rounds} rounds"
    print(
        f"{given.size}x{given.size}x{given.channels}, {steps}; plain step {statistics.median(plain):.0f} ms"
    )
    for name in kinds:
        print(f"{name:36s} {statistics.median(ratios[name]):5.2f}x {statistics.median(alone[name]):7.1f} ms")


if __name__ == "__main__":
    main()
