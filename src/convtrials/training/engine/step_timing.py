"""How fast a recipe trains: one timer of steps, and the precision, memory format and threads that it finds fastest."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from convtrials.core.log import get_logger
from convtrials.core.process import available_cores, keep_freed_memory
from convtrials.data.batches import as_channels_last, as_contiguous
from convtrials.data.dataset import Dataset
from convtrials.training.engine.checkpoint import frozen_optimizer
from convtrials.training.engine.device import check_device, check_supported, device_type, use_device, wait_for
from convtrials.training.engine.execution import Execution, Precision
from convtrials.training.engine.network import recipe_network
from convtrials.training.recipe.recipe import Recipe

_log = get_logger(__name__)

#: fp32 stays unless bf16 saves at least this share of the time: rounding is only worth it for speed.
NEEDED_GAIN = 0.10

#: Seconds of a step after which a candidate is given up: some builds emulate bf16.
HOPELESS = 5.0

#: Images of 28x28 in a step that is timed to choose: enough to keep the cores busy, few enough to be short.
SHORT_STEP = 64


@dataclass(frozen=True)
class StepProbe:
    """What is timed: training steps of a recipe's network on drawn images.

    Small enough to be sent to another process.

    Attributes
    ----------
    image_shape : tuple of int
        (H, W, C).
    """

    recipe: Recipe
    image_shape: tuple[int, int, int]
    classes: int

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset) -> "StepProbe":
        """Time steps on images like those of a dataset."""
        return cls(recipe, dataset.image_shape, len(dataset.class_names))

    def network(self, execution: Execution, seed: int = 0) -> nn.Module:
        """Build the recipe's network, on the device and in the memory format of the execution."""
        network = recipe_network(self.recipe, self.image_shape, self.classes, seed)
        return network.to(device=execution.device, memory_format=execution.memory_format)  # type: ignore[call-overload, no-any-return]

    def images(self, execution: Execution, count: int) -> tuple[Tensor, Tensor]:
        """Draw images (count, C, H, W) and labels (count,), where and as the execution says."""
        height, width, channels = self.image_shape
        draws = torch.Generator().manual_seed(0)
        images = torch.rand(count, channels, height, width, generator=draws)
        labels = torch.randint(self.classes, (count,), generator=draws)
        lay_out = as_channels_last if execution.channels_last else as_contiguous
        return lay_out(images.to(execution.device)), labels.to(execution.device)


def step_times(step: Callable[[], Any], device: str, *, at_once: int = 1) -> Iterator[float]:
    """Take steps for as long as they are asked for, and yield the seconds of each; the first also warms up.

    Parameters
    ----------
    device : str
        On a GPU the time is taken when it has done its work.
    at_once : int
        Steps between two looks at the clock; their mean is yielded.
    """
    while True:
        started = time.perf_counter()
        for _ in range(at_once):
            step()
        wait_for(device)
        yield (time.perf_counter() - started) / at_once


def mean_time(times: Iterator[float], seconds: float) -> float:
    """Return the mean seconds of the next steps, of as many as fill so many seconds, one at least."""
    end = time.perf_counter() + seconds
    taken = [next(times)]
    while time.perf_counter() < end:
        taken.append(next(times))
    return sum(taken) / len(taken)


def training_step(
    probe: StepProbe, execution: Execution, most_images: float = math.inf
) -> tuple[Callable[[], None], int]:
    """Return a function that takes one training step, and the images in it.

    Forward, backward and the optimizer's step are in it; reading images, augmentation and validation are not. Sets
    torch's thread count, and asks the C library to keep freed memory (`convtrials.core.process`), as a run does.

    Parameters
    ----------
    most_images : float
        Of 28x28; fewer of larger images. The step has as many as the recipe's batch, if those are fewer; two at least.
    """
    keep_freed_memory()
    use_device(execution.device)
    torch.set_num_threads(execution.threads)
    height, width, _ = probe.image_shape
    most = most_images * 28 * 28 / max(height * width, 1)
    count = int(max(2, min(probe.recipe.batch_size, most)))
    images, labels = probe.images(execution, count)
    network = probe.network(execution).train()
    optimizer, freezing = frozen_optimizer(probe.recipe, network)
    if freezing is not None:
        freezing.keep_statistics()

    def step() -> None:
        with torch.autocast(execution.device_type, torch.bfloat16, enabled=execution.precision == "bf16"):
            logits = network(images)
        nn.functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, count


def autotune_execution(
    probe: StepProbe,
    *,
    precision: Precision | None = None,
    threads: int | None = None,
    device: str | None = None,
    channels_last: bool | None = None,
) -> Execution:
    """Choose precision, memory format and threads by timing a few training steps of the real network.

    A line is logged for each thing timed.

    Parameters
    ----------
    precision, threads, device, channels_last
        Given by a person: then kept, and not timed.

    Returns
    -------
    Execution
        The fastest; fp32 unless bf16 saves a tenth of the time.

    Raises
    ------
    RunError
        The device is unknown, torch cannot use it here, or it does not compute as asked.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(device)
    check_supported(device, precision, channels_last)
    cores = threads or available_cores()
    rates: dict[Execution, float] = {}

    def time_one(candidate: Execution) -> None:
        rates[candidate] = _short_rate(probe, candidate, max(rates.values(), default=0.0))
        _log.info(f"probe: {candidate.describe()}: {rates[candidate]:,.0f} images/s")

    if precision and threads and channels_last is not None:
        return Execution(device, precision, channels_last, threads)
    everywhere = device_type(device) != "mps"  # where one precision and one memory format are relied on
    precisions: list[Precision] = [precision] if precision else ["fp32", "bf16"] if everywhere else ["fp32"]
    layouts = (channels_last,) if channels_last is not None else (False, True) if everywhere else (False,)
    for chosen in precisions:
        for last in layouts:
            time_one(Execution(device, chosen, last, cores))
    best = max(rates, key=lambda one: rates[one] * (1 - NEEDED_GAIN if one.precision == "bf16" else 1))
    if threads is None and device == "cpu" and cores > 1:
        fewer = replace(best, threads=cores // 2)
        time_one(fewer)
        if rates[fewer] > rates[best]:
            best = fewer
    return best


def _short_rate(probe: StepProbe, execution: Execution, best_rate: float) -> float:
    """Return images per second of the best of three steps after one that warms up.

    A candidate that falls to a third of the best so far, or is hopeless while it warms up, is not asked again.
    """
    step, images = training_step(probe, execution, SHORT_STEP)
    times = step_times(step, execution.device)
    first = next(times)
    if first > HOPELESS:
        return images / first
    best = math.inf
    for seconds in islice(times, 3):
        best = min(best, seconds)
        if seconds > HOPELESS or seconds * best_rate > 3 * images:
            break
    return images / best
