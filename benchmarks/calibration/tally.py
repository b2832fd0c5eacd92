"""Counting what simulated studies concluded."""

import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.calibration.summed_runs import SummedRuns
from convtrials.statistics.result import Result

PROMISE = 0.05
PEERS = ("paired t over seeds", "Welch over seeds", "one run, z over images")


@dataclass(frozen=True)
class Row:
    scenario: str
    looks: tuple[int, ...]
    images: int
    techniques: int


class Tally:
    """Counts of each row, of studies and of techniques by their true effect."""

    def __init__(self) -> None:
        self.studies: dict[Row, Counter[str]] = defaultdict(Counter)
        self.effects: dict[Row, dict[float, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))

    def __reduce__(self):  # type: ignore[no-untyped-def]
        # Default dictionaries of lambdas do not travel between processes; plain ones do.
        return _tally, ({**self.studies}, {row: {**effects} for row, effects in self.effects.items()})

    def add(self, row: Row, results: list[Result], truth: NDArray[np.float64], margin: float) -> None:
        """Count one study's results against the truth."""
        called = {"better": 1, "worse": -1}
        false_call = any(
            called.get(r.verdict, 0) * np.sign(t) < (r.verdict in called) for r, t in zip_(results, truth)
        )
        covered = all(r.low <= t <= r.high for r, t in zip_(results, truth))
        false_equivalent = any(
            r.verdict == "equivalent" and abs(t) >= margin - 1e-12 for r, t in zip_(results, truth)
        )
        seeds = [r.seeds for r in results]
        count = self.studies[row]
        count.update(studies=1, false_call=false_call, missed=not covered, false_equivalent=false_equivalent)
        count["runs"] += sum(seeds) + max(seeds)
        count["most"] += (len(seeds) + 1) * row.looks[-1]
        for r, t in zip_(results, truth):
            by_effect = self.effects[row][round(abs(float(t)), 6)]
            by_effect.update(techniques=1, seeds=r.seeds, called=r.verdict in called)
            by_effect["equivalent"] += r.verdict == "equivalent"
            by_effect["width"] += (r.high - r.low) / 2

    def add_peers(self, row: Row, calls: dict[str, bool]) -> None:
        """Count the false calls of other tests."""
        self.studies[row].update({name: int(call) for name, call in calls.items()})

    def merge(self, other: "Tally") -> None:
        for row, count in other.studies.items():
            self.studies[row].update(count)
        for row, effects in other.effects.items():
            for effect, count in effects.items():
                self.effects[row][effect].update(count)

    def rows(self, contrast: bool) -> list[dict]:
        """Return the rows as figures, judged unless they are there for contrast."""
        return [self._row(row, contrast) for row in self.studies]

    def _row(self, row: Row, contrast: bool) -> dict:
        count, effects = self.studies[row], self.effects[row]
        n = count["studies"]
        errors = {name: count[name] / n for name in ("false_call", "missed", "false_equivalent")}
        allowed = PROMISE + 2 * sqrt(PROMISE * (1 - PROMISE) / n)
        judged = "PASS" if max(errors.values()) <= allowed else "FAIL"
        return {
            "scenario": row.scenario,
            "seeds": list(row.looks),
            "images": row.images,
            "techniques": row.techniques,
            "studies": n,
            "false_call": errors["false_call"],
            "coverage": 1 - errors["missed"],
            "false_equivalent": errors["false_equivalent"],
            "allowed": allowed,
            "runs_saved": 1 - count["runs"] / count["most"],
            "by_effect": {
                f"{effect:g}": {
                    "called": c["called"] / c["techniques"],
                    "equivalent": c["equivalent"] / c["techniques"],
                    "half_width": c["width"] / c["techniques"],
                    "runs_saved": 1 - c["seeds"] / c["techniques"] / row.looks[-1],
                }
                for effect, c in sorted(effects.items())
            },
            "peers": {name: count[name] / n for name in PEERS if name in count},
            "judged": "contrast" if contrast else judged,
        }


def zip_(results: list[Result], truth: NDArray[np.float64]) -> "zip[tuple[Result, float]]":
    return zip(results, truth, strict=True)


def _tally(studies: dict[Row, Counter[str]], effects: dict[Row, dict[float, Counter[str]]]) -> Tally:
    tally = Tally()
    tally.studies.update(studies)
    for row, counts in effects.items():
        tally.effects[row].update(counts)
    return tally


def peer_calls(runs: SummedRuns, seeds: int) -> dict[str, bool]:
    """Return whether the usual tests, with Bonferroni's correction, call any technique without effect."""
    scores = runs.scores_of_seeds(seeds)
    level = PROMISE / (len(scores) - 1)
    first = scores[1:, 0] - scores[0, 0]
    variance = np.array([runs.single_run_variance(t) for t in range(1, len(scores))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # three runs with nearly equal scores
        p_values = (
            stats.ttest_rel(scores[1:], scores[:1], axis=1).pvalue,
            stats.ttest_ind(scores[1:], scores[:1], axis=1, equal_var=False).pvalue,
            2 * stats.norm.sf(np.abs(first) / np.sqrt(variance)),
        )
    return {name: bool((p < level).any()) for name, p in zip(PEERS, p_values, strict=True)}
