"""Training images per second of full-width AlexNet on 28x28: our loop against a plain fp32 loop.

Both train the same network on the same images with Adam at batch 256, in turn, several rounds; medians are printed.
The plain loop is what a tutorial shows: default precision, memory format and optimizer, no tuning.

    python benchmarks/training_throughput.py [--model vgg11] [--rounds 5] [--steps 6]
"""

import argparse
import statistics
import time

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from convtrials.core.machine import available_cores
from convtrials.data.augmentation.pipeline import AugmentedBatch
from convtrials.data.batches import Batches
from convtrials.data.dataset import Dataset
from convtrials.models.registry import build_model
from convtrials.training.environment import processor_name
from convtrials.training.execution import probe_execution
from convtrials.training.loop import train_step
from convtrials.training.recipe import Recipe
from convtrials.training.state import TrainingState

BATCH, CLASSES = 256, 36


def network(name: str) -> nn.Module:
    return build_model(name, classes=CLASSES, channels=1, image_size=28)


def random_characters() -> Dataset:
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (4 * BATCH, 28, 28, 1), dtype=np.uint8)
    labels = draws.integers(0, CLASSES, len(images))
    names = tuple(map(str, range(CLASSES)))
    return Dataset("noise", images, labels, names, np.zeros(len(images), np.uint8), "noise", (0.5,), (0.3,))


def ours(name: str, steps: int, state: TrainingState, batches: Batches, threads: int) -> float:
    torch.set_num_threads(threads)
    recipe = Recipe(model=name, batch_size=BATCH)
    started = time.perf_counter()
    for step in range(steps):
        images, labels = batches.take(np.arange(BATCH) + step % 4 * BATCH)
        train_step(recipe, 0, state, AugmentedBatch(images, labels))
        state.step += 1
    return steps * BATCH / (time.perf_counter() - started)


def plain(
    steps: int, model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> float:
    torch.set_num_threads(available_cores())
    loss_of = nn.CrossEntropyLoss()
    started = time.perf_counter()
    for step in range(steps):
        part = slice(step % 4 * BATCH, (step % 4 + 1) * BATCH)
        optimizer.zero_grad()
        loss = loss_of(model(images[part]), labels[part])
        loss.backward()
        optimizer.step()
    return steps * BATCH / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()

    execution = probe_execution(lambda: network(options.model), (28, 28, 1), report=print)
    fabric = Fabric(accelerator=execution.device, devices=1, precision=execution.fabric_precision)
    recipe = Recipe(model=options.model)
    state = TrainingState.start(
        recipe, fabric, network(options.model).to(memory_format=execution.memory_format)
    )
    data = random_characters()
    batches = Batches(data, "train")
    model = network(options.model)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    images = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(data.labels)

    ours(options.model, 2, state, batches, execution.threads)
    plain(2, model, optimizer, images, labels)
    rates: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(options.rounds):
        rates["ours"].append(ours(options.model, options.steps, state, batches, execution.threads))
        rates["plain"].append(plain(options.steps, model, optimizer, images, labels))
    ratios = [one / other for one, other in zip(rates["ours"], rates["plain"], strict=True)]
    print(
        f"{processor_name()}, {available_cores()} cores, torch {torch.__version__}; ours: {execution.describe()}"
    )
    for name, values in rates.items():
        print(
            f"{name:6s} median {statistics.median(values):6.0f} images/s  ({min(values):.0f} to {max(values):.0f})"
        )
    print(
        f"ratio  median {statistics.median(ratios):6.2f}  ({min(ratios):.2f} to {max(ratios):.2f}), round by round"
    )


if __name__ == "__main__":
    main()
