"""Judge what was kept of a study together with what was kept of its further seeds, by the study's own plan.

A study's machine may be gone before its next look. The class that each run gives each test image is all that a
verdict on accuracy needs, so further seeds can be trained anywhere, as a study of their own, and be judged together
with the first ones.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from results_files import Published
from results_rejudged import judge

from convtrials.core.errors import ConvtrialsError
from convtrials.statistics.decision import BASELINE, Decision
from convtrials.statistics.recipe_mean import level_interval
from convtrials.study.results.metrics import verdict_metric
from convtrials.study.schemas import (
    BaselineVerdict,
    Costs,
    TechniqueCost,
    TechniqueVerdict,
    TotalCost,
    Verdicts,
)

#: What runs.csv calls a run that may still end; one that was lost has a say in a verdict, and is in no answers.
NOT_ENDED = ("unfinished", "missing", "running")


def joined(first: Published, more: Published) -> Published:
    """Return a study with further seeds of some of its arms, judged again.

    Parameters
    ----------
    first : Published
        The study whose plan holds; its metric is accuracy, on images that are sampled one by one.
    more : Published
        Arms of the same names and recipes, on the same data, computed alike; their seeds go on where the first's end.

    Raises
    ------
    ConvtrialsError
        The two are no parts of one study.
    """
    _check_alike(first, more)
    runs = _finished(first) + _finished(more)
    both = replace(
        first,
        runs=runs,
        arms=np.concatenate([first.arms, more.arms]),
        seeds=np.concatenate([first.seeds, more.seeds]),
        answers=np.concatenate([first.answers, more.answers]),
    )
    for arm in both.how["arms"]:
        _check_seeds(both, arm)
    decision = judge(both)
    used = {name: result.seeds for name, result in decision.results.items()}
    used[BASELINE] = max(used.values())
    begin = int(both.seeds.min())
    return replace(
        both,
        runs=[
            {**run, "used_in_verdict": str(int(run["seed"]) < begin + used[run["arm"]]).lower()}
            for run in runs
        ],
        verdicts=_verdicts(both, decision, used),
        costs=_costs(first, more, runs),
    )


def _check_alike(first: Published, more: Published) -> None:
    arms = first.how["arms"]
    alike = {
        "the metric": first.how["metric"] == more.how["metric"] == "accuracy",
        "the sampling unit": first.verdicts.unit == more.verdicts.unit == "image",
        "the execution": first.how["execution"] == more.how["execution"],
        "the data": first.how["dataset"]["fingerprint"] == more.how["dataset"]["fingerprint"],
        "the test images": np.array_equal(first.labels, more.labels),
        **{
            f"the recipe of {name}": arm["recipe"] == arms.get(name, {}).get("recipe")
            for name, arm in more.how["arms"].items()
        },
    }
    different = [what for what, same in alike.items() if not same]
    if different:
        raise _no_parts(f"{different[0]} is not the same, or not what can be judged")


def _finished(part: Published) -> list[dict[str, str]]:
    """Return the lines of finished runs, one for each row of answers, in their order."""
    for run in part.runs:
        if run["status"] not in ("finished", *NOT_ENDED):
            raise _no_parts(
                f"{run['arm']}, seed {run['seed']} is {run['status']}; only finished runs can be judged"
            )
    runs = [run for run in part.runs if run["status"] == "finished"]
    rows = list(zip(part.arms.tolist(), part.seeds.tolist(), strict=True))
    if [(run["arm"], int(run["seed"])) for run in runs] != rows:
        raise _no_parts("runs.csv and answers.npz name different runs, or in another order")
    return runs


def _check_seeds(study: Published, arm: str) -> None:
    found, begin = study.seeds[study.arms == arm].tolist(), int(study.seeds.min())
    if found != [*range(begin, begin + len(found))]:
        raise _no_parts(f"the seeds of {arm} are {found}, not one after the other from {begin} on")


def _no_parts(why: str) -> ConvtrialsError:
    return ConvtrialsError(f"two studies cannot be judged together: {why}")


def _verdicts(study: Published, decision: Decision, used: dict[str, int]) -> Verdicts:
    """Return what verdicts.json would say, as far as answers tell it."""
    known = study.verdicts
    seeds, level = _level(study, known.baseline, used)
    techniques = []
    for one in known.techniques:
        own_seeds, own_level = _level(study, one, used)
        techniques.append(
            TechniqueVerdict(**own_level, **vars(decision.results[one.name]), run_seeds=own_seeds)
        )
    return known.model_copy(
        update={
            "complete": decision.complete,
            "baseline": BaselineVerdict(**level, seeds=seeds),
            "techniques": tuple(techniques),
        }
    )


def _level(
    study: Published, arm: BaselineVerdict | TechniqueVerdict, used: dict[str, int]
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Return the seeds that an arm's verdict rests on, and its scores there, their mean, and its interval."""
    scores = study.scores_of(arm.name)[: used[arm.name]]
    means = [float(one.mean()) for one in scores]
    ends = level_interval(scores)
    level = {
        "name": arm.name,
        "slug": arm.slug,
        "scores": tuple(means),
        "status": ("finished",) * len(means),
        "mean": float(np.mean(means)),
        "mean_interval": None if ends is None else verdict_metric("accuracy").interval_as_reported(ends),
    }
    return tuple(study.seeds[study.arms == arm.name][: used[arm.name]].tolist()), level


def _costs(first: Published, more: Published, runs: list[dict[str, str]]) -> Costs:
    """What both cost; a technique's ratio is over its own seeds: two machines may differ in speed."""
    seconds = {(run["arm"], run["seed"]): float(run["cpu_seconds"]) for run in runs}
    techniques = []
    for one in first.costs.techniques:
        own = [seed for arm, seed in seconds if arm == one.name]
        spent, base = (sum(seconds[arm, seed] for seed in own) for arm in (one.name, BASELINE))
        techniques.append(TechniqueCost(name=one.name, cost_ratio=spent / base))
    both = first.costs.total.model_dump(), more.costs.total.model_dump()
    total = TotalCost(**{key: both[0][key] + both[1][key] for key in both[0]})
    return first.costs.model_copy(update={"techniques": tuple(techniques), "total": total})
