"""A study's throughput against the same runs started by hand, measured in turn.

    python benchmarks/study_throughput.py --samples-per-class 700 --epochs 2

By hand: in one process, run after run, with all cores or with one thread; and (the best that two terminals can do) in
as many processes as there are cores, one thread each, each training its share of the runs in a loop. The study: as it
arranges itself. Process starts are counted for all, probing for none; seconds are wall time until the last result.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from convtrials.core.process import available_cores
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm, build_arms
from convtrials.study.plan.spec import StudySpec
from convtrials.study.prepare import prepare
from convtrials.study.run_study import run_study
from convtrials.training.engine.execution import ComputeOptions
from convtrials.training.recipe.recipe import Recipe

SEEDS = 4

SHARE = """
import json, sys
from convtrials.data.open import load_dataset
from convtrials.training.engine.execution import Execution
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.engine.train import train
wanted = json.load(sys.stdin)
data = load_dataset("glyphs", samples_per_class=wanted["samples_per_class"])
for recipe, seed, out in wanted["runs"]:
    train(Recipe.make(recipe), data, seed=seed, out=out, execution=Execution(**wanted["execution"]))
"""


def by_hand(arms: Sequence[Arm], folder: Path, execution: dict, processes: int, samples: int) -> float:
    """Train all runs in so many processes, each its share in a loop; return the seconds."""
    runs = [
        (arm.recipe.model_dump(mode="json"), seed, str(folder / f"{arm.slug}-{seed}"))
        for seed in range(SEEDS)
        for arm in arms
    ]
    started = time.perf_counter()
    workers = []
    for number in range(processes):
        worker = subprocess.Popen([sys.executable, "-c", SHARE], stdin=subprocess.PIPE, text=True)
        workers.append(worker)
        wanted = {"runs": runs[number::processes], "execution": execution, "samples_per_class": samples}
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(wanted))
        worker.stdin.close()
    if any([worker.wait() for worker in workers]):  # all of them are waited for
        raise SystemExit("a process started by hand has failed")
    return time.perf_counter() - started


def as_study(arms: Sequence[Arm], data: Dataset, folder: Path, known: dict | None) -> tuple[float, dict]:
    """Train all runs as a study; return the seconds and the execution."""
    study = StudyDirectory(folder)
    options = (
        ComputeOptions()
        if known is None
        else ComputeOptions(known["workers"], known["threads"], known["precision"])
    )
    plan = prepare(study, StudySpec(arms=tuple(arms), seeds=SEEDS), data, options)
    started = time.perf_counter()
    run_study(study, plan, data, options, show=lambda state, ended: None)
    return time.perf_counter() - started, study.execution.to_dict()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples-per-class", type=int, default=700)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    samples = options.samples_per_class
    data = load_dataset("glyphs", samples_per_class=samples)
    base = Recipe(width=options.width, epochs=options.epochs)
    arms = build_arms(base, {"cosine": {"schedule": "cosine"}}, most_seeds=SEEDS)
    images = len(arms) * SEEDS * round(options.epochs * len(data.indices("train")))
    cores = available_cores()
    seconds: dict[str, list[float]] = {}

    def measure(name: str, run: Callable[[], float]) -> None:
        seconds.setdefault(name, []).append(run())
        print(f"{name:45} {seconds[name][-1]:7.1f} s", flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        known = None
        for number in range(options.rounds):
            folder = Path(temporary) / str(number)
            taken, known = as_study(arms, data, folder / "study", known)
            named = f"study, {known['workers']} x {known['threads']} thread(s)"
            measure(named, lambda taken=taken: taken)
            execution = {key: known[key] for key in ("device", "precision", "channels_last")}
            for processes, threads in dict.fromkeys([(cores, 1), (1, cores), (1, 1)]):
                measure(
                    f"by hand, {processes} x {threads} thread(s)",
                    lambda processes=processes, threads=threads, execution=execution, folder=folder: by_hand(
                        arms,
                        folder / f"{processes}x{threads}",
                        {**execution, "threads": threads},
                        processes,
                        samples,
                    ),
                )
    ours = next(iter(seconds.values()))
    for name, taken in seconds.items():
        ratio = statistics.median(other / one for other, one in zip(taken, ours, strict=True))
        rate = images / statistics.median(taken)
        print(f"{name:45} median {rate:8,.0f} images/s  study is {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
