"""What all studies and grids of docs/results cost together, and what stopping early saved."""

from pathlib import Path
from typing import Any

from results_files import Published, read_published, read_rates
from results_words import table


def compute(folder: Path) -> str:
    """Write a line for each study and each grid in a folder, and their sum."""
    studies = {path.parent.name: read_published(path.parent) for path in sorted(folder.glob("*/costs.json"))}
    grids = {path.stem: read_rates(path) for path in sorted(folder.glob("*.json"))}
    rows: list[list[str]] = []
    runs, hours = 0, 0.0
    for name, study in studies.items():
        total = study.costs["total"]
        rows.append(_line(name, total["runs"], total["cpu_seconds"] / 3600, _saved(study)))
        runs, hours = runs + total["runs"], hours + total["cpu_seconds"] / 3600
    for name, grid in grids.items():
        tried = [one for answer in grid["answers"].values() for one in answer["tried"]]
        spent = sum(one["cpu_seconds"] for one in tried) / 3600
        rows.append(_line(name, len(tried), spent, "choices on validation data"))
        runs, hours = runs + len(tried), hours + spent
    rows.append(_line("*all*", runs, hours, ""))
    return table(["study or grid", "runs", "CPU hours", "runs that stopping saved"], rows)


def runs_saved(study: Published) -> tuple[int, int]:
    """Return how many of the runs that a plan allows were not needed, and how many it allows."""
    arms = study.how["arms"]
    planned = len(arms) * study.how["most_seeds"]
    return planned - sum(study.seeds_of(name) for name in arms), planned


def _saved(study: Published) -> str:
    saved, planned = runs_saved(study)
    if len(study.how["looks"]) == 1:
        return "fixed seeds"
    if not study.verdicts["complete"]:
        return "not finished"
    return f"{saved} of {planned} ({saved / planned:.0%})"


def _line(name: str, runs: Any, hours: float, saved: str) -> list[str]:
    return [name, f"{runs}", f"{hours:.1f}", saved]
