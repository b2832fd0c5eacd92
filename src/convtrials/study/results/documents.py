"""The files that a study leaves for readers: verdicts.json, costs.json, runs.csv."""

from dataclasses import asdict, dataclass
from typing import Any

from convtrials.core.files import finite
from convtrials.evaluation.guessing import against_guessing
from convtrials.statistics.design import BASELINE
from convtrials.statistics.result import Decision, Result
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan
from convtrials.study.results.costs import study_costs
from convtrials.study.results.metrics import (
    VerdictMetric,
    mean_metrics,
    metric_differences,
    verdict_metric,
)
from convtrials.study.results.runs_table import RunRow, write_runs_table
from convtrials.study.results.scores import JudgedStudy, Outcomes
from convtrials.study.results.single_runs import compare_single_runs, single_runs_sentence
from convtrials.study.results.time_to_baseline import images_to_baseline, probability_better
from convtrials.study.results.verdict_sentences import sentence
from convtrials.study.results.warnings import ArmRuns, study_warnings
from convtrials.study.schemas import (
    BaselineVerdict,
    Costs,
    SingleRuns,
    StudyWarning,
    TechniqueVerdict,
    Verdicts,
)
from convtrials.training.run_directory import Run


@dataclass(frozen=True)
class StudyResults:
    """What the ended runs of a study say: the content of verdicts.json, costs.json and runs.csv."""

    verdicts: Verdicts
    costs: Costs
    rows: list[RunRow]


def write_documents(study: StudyDirectory, plan: Plan, outcomes: Outcomes) -> Verdicts:
    """Write what the ended runs say, finished study or not; return the verdicts.

    ``verdicts.json`` holds no time: it is the same for the same science, however often the study was stopped. Seconds
    stand in ``costs.json``.
    """
    results = study_results(study, plan, outcomes)
    write_runs_table(study.folder / "runs.csv", results.rows, metric=plan.spec.metric)
    study.write_results(results.verdicts, results.costs)
    return results.verdicts


def study_results(study: JudgedStudy, plan: Plan, outcomes: Outcomes) -> StudyResults:
    """Return all that the ended runs say, and write nothing."""
    decision = outcomes.decide()
    used = _used(study, plan, outcomes, decision)
    costs = study_costs(
        used[BASELINE],
        {name: runs for name, runs in used.items() if name != BASELINE},
        device=study.execution.device,
        wall_seconds=study.wall_seconds(),
        surplus=_surplus(study, used),
        # Pieces may come from machines of different speed.
        same_seeds=bool(study.merged),
    )
    verdicts = _Judging(study, plan, outcomes, decision, used).verdicts()
    return StudyResults(verdicts, costs, _rows(study, plan, outcomes, used))


def _used(study: JudgedStudy, plan: Plan, outcomes: Outcomes, decision: Decision) -> dict[str, list[Run]]:
    """Return the runs of each arm that the verdicts rest on."""
    seeds = {name: result.seeds for name, result in decision.results.items()}
    seeds[BASELINE] = max(seeds.values(), default=0)
    return {
        arm.name: [
            run
            for position in range(seeds[arm.name])
            if outcomes.status(run := study.run(arm, position)) != "missing"
        ]
        for arm in plan.arms
    }


def _surplus(study: JudgedStudy, used: dict[str, list[Run]]) -> list[Run]:
    """Return the ended runs on which no verdict rests: of an earlier plan, or beyond the last look."""
    known = {run.folder for runs in used.values() for run in runs}
    return [run for run in study.ended_runs() if run.folder not in known]


