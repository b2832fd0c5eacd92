"""What all studies and grids of docs/results cost together, and what stopping early saved."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.results.files import Published, read_published, read_rates
from benchmarks.results.words import table


def compute(folder: Path) -> str:
    """Write a line for each study and each grid in a folder, and their sum."""
    spent = [
        *(_of_study(path.parent) for path in sorted(folder.glob("*/costs.json"))),
        *(_of_grid(path) for path in sorted(folder.glob("*.json"))),
    ]
    spent.append(Spent("*all*", sum(one.runs for one in spent), sum(one.hours for one in spent), ""))
    rows = [[one.name, f"{one.runs}", f"{one.hours:.1f}", one.saved] for one in spent]
    return table(["study or grid", "runs", "CPU hours", "runs that stopping saved"], rows)


@dataclass(frozen=True)
class Spent:
    """What a study or a grid took, and what it says of runs that stopping saved."""

    name: str
    runs: int
    hours: float
    saved: str


def _of_study(folder: Path) -> Spent:
    study = read_published(folder)
    total = study.costs.total
    return Spent(folder.name, total.runs, total.cpu_seconds / 3600, _saved(study))


def _of_grid(path: Path) -> Spent:
    tried = [one for answer in read_rates(path)["answers"].values() for one in answer["tried"]]
    hours = sum(one["cpu_seconds"] for one in tried) / 3600
    return Spent(path.stem, len(tried), hours, "choices on validation data")


def runs_saved(study: Published) -> tuple[int, int]:
    """Return how many of the runs that a plan allows were not needed, and how many it allows."""
    arms = study.how["arms"]
    planned = len(arms) * study.how["most_seeds"]
    return planned - sum(study.seeds_of(name) for name in arms), planned


def _saved(study: Published) -> str:
    saved, planned = runs_saved(study)
    if len(study.how["looks"]) == 1:
        return "fixed seeds"
    if not study.verdicts.complete:
        return "not finished"
    return f"{saved} of {planned} ({saved / planned:.0%})"
