"""What `benchmarks/gpu/gpu.sh` measures, part by part: each prints one JSON object a row, as soon as it is known.

    python -m benchmarks.gpu.parts PART [--small]

Without a GPU everything runs on the CPU. Training figures are those of whole steps (dropout draws, forward, backward,
optimizer) on images that lie on the device; bf16 means autocast with fp32 weights, as in `convtrials train`.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLASSES, SHAPE, BATCH = 36, (28, 28, 1), 256

Row = dict[str, Any]


class Size(NamedTuple):
    """How much is measured: the real thing, or its small likeness for a test on a CPU."""

    matrix: int
    width: float
    seconds: float
    replicas: tuple[int, ...]
    images: tuple[int, int, int]
    calls: int
    threads: int | None  # None: all cores


REAL = Size(8192, 1.0, 1.5, (1, 2, 4, 8, 16), (69_955, 6_100, 12_750), 300, None)
SMALL = Size(512, 0.1, 0.05, (1, 2), (600, 60, 60), 5, 1)


def row(what: str, value: float, unit: str, **rest: Any) -> Row:
    return {"what": what, "value": value, "unit": unit, **rest}


def wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def set_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


def matmul(size: Size) -> Iterator[Row]:
    """The practical peak: matrix products of n x n."""
    for name, dtype, tf32 in (
        ("fp32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bf16", torch.bfloat16, True),
    ):
        if name == "tf32" and DEVICE == "cpu":
            continue
        set_tf32(tf32)
        left, right = (torch.randn(size.matrix, size.matrix, device=DEVICE).to(dtype) for _ in range(2))
        best = min(timed(lambda left=left, right=right: left @ right, 20))
        yield row(
            f"matrix product {size.matrix}, {name}", 2 * size.matrix**3 / best / 1e12, "TFLOP/s", peak=name
        )


def timed(call: Callable[[], Any], calls: int) -> list[float]:
    """Seconds of each call, after three that warm up."""
    seconds = []
    for number in range(calls + 3):
        wait()
        started = time.perf_counter()
        call()
        wait()
        if number >= 3:
            seconds.append(time.perf_counter() - started)
    return seconds


def forward_flop(model: str, width: float) -> int:
    """Floating-point operations of one image's forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    from convtrials.models.registry import build_model

    network = build_model(model, classes=CLASSES, channels=1, image_size=28, width=width).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 28, 28))
    return int(counter.get_total_flops())


def execution(size: Size, precision: str = "bf16", channels_last: bool = True) -> Any:
    from convtrials.core.process import available_cores
    from convtrials.training.engine.execution import Execution

    return Execution(DEVICE, precision, channels_last, size.threads or available_cores())  # type: ignore[arg-type]


def one_run(model: str, size: Size) -> Iterator[Row]:
    """One run at a time, setting by setting; each adds to the one before."""
    from convtrials.core.log import lines_to
    from convtrials.training.engine.step_timing import StepProbe
    from convtrials.training.recipe.recipe import Recipe
    from convtrials.training.replicas.choose import replica_rate

    flop = 3 * forward_flop(model, size.width)
    settings = [
        ("fp32", "fp32", False, False, False, BATCH),
        ("tf32", "fp32", True, False, False, BATCH),
        ("bf16", "bf16", True, False, False, BATCH),
        ("bf16, channels_last", "bf16", True, True, False, BATCH),
        ("bf16, channels_last, CUDA graph", "bf16", True, True, True, BATCH),
        ("bf16, channels_last, CUDA graph, cudnn.benchmark", "bf16", True, True, True, BATCH),
        ("bf16, channels_last, CUDA graph, batch 1024", "bf16", True, True, True, 4 * BATCH),
    ]
    for name, precision, tf32, channels_last, graphs, batch in settings:
        if DEVICE == "cpu" and (graphs or name == "tf32"):
            continue
        said: list[str] = []
        set_tf32(tf32)
        torch.backends.cudnn.benchmark = "benchmark" in name
        recipe = Recipe(model=model, width=size.width, batch_size=batch)
        how = execution(size, precision, channels_last)
        probe = StepProbe(recipe, SHAPE, CLASSES)
        with lines_to(said.append):
            rate = replica_rate(probe, how, 1, "grouped", graphs=graphs, seconds=size.seconds)
        yield row(f"{model}, {name}", rate, "images/s", flop=flop, note="; ".join(said))


def alexnet(size: Size) -> Iterator[Row]:
    yield from one_run("alexnet", size)


def vgg11(size: Size) -> Iterator[Row]:
    yield from one_run("vgg11", size)


