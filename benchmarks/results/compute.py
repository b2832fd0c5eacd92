"""What all studies and grids of docs/results cost together, and what stopping early saved."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks.results.words import table
from convtrials.core.files import read_json
from convtrials.study.published_study import PublishedStudy


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
    study = PublishedStudy.read(folder)
    total = study.costs.total
    return Spent(folder.name, total.runs or 0, (total.cpu_seconds or 0) / 3600, _saved(study))


def _of_grid(path: Path) -> Spent:
    tried = [one for answer in read_rates(path)["answers"].values() for one in answer["tried"]]
    hours = sum(one["cpu_seconds"] for one in tried) / 3600
    return Spent(path.stem, len(tried), hours, "choices on validation data")


def read_rates(path: Path) -> dict[str, Any]:
    """Read a grid of learning rates that `choose_rates.py --keep` wrote."""
    return cast(dict[str, Any], read_json(path.with_suffix(".json")))


def seeds_of(study: PublishedStudy, arm: str) -> int:
    """Return how many runs of an arm its verdict (or, of the baseline, any verdict) rests on."""
    return next((len(one.run_seeds) for one in study.verdicts.arms if one.name == arm), 0)


def runs_saved(study: PublishedStudy) -> tuple[int, int]:
    """Return how many of the runs that a plan allows were not needed, and how many it allows."""
    planned = len(study.plan.arms) * study.plan.spec.most
    return planned - sum(seeds_of(study, arm.name) for arm in study.plan.arms), planned


def _saved(study: PublishedStudy) -> str:
    saved, planned = runs_saved(study)
    if len(study.plan.looks) == 1:
        return "fixed seeds"
    if not study.verdicts.complete:
        return "not finished"
    return f"{saved} of {planned} ({saved / planned:.0%})"
