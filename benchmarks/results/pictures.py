"""Pictures of a published study: those that need no more than verdicts and costs."""

from convtrials.reports.picture import Picture
from convtrials.reports.study.cost import cost_picture
from convtrials.reports.study.forest import forest_picture
from convtrials.reports.study.record import StudyArm, StudyRecord
from convtrials.study.directory import StudyDirectory
from convtrials.study.published_study import PublishedStudy
from convtrials.study.schemas import TechniqueCost


def pictures(study: PublishedStudy) -> list[Picture]:
    """Return the forest plot and costs of a published study, or of several merged."""
    record = record_of(study)
    cost = cost_picture(record)
    return [forest_picture(record), *([cost] if cost else [])]


def record_of(study: PublishedStudy) -> StudyRecord:
    """Return a published study as the reports read one, without its runs."""
    verdicts, costs = study.verdicts, study.costs
    judged = {one.name: one for one in verdicts.techniques}
    arms = [
        StudyArm(
            number,
            arm,
            judged.get(arm.name),
            costs.of(arm.name) if number else TechniqueCost(**costs.baseline.model_dump()),
            (),
            verdicts.arms[number].mean,
        )
        for number, arm in enumerate(study.plan.arms)
    ]
    directory = StudyDirectory(study.folder)
    return StudyRecord(
        directory, study.plan, verdicts, costs, directory.plan_log, {}, {}, {}, study.class_names, arms[0],
        tuple(arms[1:]),
    )  # fmt: skip
