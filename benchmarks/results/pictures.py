"""Pictures of a study, from what was kept of it: those that need no more than verdicts and costs."""

from pathlib import Path

from benchmarks.results.files import Published
from convtrials.reports.picture import Picture
from convtrials.reports.study.cost import cost_picture
from convtrials.reports.study.forest import forest_picture
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.plan_log import PlanLog
from convtrials.study.plan.spec import StudySpec
from convtrials.study.schemas import TechniqueCost
from convtrials.training.recipe.recipe import Recipe


def pictures(study: Published) -> list[Picture]:
    """Return the forest plot and costs of a study that is kept or was judged together."""
    record = record_of(study)
    cost = cost_picture(record)
    return [forest_picture(record), *([cost] if cost else [])]


def record_of(study: Published) -> StudyRecord:
    """Return a kept study as the reports read one, without its runs."""
    how, verdicts, costs = study.how, study.verdicts, study.costs
    arms = [
        Arm(name, arm["changes"], Recipe.make(arm["recipe"], where=name), arm["seed_offset"])
        for name, arm in how["arms"].items()
    ]
    spec = StudySpec(
        title=how["title"], metric=how["metric"], margin=how["margin"], alpha=verdicts.alpha,
        seeds=(how["looks"][0], how["looks"][-1]), first_seed=arms[0].seed_offset, arms=arms,
    )  # fmt: skip
    judged = {one.name: one for one in verdicts.arms}
    shown = [
        StudyArm(
            number,
            arm,
            judged[arm.name] if number else None,
            costs.of(arm.name) if number else TechniqueCost(**costs.baseline.model_dump()),
            (),
            judged[arm.name].mean,
        )
        for number, arm in enumerate(arms)
    ]
    return StudyRecord(
        StudyDirectory(Path()), Plan(spec, how["dataset"]["fingerprint"], how["plan"]), verdicts, costs,
        PlanLog(Path(), (), ()), {}, {}, {}, tuple(study.class_names), shown[0], tuple(shown[1:]),
    )  # fmt: skip
