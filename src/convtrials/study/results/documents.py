"""The files that a study leaves for readers: verdicts.json, costs.json, runs.csv."""

from dataclasses import asdict
from typing import Any

from convtrials.core.files import write_json
from convtrials.evaluation.guessing import against_guessing
from convtrials.statistics.decision import BASELINE, Decision
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import FORMAT, Plan
from convtrials.study.results.costs import study_costs
from convtrials.study.results.ended_runs import EndedRun, ended_run, read_history
from convtrials.study.results.metrics import also_difference, as_told, interval_as_told, mean_also
from convtrials.study.results.runs_table import RunRow, write_runs_table
from convtrials.study.results.scores import Outcomes, used_runs
from convtrials.study.results.sentences import margin_amount, sentence
from convtrials.study.results.single_runs import compare_single_runs, single_runs_sentence
from convtrials.study.results.time_to_baseline import images_to_baseline, probability_better
from convtrials.study.results.warnings import ArmRuns, StudyWarning, study_warnings
from convtrials.training.run import Run


def write_documents(study: StudyDirectory, plan: Plan, outcomes: Outcomes) -> dict[str, Any]:
    """Write what the ended runs say, finished study or not; return the verdicts.

    ``verdicts.json`` holds no time: it is the same for the same science, however often the study was stopped. Seconds
    stand in ``costs.json``.
    """
    decision = outcomes.decide()
    used = _used(study, plan, decision)
    verdicts = _verdicts(study, plan, outcomes, decision, used)
    costs = study_costs(
        used[BASELINE],
        {name: runs for name, runs in used.items() if name != BASELINE},
        device=study.execution["device"],
        wall_seconds=study.wall_seconds(),
        surplus=_surplus(study, used),
    )
    write_runs_table(study.folder / "runs.csv", _rows(study, plan, outcomes, used), metric=plan.spec.metric)
    write_json(study.folder / "costs.json", costs)
    write_json(study.folder / "verdicts.json", verdicts)
    return verdicts


def _used(study: StudyDirectory, plan: Plan, decision: Decision) -> dict[str, list[Run]]:
    """Return the runs of each arm that the verdicts rest on."""
    seeds = {name: result.seeds for name, result in decision.results.items()}
    seeds[BASELINE] = max(seeds.values(), default=0)
    return {
        arm.name: [run for run in used_runs(study, arm, seeds[arm.name]) if run.finished or _lost(study, run)]
        for arm in plan.arms
    }


def _surplus(study: StudyDirectory, used: dict[str, list[Run]]) -> list[Run]:
    """Return the ended runs on which no verdict rests: of an earlier plan, or beyond the last look."""
    known = {run.folder for runs in used.values() for run in runs}
    ended = sorted(path.parent for path in study.folder.glob("runs/*/*/result.json"))
    return [Run(folder) for folder in ended if folder not in known]


def _lost(study: StudyDirectory, run: Run) -> bool:
    return study.failures(run).given_up


def _verdicts(
    study: StudyDirectory, plan: Plan, outcomes: Outcomes, decision: Decision, used: dict[str, list[Run]]
) -> dict[str, Any]:
    finished = _finished(used[BASELINE])
    baseline = {
        **_arm(plan, outcomes, plan.arms[0], used[BASELINE]),
        # Its mean curve may pass its own end before the end; techniques are measured by the same rule.
        "images_to_baseline": images_to_baseline(finished, finished),
    }
    warnings = _warnings(study, plan, outcomes, used)
    marks = {one.arm: one.mark for one in warnings if one.mark}
    techniques, single_runs = [], []
    for arm in plan.arms[1:]:
        result = decision.results[arm.name]
        told = _arm(plan, outcomes, arm, used[arm.name])
        # Against the baseline's runs of the same seeds: those of later looks belong to other techniques.
        own_baseline = used[BASELINE][: result.seeds]
        scores = [
            [score for run in runs if (score := outcomes.score(run)) is not None]
            for runs in (used[arm.name], own_baseline)
        ]
        base_also = _mean_also(outcomes, own_baseline)
        same_recipe = arm.recipe == plan.arms[0].recipe
        single = compare_single_runs(
            *scores,
            verdict=result.verdict if result.final else "",
            margin=plan.spec.margin,
            same_recipe=same_recipe,
        )
        single_runs += [] if single is None else [single]
        techniques.append(
            {
                **told,
                **asdict(result),
                "run_seeds": told["seeds"],
                "also_difference": also_difference(told["also"], base_also)
                if told["also"] and base_also
                else {},
                "probability_better": probability_better(*scores),
                "single_runs": None if single is None else asdict(single),
                "images_to_baseline": images_to_baseline(_finished(own_baseline), _finished(used[arm.name])),
                "sentence": sentence(
                    f"{arm.name} (the baseline with other seeds)" if same_recipe else arm.name,
                    result,
                    plan.spec.metric,
                    plan.spec.margin,
                    len(told["status"]),
                )
                + _marks_told(marks, arm.name),
            }
        )
    test_images = int(study.dataset["counts"]["test"])
    units = outcomes.units
    return {
        "format": FORMAT,
        "plan": plan.fingerprint,
        "complete": decision.complete,
        "metric": plan.spec.metric,
        "margin": plan.spec.margin,
        "alpha": plan.spec.alpha,
        "looks": list(plan.looks),
        "unit": "image" if units is None else str(study.dataset.get("group_kind") or "group"),
        "test_images": test_images,
        "test_units": test_images if units is None else len(set(units.tolist())),
        "single_runs": single_runs_sentence(single_runs, margin_amount(plan.spec.margin, plan.spec.metric)),
        "warnings": [one.as_dict() for one in warnings],
        "baseline": baseline,
        "techniques": techniques,
    }


