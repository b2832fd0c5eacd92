"""The forest plot of a study, from what was kept of it."""

import json
from pathlib import Path

from results_files import Published

from convtrials.reports.picture import Picture
from convtrials.reports.study_documents import ArmCost, Costs, Plan, Verdicts
from convtrials.reports.study_files import parse_document
from convtrials.reports.study_forest import forest_picture
from convtrials.reports.study_record import StudyArm, StudyRecord


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