@dataclass(frozen=True)
class _Judging:
    """What ``verdicts.json`` is made from.

    Attributes
    ----------
    used : dict of str to list of Run
        The runs of each arm that the verdicts rest on.
    """

    study: JudgedStudy
    plan: Plan
    outcomes: Outcomes
    decision: Decision
    used: dict[str, list[Run]]

    @property
    def metric(self) -> VerdictMetric:
        """The one on which verdicts are given."""
        return verdict_metric(self.plan.spec.metric)

    def verdicts(self) -> Verdicts:
        """Return all of it."""
        spec, dataset, units = self.plan.spec, self.study.dataset, self.outcomes.units
        warnings = _warnings(self.study, self.plan, self.outcomes, self.used)
        marks = {one.arm: one.mark for one in warnings if one.mark}
        techniques = tuple(self._technique(arm, marks) for arm in self.plan.arms[1:])
        single_runs = [one.single_runs for one in techniques if one.single_runs is not None]
        test_images = dataset.counts["test"]
        return Verdicts(
            plan=self.plan.fingerprint,
            complete=self.decision.complete,
            metric=spec.metric,
            margin=spec.margin,
            alpha=spec.alpha,
            looks=self.plan.looks,
            unit="image" if units is None else str(dataset.group_kind or "group"),
            test_images=test_images,
            test_units=test_images if units is None else len(set(units.tolist())),
            single_runs=single_runs_sentence(single_runs, self.metric.scale.amount(spec.margin)),
            warnings=tuple(warnings),
            baseline=self._baseline(),
            techniques=techniques,
        )

    def _baseline(self) -> BaselineVerdict:
        runs = self.used[BASELINE]
        return BaselineVerdict(
            **self._arm(self.plan.arms[0]),
            seeds=_seeds(runs),
            # Its mean curve may pass its own end before the end; techniques are measured by the same rule.
            images_to_baseline=images_to_baseline(runs, runs),
        )

    def _technique(self, arm: Arm, marks: dict[str | None, str]) -> TechniqueVerdict:
        result, runs, baseline = self.decision.results[arm.name], self.used[arm.name], self._own_baseline(arm)
        arm_of_verdict = self._arm(arm)
        mean, of_baseline = arm_of_verdict["secondary_metrics"], self._secondary_metrics(baseline)
        return TechniqueVerdict(
            **arm_of_verdict,
            **finite(asdict(result)),
            run_seeds=_seeds(runs),
            secondary_differences=metric_differences(mean, of_baseline) if mean and of_baseline else {},
            probability_better=probability_better(self._scores(runs), self._scores(baseline)),
            single_runs=self._single_runs(arm, result),
            images_to_baseline=images_to_baseline(baseline, runs),
            sentence=self._sentence(arm, result) + _marks_shown(marks, arm.name),
        )

    def _arm(self, arm: Arm) -> dict[str, Any]:
        """Return the fields of an `ArmVerdict`."""
        runs, metric = self.used[arm.name], self.metric
        scores, known = [self.outcomes.score(run) for run in runs], self._scores(runs)
        interval = self.outcomes.mean_interval(runs)
        return {
            "name": arm.name,
            "slug": arm.slug,
            "scores": tuple(None if score is None else metric.as_reported(score) for score in scores),
            "status": tuple(self.outcomes.status(run) for run in runs),
            "mean": metric.as_reported(sum(known) / len(known)) if known else None,
            # Of this recipe alone, over new seeds and new test units; differences have intervals of their own.
            "mean_interval": None if interval is None else metric.interval_as_reported(interval),
            "secondary_metrics": self._secondary_metrics(runs),
        }

    def _own_baseline(self, arm: Arm) -> list[Run]:
        """Return the baseline's runs of the same seeds: those of later looks belong to other techniques."""
        return self.used[BASELINE][: self.decision.results[arm.name].seeds]

    def _scores(self, runs: list[Run]) -> list[float]:
        return [score for run in runs if (score := self.outcomes.score(run)) is not None]

    def _secondary_metrics(self, runs: list[Run]) -> dict[str, float | None]:
        finished = [run for run in runs if self.outcomes.status(run) == "finished"]
        return mean_metrics([self.outcomes.secondary_metrics(run) for run in finished]) if finished else {}

    def _single_runs(self, arm: Arm, result: Result) -> SingleRuns | None:
        return compare_single_runs(
            self._scores(self.used[arm.name]),
            self._scores(self._own_baseline(arm)),
            verdict=result.verdict if result.final else "",
            margin=self.plan.spec.margin,
            same_recipe=self._is_baseline(arm),
        )

    def _sentence(self, arm: Arm, result: Result) -> str:
        name = f"{arm.name} (the baseline with other seeds)" if self._is_baseline(arm) else arm.name
        return sentence(name, result, self.plan.spec.metric, self.plan.spec.margin, len(self.used[arm.name]))

    def _is_baseline(self, arm: Arm) -> bool:
        return arm.recipe == self.plan.arms[0].recipe


def _warnings(
    study: JudgedStudy, plan: Plan, outcomes: Outcomes, used: dict[str, list[Run]]
) -> list[StudyWarning]:
    arms = [_arm_runs(outcomes, arm.name, used[arm.name]) for arm in plan.arms]
    support = next(
        (answers.support for runs in used.values() for run in runs if (answers := outcomes.answers(run))),
        None,
    )
    return study_warnings(
        arms[0],
        arms[1:],
        support=support,
        class_names=_class_names(study, 0 if support is None else len(support)),
        metric=plan.spec.metric,
        margin=plan.spec.margin,
        val_images=study.dataset.counts.get("val"),
    )


def _arm_runs(outcomes: Outcomes, name: str, runs: list[Run]) -> ArmRuns:
    known = [(run, answers) for run in runs if (answers := outcomes.answers(run)) is not None]
    aucs = [outcomes.secondary_metrics(run).get("macro_auc") for run, _ in known]
    return ArmRuns(
        name,
        [against_guessing(answers, auc) for (_, answers), auc in zip(known, aucs, strict=True)],
        aucs,
        [run.read_history() for run, _ in known],
    )


def _class_names(study: JudgedStudy, classes: int) -> list[str]:
    """Return the names of the classes, or numbers where ``dataset.json`` does not have them."""
    names = study.dataset.class_names
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if known and len(names) == classes:
        return list(names)
    return [f"class {k}" for k in range(classes)]


def _marks_shown(marks: dict[str | None, str], name: str) -> str:
    """Say after a verdict that runs behind it learned nothing."""
    own = f" Here, {marks[name]}." if name in marks else ""
    return own + (f" Of the baseline, {marks[BASELINE]}." if BASELINE in marks else "")


def _seeds(runs: list[Run]) -> tuple[int, ...]:
    return tuple(int(run.folder.name.removeprefix("seed")) for run in runs)


def _rows(study: JudgedStudy, plan: Plan, outcomes: Outcomes, used: dict[str, list[Run]]) -> list[RunRow]:
    rows, metric = [], verdict_metric(plan.spec.metric)
    for arm in plan.arms:
        folders = {run.folder for run in used[arm.name]}
        for position in range(plan.spec.most):
            run = study.run(arm, position)
            status = outcomes.status(run)
            if status == "missing":
                if not run.exists:
                    continue
                status = "unfinished"
            score = outcomes.score(run)
            rows.append(
                RunRow(
                    arm.name,
                    arm.seed_offset + position,
                    run,
                    run.folder in folders,
                    status=status,
                    score=None if score is None else metric.as_reported(score),
                )
            )
    return rows
