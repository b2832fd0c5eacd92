"""Choose learning rates on validation data: one seed, a small grid, for each technique that changes the size of a step.

    python benchmarks/choose_rates.py studies/rates-alexnet.yaml [--data PATH] [--out FOLDER] [--precision bf16]

Stopped, the same command goes on. Test data is never looked at: the runs classify it at their end, as every run does,
and those files are not opened. FOLDER/rates.json has every figure and what was chosen.
"""

import argparse
from pathlib import Path
from typing import Any

from convtrials.core.files import write_json
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset
from convtrials.training.execution import Execution
from convtrials.training.recipe import Recipe, read_yaml
from convtrials.training.train import train


def try_rate(
    recipe: Recipe, seed: int, dataset: Dataset, folder: Path, execution: Execution
) -> dict[str, Any]:
    """Train one recipe and return its validation figures."""
    run = train(recipe, dataset, seed=seed, out=folder, execution=execution, silent=True)
    result = run.result
    return {
        "rate": recipe.optimizer.lr,
        "status": result["status"],
        "val_accuracy": result.get("val_accuracy"),
        "val_loss": result.get("val_loss"),
        "cpu_seconds": result["cpu_seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grid", type=Path)
    parser.add_argument("--data", help="where the dataset is, in place of the file's")
    parser.add_argument("--out", type=Path, help="by default runs/NAME-OF-FILE")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    options = parser.parse_args()
    grid = read_yaml(options.grid)
    out = options.out or Path("runs") / options.grid.stem
    dataset = load_dataset(options.data or grid["dataset"])
    base = Recipe.make(grid["baseline"], where=f"{options.grid}: baseline")
    execution = Execution("cpu", options.precision, True, 1)
    answers = {}
    for name, entry in grid["techniques"].items():
        tried = []
        for rate in entry["rates"]:
            recipe = base.changed(entry.get("changes", {}), where=name).changed({"optimizer.lr": rate})
            folder = out / f"{name.replace(', ', '-').replace(' ', '-')}-{rate:g}"
            tried.append(try_rate(recipe, grid["seed"], dataset, folder, execution))
            said = tried[-1]["val_accuracy"]
            print(
                f"{name:24} {rate:<8g} {'diverged' if said is None else f'val {said:.2%}'}"
                f"  loss {tried[-1]['val_loss']}",
                flush=True,
            )
        finished = [one for one in tried if one["val_accuracy"] is not None]
        best = max(finished, key=lambda one: one["val_accuracy"])["rate"] if finished else None
        answers[name] = {"chosen": best, "tried": tried}
        write_json(out / "rates.json", {"grid": grid, "execution": execution.to_dict(), "answers": answers})
    for name, answer in answers.items():
        print(f"{name:24} {answer['chosen']}")


if __name__ == "__main__":
    main()
