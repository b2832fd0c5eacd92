"""Choose learning rates on validation data: one seed, a small grid, for each technique that changes the size of a step.

    python benchmarks/choose_rates.py studies/rates-alexnet.yaml [--data PATH] [--out FOLDER] [--workers 2]

Runs are trained side by side with one thread each. Stopped, the same command goes on. Test data is never looked at: the
runs classify it at their end, as every run does, and those files are not opened. FOLDER/rates.json has every figure and
what was chosen; `--keep` copies it beside the results of the studies. `--only NAME` tries a part of the grid.
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.files import write_json
from convtrials.data.open import load_dataset
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe, read_yaml

#: Validation accuracies this close are equal: six of 6,100 images.
NEAR = 0.001


@dataclass(frozen=True)
class Trial:
    """One recipe to be trained."""

    name: str
    rate: float
    recipe: Recipe
    seed: int
    source: str
    folder: Path
    execution: Execution


def trials_of(path: Path, source: str | None, out: Path, execution: Execution) -> list[Trial]:
    """Write out the grid."""
    grid = read_yaml(path)
    base = Recipe.make(grid["baseline"], where=f"{path}: baseline")
    trials = []
    for name, entry in grid["techniques"].items():
        for rate in entry.get("rates", [base.optimizer.lr]):
            recipe = base.changed(entry.get("changes", {}), where=f"{path}: {name}")
            folder = out / f"{name.replace(', ', '-').replace(' ', '-')}-{rate:g}"
            recipe = recipe.changed({"optimizer.lr": rate})
            where = source or grid["dataset"]
            trials.append(Trial(name, rate, recipe, grid["seed"], where, folder, execution))
    return trials


def try_rate(trial: Trial) -> dict[str, Any]:
    """Train one recipe and return its validation figures: at its end, and the lowest loss on the way."""
    dataset = load_dataset(trial.source)
    run = train(trial.recipe, dataset, seed=trial.seed, out=trial.folder, execution=trial.execution)
    result = run.result
    return {
        "rate": trial.rate,
        "status": result.status,
        "val_accuracy": result.val_accuracy,
        "val_loss": result.val_loss,
        "cpu_seconds": result.cpu_seconds,
    }


def chosen_of(tried: list[dict[str, Any]]) -> float | None:
    """Return the rate with the highest validation accuracy, of near equals the one with the lowest loss.

    None where all diverged.
    """
    finished = [one for one in tried if one["val_accuracy"] is not None]
    if not finished:
        return None
    highest = max(one["val_accuracy"] for one in finished)
    near = [one for one in finished if one["val_accuracy"] >= highest - NEAR]
    return float(min(near, key=lambda one: one["val_loss"])["rate"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grid", type=Path)
    parser.add_argument("--data", help="where the dataset is, in place of the file's")
    parser.add_argument("--out", type=Path, help="by default runs/NAME-OF-FILE")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--workers", type=int, default=2, help="runs side by side (2)")
    parser.add_argument("--keep", type=Path, help="a file for the figures, such as docs/results/rates.json")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a technique to try; may be given again"
    )
    options = parser.parse_args()
    out = options.out or Path("runs") / options.grid.stem
    trials = trials_of(options.grid, options.data, out, Execution("cpu", options.precision, True, 1))
    unknown = set(options.only or ()) - {trial.name for trial in trials}
    if unknown:
        parser.error(f"{options.grid}: has no technique {min(unknown)!r}")
    trials = [trial for trial in trials if not options.only or trial.name in options.only]
    load_dataset(trials[0].source)  # packed once, before several processes open it
    answers: dict[str, dict[str, Any]] = {trial.name: {"chosen": None, "tried": []} for trial in trials}
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        for trial, figures in zip(trials, pool.map(try_rate, trials), strict=True):
            answers[trial.name]["tried"].append(figures)
            said = figures["val_accuracy"]
            print(
                f"{trial.name:24} {trial.rate:<8g} {'diverged' if said is None else f'val {said:.2%}'}"
                f"  loss {figures['val_loss']}",
                flush=True,
            )
    for answer in answers.values():
        answer["chosen"] = chosen_of(answer["tried"])
    execution = trials[0].execution.to_dict()
    document = {"grid": read_yaml(options.grid), "execution": execution, "answers": answers}
    for path in (out / "rates.json", options.keep):
        if path is not None:
            write_json(path, document)
    for name, answer in answers.items():
        print(f"{name:24} {answer['chosen']}")


if __name__ == "__main__":
    main()
