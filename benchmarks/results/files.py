"""Read what `publish_study.py` keeps of a study."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from convtrials.core.files import read_json
from convtrials.study.schemas import Costs, Verdicts, read_document


@dataclass(frozen=True, eq=False)
class Published:
    """A study as it is kept in docs/results.

    Attributes
    ----------
    verdicts, costs
        The files of those names.
    how : dict
        On what machine, data and recipes.
    runs : list of dict
        The lines of runs.csv.
    arms : ndarray of str, shape (R,)
        Which arm each row of `answers` belongs to.
    seeds : ndarray of int64, shape (R,)
        Which seed each row of `answers` belongs to.
    answers : ndarray of int64, shape (R, N)
        The class that each run gives each test image.
    labels : ndarray of int64, shape (N,)
    """

    verdicts: Verdicts
    costs: Costs
    how: dict[str, Any]
    runs: list[dict[str, str]]
    arms: NDArray[np.str_]
    seeds: NDArray[np.int64]
    answers: NDArray[np.int64]
    labels: NDArray[np.int64]

    @property
    def class_names(self) -> list[str]:
        """Names of the classes."""
        return list(self.how["dataset"]["class_names"])

    def answers_of(self, arm: str) -> NDArray[np.int64]:
        """Return the answers of an arm's runs, shape (runs, N)."""
        return self.answers[self.arms == arm]

    def scores_of(self, arm: str) -> list[NDArray[np.float64]]:
        """Return the accuracy of an arm's runs on each test image: 1 for right, 0 for wrong, shape (N,) each."""
        return list((self.answers_of(arm) == self.labels).astype(float))

    def seeds_of(self, arm: str) -> int:
        """Return how many runs of an arm its verdict (or, of the baseline, any verdict) rests on."""
        return sum(run["arm"] == arm and run["used_in_verdict"] == "true" for run in self.runs)


def read_published(folder: Path) -> Published:
    """Read a folder that `publish_study.py` wrote."""
    with np.load(folder / "answers.npz", allow_pickle=False) as stored:
        arms, seeds, answers, labels = (stored[name] for name in ("arms", "seeds", "answers", "labels"))
    with open(folder / "runs.csv", encoding="utf-8", newline="") as file:
        runs = list(csv.DictReader(file))
    return Published(
        verdicts=read_document(folder / "verdicts.json", Verdicts),
        costs=read_document(folder / "costs.json", Costs),
        how=cast(dict[str, Any], read_json(folder / "how.json")),
        runs=runs,
        arms=arms,
        seeds=seeds.astype(np.int64),
        answers=answers.astype(np.int64),
        labels=labels.astype(np.int64),
    )


def read_rates(folder: Path) -> dict[str, Any]:
    """Read a grid of learning rates that `choose_rates.py --keep` wrote."""
    return cast(dict[str, Any], read_json(folder.with_suffix(".json")))
