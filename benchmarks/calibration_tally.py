"""Counting what simulated studies concluded, and laying it out as a table."""

import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from summed_runs import SummedRuns

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

    def rows(self, contrast: bool) -> list[dict[str, object]]:
        """Return the rows as figures, judged unless they are there for contrast."""
        return [self._row(row, contrast) for row in self.studies]

    def _row(self, row: Row, contrast: bool) -> dict[str, object]:
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


_HOW_TO_READ = """\
Percentages of simulated studies, half widths in points. *false call*: any technique called better or worse that is not.
*coverage*: every interval of the study contains the truth. *called % by effect*: techniques called, by their true
difference in points. *contrast*: shown, not judged."""


def page(rows: list[dict], studies: int) -> str:
    """Lay out the rows as Markdown: what they say, how to read them, and all of them."""
    failed = sum(row["judged"] == "FAIL" for row in rows)
    command = f"`python benchmarks/calibration.py --studies {studies}`"
    how = f"Printed by {command}; what it means: [the statistics](statistics.md).\n{_HOW_TO_READ}"
    found = f"{table(rows)}\n{len(rows)} rows, {failed} failed"
    return "\n\n".join(["# Calibration: every row", summary(rows), how, found])


def summary(rows: list[dict]) -> str:
    """Say in three sentences what the rows say."""
    judged = [row for row in rows if row["judged"] != "contrast"]
    kept = sum(row["judged"] == "PASS" for row in judged)
    false_calls = 100 * max(row["false_call"] for row in judged)
    coverage = 100 * min(row["coverage"] for row in judged)
    known = "effects", [5], 15_000, 5
    (power,) = (
        {effect: f"{100 * count['called']:.0f}%" for effect, count in row["by_effect"].items()}
        for row in rows
        if (row["scenario"], row["seeds"], row["images"], row["techniques"]) == known
    )
    worst = {name: max(row["peers"][name] for row in rows if row["peers"]) for name in PEERS}
    others = ", ".join(f"{100 * rate:.0f}% ({name})" for name, rate in worst.items())
    return f"""\
**{kept} of {len(judged)} rows keep the promise** of at most 5% false calls and at least 95% coverage, within two
standard errors of the simulation: the worst row has {false_calls:.1f}% false calls,
the lowest coverage is {coverage:.1f}%.
With five seeds, five techniques and 15,000 test images a true difference of 1 point is found in {power["0.01"]}
of cases, one of 0.5 points in {power["0.005"]}, one of 0.25 points in {power["0.0025"]}.
Other tests make false calls in far more of the same studies: in up to {others}."""


def table(rows: list[dict[str, object]]) -> str:
    """Lay out the rows as Markdown."""
    lines = [
        "| studies | seeds | images | techniques | false call % | coverage % | false equivalent % "
        "| called % by effect | half width | runs saved % (all; by effect) | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row) for row in rows]
    with_peers = [row for row in rows if row["peers"]]
    if with_peers:
        lines += ["", "False calls of other tests, %, in the same studies (Bonferroni over techniques):", ""]
        lines += ["| studies | seeds | images | techniques | " + " | ".join(PEERS) + " | convtrials |"]
        lines += ["|---" * (len(PEERS) + 5) + "|"]
        lines += [_peer_line(row) for row in with_peers]
    return "\n".join(lines)


def _line(row: dict) -> str:
    effects = row["by_effect"]
    several = len(effects) > 1
    sequential = len(row["seeds"]) > 1
    points = {name: f"{100 * float(name):g}" for name in effects}
    called = "; ".join(
        f"{points[e]}: {100 * c['called']:.0f}" for e, c in effects.items() if several and e != "0"
    )
    saved = (
        "; ".join(f"{points[e]}: {100 * c['runs_saved']:.0f}" for e, c in effects.items()) if several else ""
    )
    width = np.mean([c["half_width"] for c in effects.values()])
    cells = [
        row["scenario"],
        f"{row['seeds'][0]}-{row['seeds'][-1]}" if sequential else str(row["seeds"][0]),
        f"{row['images']:,}",
        str(row["techniques"]),
        f"{100 * row['false_call']:.1f}",
        f"{100 * row['coverage']:.1f}",
        f"{100 * row['false_equivalent']:.1f}" if several else "",
        called,
        f"{100 * width:.2f}",
        (f"{100 * row['runs_saved']:.0f}" + (f"; {saved}" if saved else "")) if sequential else "",
        row["judged"],
    ]
    return "| " + " | ".join(cells) + " |"


def _peer_line(row: dict) -> str:
    cells = [row["scenario"], str(row["seeds"][0]), f"{row['images']:,}", str(row["techniques"])]
    cells += [f"{100 * row['peers'][name]:.1f}" for name in PEERS] + [f"{100 * row['false_call']:.1f}"]
    return "| " + " | ".join(cells) + " |"
