"""Pictures of a study, from what was kept of it: those that need no more than verdicts and costs."""

import json
from pathlib import Path

from benchmarks.results.files import Published
from convtrials.reports.picture import Picture
from convtrials.reports.study.cost import cost_picture
from convtrials.reports.study.documents import ArmCost, Costs, Plan, Verdicts
from convtrials.reports.study.files import parse_document
from convtrials.reports.study.forest import forest_picture
from convtrials.reports.study.record import StudyArm, StudyRecord


def pictures(study: Published) -> list[Picture]:
    """Return the forest plot and costs of a study that is kept or was judged together."""
    record = record_of(study)
    cost = cost_picture(record)
    return [forest_picture(record), *([cost] if cost else [])]


def record_of(study: Published) -> StudyRecord:
    """Return a kept study as the reports read one, without its runs."""
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
    costs = parse_document(json.dumps(study.costs), Costs, "costs")
    cost_of = {one.name: one for one in costs.techniques}
    technique_of = {one.name: one for one in verdicts.techniques}
    shown = [
        StudyArm(
            number,
            arm,
            technique_of.get(arm.name),
            cost_of.get(arm.name, ArmCost()) if number else costs.baseline,
            (),
            judged[arm.name].mean,
        )
        for number, arm in enumerate(plan.arms)
    ]
    return StudyRecord(
        Path(), plan, verdicts, costs, [], {}, {}, {}, tuple(study.class_names), shown[0], tuple(shown[1:])
    )