def _warnings(
    study: StudyDirectory, plan: Plan, outcomes: Outcomes, used: dict[str, list[Run]]
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
        val_images=_whole(study.dataset["counts"].get("val")),
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _arm_runs(outcomes: Outcomes, name: str, runs: list[Run]) -> ArmRuns:
    known = [(run, answers) for run in runs if (answers := outcomes.answers(run)) is not None]
    aucs = [outcomes.also(run)["macro_auc"] for run, _ in known]
    return ArmRuns(
        name,
        [against_guessing(answers, auc) for (_, answers), auc in zip(known, aucs, strict=True)],
        aucs,
        [read_history(run) for run, _ in known],
    )


def _class_names(study: StudyDirectory, classes: int) -> list[str]:
    """Return the names of the classes, or numbers where ``dataset.json`` does not have them."""
    names = study.dataset.get("class_names")
    if isinstance(names, list) and len(names) == classes and all(isinstance(name, str) for name in names):
        return names
    return [f"class {k}" for k in range(classes)]


def _marks_told(marks: dict[str | None, str], name: str) -> str:
    """Say beside a verdict that runs behind it learned nothing."""
    own = f" Here, {marks[name]}." if name in marks else ""
    return own + (f" Of the baseline, {marks[BASELINE]}." if BASELINE in marks else "")


def _finished(runs: list[Run]) -> list[EndedRun]:
    ended = (ended_run(run) for run in runs)
    return [one for one in ended if one is not None and not one.diverged]


def _arm(plan: Plan, outcomes: Outcomes, arm: Arm, runs: list[Run]) -> dict[str, Any]:
    scores = [outcomes.score(run) for run in runs]
    known = [score for score in scores if score is not None]
    level = outcomes.level(runs)
    return {
        "name": arm.name,
        "slug": arm.slug,
        "seeds": [int(run.folder.name.removeprefix("seed")) for run in runs],
        "scores": [None if score is None else as_told(score, plan.spec.metric) for score in scores],
        "status": [outcomes.status(run) for run in runs],
        "mean": as_told(sum(known) / len(known), plan.spec.metric) if known else None,
        # Of this recipe alone, over new seeds and new test units; differences have intervals of their own.
        "mean_interval": None if level is None else interval_as_told(level, plan.spec.metric),
        "also": _mean_also(outcomes, runs),
    }


def _mean_also(outcomes: Outcomes, runs: list[Run]) -> dict[str, float | None]:
    finished = [run for run in runs if outcomes.status(run) == "finished"]
    return mean_also([outcomes.also(run) for run in finished]) if finished else {}


def _rows(study: StudyDirectory, plan: Plan, outcomes: Outcomes, used: dict[str, list[Run]]) -> list[RunRow]:
    rows = []
    for arm in plan.arms:
        folders = {run.folder for run in used[arm.name]}
        for position in range(plan.spec.most):
            run = study.run(arm, position)
            status = outcomes.status(run)
            if status == "missing" and not run.exists:
                continue
            score = outcomes.score(run)
            rows.append(
                RunRow(
                    arm.name,
                    arm.seed_offset + position,
                    run,
                    run.folder in folders,
                    status="failed" if status == "failed" else None,
                    score=None if score is None else as_told(score, plan.spec.metric),
                )
            )
    return rows
