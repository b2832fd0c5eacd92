"""A study's throughput against the same runs one after the other, measured in one go.

    python benchmarks/study_throughput.py --samples-per-class 700 --epochs 2

One after the other: `train` in one process, each run with all cores, or with one thread. The study: as it arranges
itself, worker start included. Images are training images; seconds are wall time from the first step of the command
(data packed, execution chosen) to the last result.
"""

import argparse
import tempfile
import time
from pathlib import Path

from convtrials.core.machine import available_cores
from convtrials.data.open import load_dataset
from convtrials.study.arms import build_arms
from convtrials.study.directory import StudyDirectory
from convtrials.study.study import Wishes, prepare, run_study
from convtrials.study.study_file import StudySpec
from convtrials.training.execution import Execution
from convtrials.training.recipe import Recipe
from convtrials.training.train import train

SEEDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples-per-class", type=int, default=700)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--width", type=float, default=0.25)
    options = parser.parse_args()
    data = load_dataset("glyphs", samples_per_class=options.samples_per_class)
    base = Recipe(width=options.width, epochs=options.epochs)
    arms = build_arms(base, {"cosine": {"schedule": "cosine"}}, most_seeds=SEEDS)
    spec = StudySpec(tuple(arms), fewest=SEEDS, most=SEEDS)
    images = len(arms) * SEEDS * round(options.epochs * len(data.indices("train")))
    with tempfile.TemporaryDirectory() as temporary:
        study = StudyDirectory(Path(temporary) / "study")
        plan = prepare(study, spec, data, Wishes())
        known = study.execution
        started = time.perf_counter()
        run_study(study, plan, data, Wishes(), show=lambda state, ended: None)
        seconds = {f"study, {known['workers']} x {known['threads']} thread(s)": time.perf_counter() - started}
        for threads in sorted({available_cores(), 1}, reverse=True):
            execution = Execution(known["device"], known["precision"], known["channels_last"], threads)
            started = time.perf_counter()
            for arm in arms:
                for seed in range(SEEDS):
                    out = Path(temporary) / f"{threads}-{arm.slug}-{seed}"
                    train(arm.recipe, data, seed=seed, out=out, execution=execution, silent=True)
            seconds[f"one after the other, {threads} thread(s)"] = time.perf_counter() - started
    first = next(iter(seconds.values()))
    for name, taken in seconds.items():
        print(
            f"{name:40} {taken:7.1f} s  {images / taken:8,.0f} images/s  study is {taken / first:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
