"""Judge what was kept of a study together with what was kept of its further seeds, by the study's own plan.

A study's machine may be gone before its next look. The class that each run gives each test image is all that a
verdict on accuracy needs, so further seeds can be trained anywhere, as a study of their own, and be judged together
with the first ones.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_files import Published

from convtrials.core.errors import ConvtrialsError
from convtrials.reports.picture import Picture
from convtrials.reports.study_documents import ArmCost, Costs, Plan, Verdicts
from convtrials.reports.study_files import parse_document
from convtrials.reports.study_forest import forest_picture
from convtrials.reports.study_record import StudyArm, StudyRecord
from convtrials.study.statistics.decision import BASELINE, Design, decide
from convtrials.study.statistics.level import level_interval


def joined(first: Published, more: Published) -> Published:
    """Return a study with further seeds of some of its arms, judged anew.

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
    scores = {arm: list((both.answers_of(arm) == first.labels).astype(float)) for arm in first.how["arms"]}
    seeds = {arm: [int(run["seed"]) for run in runs if run["arm"] == arm] for arm in scores}
    begin = int(first.seeds.min())
    for arm, found in seeds.items():
        if found != [*range(begin, begin + len(found))]:
            raise _no_parts(f"the seeds of {arm} are {found}, not one after the other from {begin} on")

    design = Design(first.how["margin"], tuple(first.how["looks"]), first.verdicts["alpha"])
    techniques = {name: one for name, one in scores.items() if name != BASELINE}
    decision = decide(scores[BASELINE], techniques, design)
    used = {name: result.seeds for name, result in decision.results.items()}
    used[BASELINE] = max(used.values())
    judged = [
        {
            **{key: one[key] for key in ("name", "slug")},
            **vars(decision.results[one["name"]]),
            **_level(scores[one["name"]][: used[one["name"]]]),
            "run_seeds": seeds[one["name"]][: used[one["name"]]],
        }
        for one in first.verdicts["techniques"]
    ]
    base = {
        **{key: first.verdicts["baseline"][key] for key in ("name", "slug")},
        **_level(scores[BASELINE][: used[BASELINE]]),
        "seeds": seeds[BASELINE][: used[BASELINE]],
    }
    in_verdict = [int(run["seed"]) in seeds[run["arm"]][: used[run["arm"]]] for run in runs]
    return replace(
        both,
        runs=[
            {**run, "used_in_verdict": str(one).lower()} for run, one in zip(runs, in_verdict, strict=True)
        ],
        verdicts={**first.verdicts, "complete": decision.complete, "baseline": base, "techniques": judged},
        costs=_costs(first, more, runs),
    )


def _check_alike(first: Published, more: Published) -> None:
    arms = first.how["arms"]
    alike = {
        "the metric": first.how["metric"] == more.how["metric"] == "accuracy",
        "the sampling unit": first.verdicts["unit"] == more.verdicts["unit"] == "image",
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
        if run["status"] not in (
            "finished",
            "unfinished",
            "missing",
            "running",
        ):  # a lost run has a say in a verdict
            raise _no_parts(
                f"{run['arm']}, seed {run['seed']} is {run['status']}; only finished runs can be judged"
            )
    runs = [run for run in part.runs if run["status"] == "finished"]
    rows = list(zip(part.arms.tolist(), part.seeds.tolist(), strict=True))
    if [(run["arm"], int(run["seed"])) for run in runs] != rows:
        raise _no_parts("runs.csv and answers.npz name different runs, or in another order")
    return runs


def _no_parts(why: str) -> ConvtrialsError:
    return ConvtrialsError(f"two studies cannot be judged together: {why}")


def _level(scores: list[NDArray[np.float64]]) -> dict[str, Any]:
    """An arm's scores, their mean, and its interval."""
    means = [float(one.mean()) for one in scores]
    return {
        "scores": means,
        "status": ["finished"] * len(means),
        "mean": float(np.mean(means)),
        "mean_interval": level_interval(scores),
    }


def _costs(first: Published, more: Published, runs: list[dict[str, str]]) -> dict[str, Any]:
    """What both cost; a technique's ratio is over its own seeds: two machines may differ in speed."""
    seconds = {(run["arm"], run["seed"]): float(run["cpu_seconds"]) for run in runs}
    techniques = []
    for one in first.costs["techniques"]:
        own = [seed for arm, seed in seconds if arm == one["name"]]
        spent, base = (sum(seconds[arm, seed] for seed in own) for arm in (one["name"], BASELINE))
        techniques.append({"name": one["name"], "cost_ratio": spent / base})
    total = {key: first.costs["total"][key] + more.costs["total"][key] for key in first.costs["total"]}
    return {**first.costs, "techniques": techniques, "total": total}


def forest(study: Published) -> Picture:
    """Return the forest plot of a study that is kept or was judged together."""
    verdicts = parse_document(json.dumps(study.verdicts), Verdicts, "verdicts")
    judged = {one.name: one for one in (verdicts.baseline, *verdicts.techniques)}
    slugs = {one["name"]: one["slug"] for one in (study.verdicts["baseline"], *study.verdicts["techniques"])}
    arms = [
        {"name": name, "slug": slugs[name], "recipe": arm["recipe"]}
        for name, arm in study.how["arms"].items()
    ]
    looks = study.how["looks"]
    document = {
        **{key: study.how[key] for key in ("title", "metric", "margin", "looks")},
        "fingerprint": study.how["plan"],
        "alpha": study.verdicts["alpha"],
        "seeds": {"min": looks[0], "max": looks[-1]},
        "arms": arms,
    }
    plan = parse_document(json.dumps(document), Plan, "plan")
    technique_of = {one.name: one for one in verdicts.techniques}
    shown = [
        StudyArm(number, arm, technique_of.get(arm.name), ArmCost(), (), judged[arm.name].mean)
        for number, arm in enumerate(plan.arms)
    ]
    record = StudyRecord(
        Path(), plan, verdicts, Costs(), [], {}, {}, {}, tuple(study.class_names), shown[0], tuple(shown[1:])
    )
    return forest_picture(record)
