"""What a study's arms cost, ready for ``costs.json``: kept apart from verdicts, which hold no times."""

from collections.abc import Mapping, Sequence
from math import exp, sqrt
from typing import Any, Literal

import numpy as np

from convtrials.statistics.interval import critical
from convtrials.study.results.time_to_baseline import Spent, finished_well, spent_to_baseline
from convtrials.study.schemas import ArmCost, Costs, TechniqueCost, TotalCost
from convtrials.training.run_directory import Run


def study_costs(
    baseline: Sequence[Run],
    techniques: Mapping[str, Sequence[Run]],
    *,
    device: str,
    wall_seconds: float | None = None,
    surplus: Sequence[Run] = (),
    same_seeds: bool = False,
) -> Costs:
    """Compare what the runs of each technique cost with what the baseline's cost.

    Costs of an arm are means over its runs that finished: a diverged run ends early and would make its technique look
    cheap. Runs that stopped early count as they are, since stopping is what the technique does. The total counts every
    run that has ended, diverged ones included. Runs without a result (missing, failed, under way) count nowhere.

    Parameters
    ----------
    techniques : mapping of str to sequence of Run
        By name, in the order of the study; arms may have different numbers of runs.
    device : str
        What trained: ``cpu`` is compared in CPU seconds, which other work on the machine hardly moves; any other in
        seconds by the clock.
    wall_seconds : float, optional
        Time that the whole study took by the clock, if known.
    surplus : sequence of Run
        Runs on which no verdict rests, such as those begun for a look that was not needed: counted in the total only.
    same_seeds : bool
        Compare each technique with the baseline's runs of its own seeds alone: where the runs come from machines of
        different speed.

    Returns
    -------
    Costs
        ``cost_ratio`` is a technique's mean cost of a run over the baseline's, in
        ``unit``; ``cost_ratio_interval`` is its 95% interval over new runs (`ratio_interval`).
        ``seconds_to_baseline`` (in ``unit`` too) is the training time after which the arm's mean learning curve reaches
        the baseline's final mean validation accuracy. None where a number does not exist.

    Raises
    ------
    RunError
        A file of an ended run is missing or damaged.
    """
    unit: Literal["cpu_seconds", "seconds"] = "cpu_seconds" if device == "cpu" else "seconds"
    everything = [*baseline, *(run for runs in techniques.values() for run in runs), *surplus]
    spent = [run.result for run in everything if run.finished]
    return Costs(
        unit=unit,
        baseline=ArmCost(**_means(baseline, baseline, unit)),
        techniques=tuple(
            _technique(name, runs, baseline[: len(runs)] if same_seeds else baseline, unit)
            for name, runs in techniques.items()
        ),
        total=TotalCost(
            runs=len(spent),
            seconds=float(sum(one.train_seconds for one in spent)),
            cpu_seconds=float(sum(one.cpu_seconds for one in spent)),
            wall_seconds=wall_seconds,
        ),
    )


def _technique(name: str, runs: Sequence[Run], baseline: Sequence[Run], unit: Spent) -> TechniqueCost:
    costs, basis = _costs(runs, unit), _costs(baseline, unit)
    return TechniqueCost(
        name=name,
        **_means(runs, baseline, unit),
        cost_ratio=_ratio(_mean(costs), _mean(basis)),
        cost_ratio_interval=ratio_interval(costs, basis),
    )


def _means(runs: Sequence[Run], baseline: Sequence[Run], unit: Spent) -> dict[str, Any]:
    finished = finished_well(runs)
    results = [run.result for run in finished]
    return {
        "seconds": _mean([one.train_seconds for one in results]),
        "cpu_seconds": _mean([one.cpu_seconds for one in results]),
        "images": _mean([images for run in finished if (images := run.images_seen) is not None]),
        "seconds_to_baseline": spent_to_baseline(baseline, finished, unit),
        "runs": len(finished),
        "diverged": sum(run.finished for run in runs) - len(finished),
    }


def _costs(runs: Sequence[Run], unit: Spent) -> list[float]:
    """Return the cost of each finished run, in ``seconds`` or ``cpu_seconds``."""
    results = [run.result for run in finished_well(runs)]
    return [one.cpu_seconds if unit == "cpu_seconds" else one.train_seconds for one in results]


def ratio_interval(costs: Sequence[float], basis: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95% interval of a ratio of mean costs, over new runs.

    Parameters
    ----------
    costs, basis : sequence of float
        Of the runs of both arms, above 0.

    Returns
    -------
    tuple of float or None
        Two ends around ``mean(costs) / mean(basis)``; None with fewer than two runs of either.

    Notes
    -----
    By the delta method on the logarithm, with Welch's degrees of freedom. It covers what runs of one arm differ by,
    such as other work on the machine; not what slows down one arm alone.
    """
    if min(len(costs), len(basis)) < 2 or min(*costs, *basis) <= 0:
        return None
    ratio = float(np.mean(costs) / np.mean(basis))
    parts = [float(np.var(v, ddof=1)) / len(v) / float(np.mean(v)) ** 2 for v in (costs, basis)]
    if sum(parts) == 0:
        return ratio, ratio
    shares = [part**2 / (len(v) - 1) for part, v in zip(parts, (costs, basis), strict=True)]
    reach = exp(critical(0.05, sum(parts) ** 2 / sum(shares)) * sqrt(sum(parts)))
    return ratio / reach, ratio * reach


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _ratio(cost: float | None, basis: float | None) -> float | None:
    return None if cost is None or not basis else cost / basis