def replicas(size: Size, share: float) -> Iterator[Row]:
    """Several seeds at once: images per second of all together."""
    from convtrials.core.log import lines_to
    from convtrials.training.engine.step_timing import StepProbe
    from convtrials.training.recipe.recipe import Recipe
    from convtrials.training.replicas.choose import replica_rate

    width = size.width * share
    recipe, flop = Recipe(width=width, batch_size=128), 3 * forward_flop("alexnet", width)
    how = execution(size)
    trials = [(count, method, False) for count in size.replicas for method in ("grouped", "side_by_side")]
    if DEVICE == "cuda":  # grouped convolutions have many kernels: does it pay to let cuDNN try them?
        trials.append((4, "grouped", True))
    for count, method, choosing in trials:
        said: list[str] = []
        torch.backends.cudnn.benchmark = choosing
        probe = StepProbe(recipe, SHAPE, CLASSES)
        with lines_to(said.append):
            rate = replica_rate(probe, how, count, method, seconds=size.seconds)
        what = f"alexnet, width {share:g}, batch 128: {count} at once, {method.replace('_', ' ')}"
        what += ", cudnn.benchmark" if choosing else ""
        yield row(what, rate, "images/s", flop=flop, note="; ".join(said))


def replicas_quarter(size: Size) -> Iterator[Row]:
    yield from replicas(size, 0.25)


def replicas_full(size: Size) -> Iterator[Row]:
    yield from replicas(size, 1.0)


def fast(size: Size) -> Iterator[Row]:
    """Training seconds of `recipes/fast.yaml`, the process warm: by `train`, and by replicas."""
    from convtrials.training.engine.train import train
    from convtrials.training.recipe.recipe import Recipe
    from convtrials.training.replicas.train import train_replicas

    path = Path(__file__).parents[2] / "recipes" / "fast.yaml"
    if not path.is_file():
        yield {"what": "recipes/fast.yaml", "failed": "not there"}
        return
    recipe, how = Recipe.load(path), execution(size)
    dataset, told = training_data(recipe, size)
    with tempfile.TemporaryDirectory() as temporary:
        folders = (Path(temporary) / str(number) for number in range(100))
        train(recipe.changed({"epochs": 0.3}), dataset, out=next(folders), execution=how)
        run = train(recipe, dataset, out=next(folders), execution=how)
        yield fast_row("one run, `train`", [run], told)
        for count in (1, 5):
            outs = [next(folders) for _ in range(count)]
            runs = train_replicas(recipe, dataset, range(count), outs, execution=how)
            yield fast_row(f"{count} at once", runs, told)


def fast_row(what: str, runs: list[Any], told: str) -> Row:
    seconds = sum(run.result.train_seconds for run in runs)
    reached = statistics.median(run.result.test_accuracy for run in runs)
    note = f"{told}; median test accuracy {reached:.2%}" if "drawn" not in told else told
    return row(f"recipes/fast.yaml, {what}", seconds, "s", note=note)


def training_data(recipe: Any, size: Size) -> tuple[Any, str]:
    """Real images where DATA names some; otherwise as many drawn ones as emnist36 has."""
    from convtrials.data.dataset import Dataset
    from convtrials.data.open import load_dataset

    if os.environ.get("DATA"):
        data = load_dataset(os.environ["DATA"], image_size=recipe.image_size)
        return data, f"on {data.name}"
    draws, side = np.random.default_rng(0), recipe.image_size or 28
    split = np.repeat(np.arange(3, dtype=np.uint8), size.images)
    images = draws.integers(0, 256, (len(split), side, side, 1), dtype=np.uint8)
    labels, names = draws.integers(CLASSES, size=len(split)), tuple(map(str, range(CLASSES)))
    data = Dataset("drawn", images, labels, names, split, "drawn", (0.5,), (0.3,))
    return data, f"on {size.images[0]:,} drawn images"


def inference(size: Size) -> Iterator[Row]:
    """Latency of full-width AlexNet on images that lie on the device."""
    from convtrials.models.registry import build_model

    set_tf32(False)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        network = build_model("alexnet", classes=CLASSES, channels=1, image_size=28, width=size.width).eval()
        network = network.to(DEVICE, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for batch in (1, 512):
            images = torch.rand(batch, 1, 28, 28, device=DEVICE, dtype=dtype)
            with torch.inference_mode():
                calls: dict[str, Callable[[], Any]] = {"": lambda net=network, given=images: net(given)}
                if DEVICE == "cuda":
                    calls[", CUDA graph"] = recorded(calls[""])
                for name, call in calls.items():
                    yield latency(
                        f"alexnet, {precision}, batch {batch}{name}", batch, timed(call, size.calls)
                    )


def recorded(call: Callable[[], Any]) -> Callable[[], Any]:
    timed(call, 1)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def latency(what: str, batch: int, seconds: list[float]) -> Row:
    middle, high, highest = np.percentile(seconds, [50, 95, 99]) * 1e3
    note = f"p95 {high:.3f}, p99 {highest:.3f} ms; {batch / middle * 1e3:,.0f} images/s"
    return row(f"inference: {what}", float(middle), "ms (median)", note=note)


PARTS: dict[str, Callable[[Size], Iterator[Row]]] = {
    "matmul": matmul,
    "replicas-quarter": replicas_quarter,
    "alexnet": alexnet,
    "fast": fast,
    "replicas-full": replicas_full,
    "vgg11": vgg11,
    "inference": inference,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    size = SMALL if options.small else REAL
    if size.threads:
        torch.set_num_threads(size.threads)
    for one in PARTS[options.part](size):
        print(json.dumps({"part": options.part, **one}), flush=True)


if __name__ == "__main__":
    main()
