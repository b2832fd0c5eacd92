"""What a study's arms cost, ready for ``costs.json``: kept apart from verdicts, which hold no times."""

from collections.abc import Callable, Mapping, Sequence
from math import exp, sqrt
from typing import Any, Literal

import numpy as np

from convtrials.statistics.interval import critical
from convtrials.study.results.ended_runs import EndedRun, ended_run
from convtrials.study.results.time_to_baseline import seconds_to_baseline
from convtrials.study.schemas import ArmCost, Costs, TechniqueCost, TotalCost
from convtrials.training.run import Run


def study_costs(
    baseline: Sequence[Run],
    techniques: Mapping[str, Sequence[Run]],
    *,
    device: str,
    wall_seconds: float | None = None,
    surplus: Sequence[Run] = (),
    same_seeds: bool = False,
    read: Callable[[Run], EndedRun | None] = ended_run,
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
    read : callable
        Gives the numbers of a run that has ended, None for another.

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
    reference = _ended(baseline, read)
    arms = {name: _ended(runs, read) for name, runs in techniques.items()}
    bases = {
        name: _ended(baseline[: len(runs)], read) if same_seeds else reference
        for name, runs in techniques.items()
    }
    everything = [*reference, *(run for runs in arms.values() for run in runs), *_ended(surplus, read)]
    return Costs(
        unit=unit,
        baseline=ArmCost(**_means(reference, reference, unit)),
        techniques=tuple(_technique(name, runs, bases[name], unit) for name, runs in arms.items()),
        total=TotalCost(
            runs=len(everything),
            seconds=float(sum(run.seconds for run in everything)),
            cpu_seconds=float(sum(run.cpu_seconds for run in everything)),
            wall_seconds=wall_seconds,
        ),
    )


def _technique(name: str, runs: Sequence[EndedRun], baseline: Sequence[EndedRun], unit: str) -> TechniqueCost:
    costs, basis = _costs(runs, unit), _costs(baseline, unit)
    return TechniqueCost(
        name=name,
        **_means(runs, baseline, unit),
        cost_ratio=_ratio(_mean(costs), _mean(basis)),
        cost_ratio_interval=ratio_interval(costs, basis),
    )


def _ended(runs: Sequence[Run], read: Callable[[Run], EndedRun | None]) -> list[EndedRun]:
    return [ended for run in runs if (ended := read(run)) is not None]


def _means(runs: Sequence[EndedRun], baseline: Sequence[EndedRun], unit: str) -> dict[str, Any]:
    finished = [run for run in runs if not run.diverged]
    return {
        "seconds": _mean([run.seconds for run in finished]),
        "cpu_seconds": _mean([run.cpu_seconds for run in finished]),
        "images": _mean([run.images for run in finished if run.images is not None]),
        "seconds_to_baseline": seconds_to_baseline(baseline, finished, unit),
        "runs": len(finished),
        "diverged": len(runs) - len(finished),
    }


def _costs(runs: Sequence[EndedRun], unit: str) -> list[float]:
    """Return the cost of each finished run, in ``seconds`` or ``cpu_seconds``."""
    return [float(getattr(run, unit)) for run in runs if not run.diverged]


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
