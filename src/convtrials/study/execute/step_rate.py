"""How fast this process trains a recipe's network: real steps on drawn images."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from convtrials.core.errors import StudyError
from convtrials.core.process import keep_freed_memory
from convtrials.data.batches import as_channels_last, as_contiguous
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.network import recipe_network
from convtrials.training.optim.optimizers import build_optimizer
from convtrials.training.recipe.recipe import Recipe

#: Pixels in one step at most, so that a probe of large images stays short.
_MOST_PIXELS = 256 * 28 * 28


@dataclass(frozen=True)
class StepProbe:
    """What is timed; small enough to be sent to another process.

    Attributes
    ----------
    recipe : Recipe
    image_shape : tuple of int
        (H, W, C).
    classes : int
    """

    recipe: Recipe
    image_shape: tuple[int, int, int]
    classes: int

    def network(self) -> nn.Module:
        """Build the recipe's network anew."""
        return recipe_network(self.recipe, self.image_shape, self.classes, seed=0)


def begin_measuring(probe: StepProbe, execution: Execution, seconds: float) -> "subprocess.Popen[str]":
    """Start a process that will train for some seconds once it is told to; see `measured_together`."""
    wanted = {
        "recipe": probe.recipe.model_dump(mode="json"),
        "image_shape": probe.image_shape,
        "classes": probe.classes,
        "execution": execution.to_dict(),
        "seconds": seconds,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "convtrials.study.execute.step_rate", json.dumps(wanted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(execution.threads)},
    )
    return process


def measured_together(processes: "Sequence[subprocess.Popen[str]]") -> list[float]:
    """Let all processes train during the same moment; return the images per second of each.

    Raises
    ------
    StudyError
        One of them ended without an answer.
    """
    for process in processes:  # each says when its network is ready
        _line(process)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [float(_line(process)) for process in processes]


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    text = process.stdout.readline()
    if not text:
        raise StudyError(
            f"a process that should measure the speed of training ended with code {process.wait()}; "
            "--workers N leaves the measuring out"
        )
    return text


def training_rate(probe: StepProbe, execution: Execution, seconds: float, ready: Callable[[], None]) -> float:
    """Train for some seconds and return images per second.

    Parameters
    ----------
    probe : StepProbe
    execution : Execution
    seconds : float
    ready : callable
        Called after the first step, which warms up; it returns when the measuring may begin.
    """
    keep_freed_memory()
    torch.set_num_threads(execution.threads)
    height, width, channels = probe.image_shape
    count = max(2, min(probe.recipe.batch_size, _MOST_PIXELS // (height * width)))
    laid_out = as_channels_last if execution.channels_last else as_contiguous
    images = laid_out(torch.rand(count, channels, height, width, device=execution.device))
    labels = torch.randint(probe.classes, (count,), device=execution.device)
    network = probe.network().to(memory_format=execution.memory_format)  # type: ignore[call-overload]
    network = network.to(execution.device).train()
    optimizer = build_optimizer(probe.recipe.optimizer, network)

    def step() -> None:
        with torch.autocast(execution.device, torch.bfloat16, enabled=execution.precision == "bf16"):
            logits = network(images)
        nn.functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if execution.device == "cuda":
            torch.cuda.synchronize()

    step()
    ready()
    steps, started = 0, time.perf_counter()
    while steps == 0 or time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps * count / (time.perf_counter() - started)


def main() -> None:
    """Measure what the command line says, when a line on standard input says so."""
    wanted = json.loads(sys.argv[1])
    height, width, channels = wanted["image_shape"]
    probe = StepProbe(Recipe.make(wanted["recipe"]), (height, width, channels), wanted["classes"])

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a network of one's own prints must not look like an answer

    def ready() -> None:
        print("ready", file=answers, flush=True)
        sys.stdin.readline()

    rate = training_rate(probe, Execution(**wanted["execution"]), wanted["seconds"], ready)
    print(rate, file=answers, flush=True)


if __name__ == "__main__":
    main()
