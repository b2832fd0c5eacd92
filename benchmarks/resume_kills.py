"""Kill a real training process with SIGKILL at random moments; count the runs that end bit for bit as if never killed.

Each trial trains the same small run, killed again and again, mid-epoch included, until a chosen number of kills is
spent; then it may finish. Weights and test predictions are compared with those of a run never killed.

    python benchmarks/resume_kills.py DATA [--trials 5] [--kills 5]
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from convtrials.training.run_directory import Run

RECIPE = {
    "ema": 0.99,
    "early_stopping": "true",
    "accumulate": 2,
    "batch_size": 32,
    "augment.degrees": 10,
    "augment.elastic_alpha": 10,
}
FLAGS = [
    *("--width", "0.125", "--epochs", "2", "--schedule", "cosine", "--samples-per-class", "300"),
    *("--checkpoint-every", "0.3", "--no-report", "--precision", "bf16", "--threads", "1"),
    *(word for key, value in RECIPE.items() for word in ("--set", f"{key}={value}")),
]


def command(data: str, out: Path) -> list[str]:
    return [sys.executable, "-m", "convtrials.cli.main", "train", "--data", data, *FLAGS, "--out", str(out)]


def train_killed(data: str, out: Path, kills: int, draws: random.Random, seconds: float) -> int:
    """Start the command until it ends by itself; kill it `kills` times before. Return how many kills hit training."""
    hits = 0
    while not Run(out).finished:
        process = subprocess.Popen(command(data, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if hits < kills:
            while not Run(out).exists and process.poll() is None:
                time.sleep(0.02)
            time.sleep(draws.uniform(0, seconds))
            if process.poll() is None:
                process.kill()
                hits += 1
        process.wait()
    return hits


def same(one: Run, other: Run) -> bool:
    if one.weights_path.read_bytes() != other.weights_path.read_bytes():
        return False
    with np.load(one.predictions_path) as a, np.load(other.predictions_path) as b:
        return all(np.array_equal(a[name], b[name]) for name in a.files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    draws = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        unbroken = Path(folder) / "unbroken"
        started = time.monotonic()
        subprocess.run(command(options.data, unbroken), check=True, stderr=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        equal = killed = 0
        for trial in range(options.trials):
            out = Path(folder) / f"trial{trial}"
            killed += train_killed(options.data, out, options.kills, draws, seconds * 0.5)
            equal += same(Run(unbroken), Run(out))
            print(
                f"trial {trial + 1}: {killed} kills so far, {equal} of {trial + 1} runs equal bit for bit",
                flush=True,
            )
    print(f"{killed} kills; {equal} of {options.trials} runs ended bit for bit equal to the run never killed")


if __name__ == "__main__":
    main()
