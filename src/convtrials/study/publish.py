"""Publish a study: write a small copy of it, from which its verdicts can be judged again.

It holds the plan, verdicts, costs, a line and a learning curve of each run, what each run answered for each test image,
and how all of it was made. It holds no weights, no times of day and no paths of the machine.
"""

import csv
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convtrials.core.documents import parse_value, read_document
from convtrials.core.errors import StudyError
from convtrials.core.files import (
    atomic_path,
    move_folder,
    read_bounded_text,
    replace_file,
    staged_folder,
    write_json,
    write_text,
)
from convtrials.core.progress import progress_task
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.plan_log import fingerprint_of, remarks
from convtrials.study.published_study import (
    ANSWERS,
    HISTORIES,
    HOW,
    HowMade,
    Machine,
    PublishedDataset,
    PublishedRun,
    PublishedStudy,
    is_published,
)
from convtrials.study.results.documents import study_results
from convtrials.study.results.metrics import SECONDARY_METRICS, verdict_metric
from convtrials.study.results.runs_table import write_runs_table
from convtrials.study.results.scores import Outcomes
from convtrials.study.schemas import StudyExecution

#: A path from the root of a machine, of a server or of a home, in a text; names of folders may hold spaces.
_MACHINE_PATH = re.compile(
    r"(?<![\w.:/\\~$-])(?:[A-Za-z]:[\\/]|~\w*/|/|\\\\|file:/+)[^\s'\",;\]})]+"
    r"(?: +[^\s'\",;\]})/\\#]+[\\/][^\s'\",;\]})]*)*"
)


def publish(folder: str | Path, target: str | Path, *, pictures: bool = True) -> int:
    """Write a published copy of a study directory, judged by today's statistics; return its size in bytes.

    Parameters
    ----------
    folder : path
        A study directory, finished or not.
    target : path
        A new or empty folder, or one that holds an earlier copy of the same study.
    pictures : bool
        Take along what the report has drawn into ``figures/``.

    Raises
    ------
    StudyError, RunError
        The directory is no study or holds no finished run, a file in it is damaged, or `target` holds something else.
    """
    folder, target = Path(folder), Path(target)
    if is_published(folder):
        raise StudyError(f"{folder}: is a published copy itself; copy the folder")
    study = StudyDirectory(folder)
    check_target(target, study.plan.fingerprint)
    file, drawn = folder / "study.yaml", sorted((folder / "figures").glob("*.[pc][ns][gv]"))
    return write_copy(
        _copy_of(study),
        target,
        study_file=without_paths(read_bounded_text(file, StudyError)) if file.is_file() else None,
        pictures=drawn if pictures else (),
    )


def write_copy(
    study: PublishedStudy, target: Path, *, study_file: str | None = None, pictures: Sequence[Path] = ()
) -> int:
    """Write a copy; return its size in bytes.

    Parameters
    ----------
    target : Path
        As for `publish`.
    study_file : str, optional
        What ``study.yaml`` says.
    pictures : sequence of Path
        PNG files, and CSV files with their numbers, to put there as they are.

    Raises
    ------
    StudyError
        The folder holds something else, or cannot be written.
    """
    older = check_target(target, study.how.plan)
    made_from = {name: one for name, one in study.how.made_from.items() if one}
    names = tuple(sorted({path.stem for path in pictures}))
    try:
        with staged_folder(target) as staged:
            if study_file is not None:
                write_text(staged / "study.yaml", study_file)
            write_json(staged / "plan.json", published_plan(study.plan))
            study.verdicts.write(staged / "verdicts.json")
            study.costs.write(staged / "costs.json")
            metric, rows = study.plan.spec.metric, study.judged.rows
            write_runs_table(staged / "runs.csv", rows, metric=metric, home=study.folder)
            _write_histories(staged / HISTORIES, study.runs)
            _write_answers(study, staged / ANSWERS)
            for path in pictures:
                shutil.copyfile(path, staged / path.name)
            study.how.model_copy(update={"pictures": names, "made_from": made_from}).write(staged / HOW)
            _take_place(staged, target, older)
    except OSError as error:
        raise StudyError(f"{target}: cannot be written: {error.strerror}") from None
    return sum(path.stat().st_size for path in target.iterdir())


def _write_answers(study: PublishedStudy, target: Path) -> None:
    finished = [one for one in study.runs if one.answers is not None]
    small = np.min_scalar_type(max(len(study.class_names) - 1, 1))
    arrays = {
        "arms": np.array([one.arm for one in finished], dtype=np.str_),
        "seeds": np.array([one.seed for one in finished], dtype=np.int64),
        "answers": np.array([one.answers for one in finished], dtype=small).reshape(len(finished), -1),
        "labels": study.labels.astype(small),
        "secondary_metrics": np.array(
            [[one.secondary_metrics.get(key) for key in SECONDARY_METRICS] for one in finished],
            dtype=np.float64,
        ).reshape(len(finished), len(SECONDARY_METRICS)),
        "secondary_names": np.array(list(SECONDARY_METRICS), dtype=np.str_),
    }
    if study.plan.spec.metric != "accuracy":  # which answers and labels say
        scores = np.array([one.scores for one in finished], dtype=np.float32)
        arrays["scores"] = scores.reshape(len(finished), -1)
    if study.groups is not None:
        arrays["groups"] = study.groups
    with atomic_path(target) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **arrays)


def _write_histories(target: Path, runs: Sequence[PublishedRun]) -> None:
    """Write a line for each epoch of each run."""
    lines = [{"arm": one.arm, "seed": one.seed, **entry.to_dict()} for one in runs for entry in one.entries]
    if not lines:
        return
    columns = dict.fromkeys(key for line in lines for key in line)
    with atomic_path(target) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def check_target(target: Path, plan: str) -> HowMade | None:
    """Refuse a folder that holds something else; return what an earlier copy of the same study says."""
    if not target.exists():
        return None
    if not target.is_dir():
        raise StudyError(f"{target}: is a file; choose another folder")
    if is_published(target):
        older = read_document(target / HOW, HowMade, StudyError)
        if older.plan == plan:
            return older
        raise StudyError(
            f"{target}: holds a published copy of a study with another plan ({older.plan}, not {plan}); "
            "choose another folder"
        )
    other = sorted(path.name for path in target.iterdir())
    if other:
        raise StudyError(f"{target}: not empty ({other[0]} is there); choose another folder")
    return None


def _take_place(staged: Path, target: Path, older: HowMade | None) -> None:
    """Move a whole copy to its place; of an earlier one, pictures that are no longer drawn go."""
    if older is None:
        move_folder(staged, target)
        return
    for name in older.pictures:
        for ending in ("png", "csv"):
            (target / f"{name}.{ending}").unlink(missing_ok=True)
    for path in staged.iterdir():
        replace_file(path, target / path.name)


def _copy_of(study: StudyDirectory) -> PublishedStudy:
    """Read all of a study directory that a published copy holds."""
    plan, how = study.plan, how_made(study)
    outcomes = Outcomes(study, plan, study.units())
    results = study_results(study, plan, outcomes)
    runs, labels = [], None
    with progress_task("publish", len(results.rows), log_steps=False) as task:
        for row in results.rows:
            task.show(f"{row.arm}, seed {row.seed}")
            run, ending = row.run, row.status or "unfinished"
            copy = PublishedRun(run.folder, row.arm, row.seed, ending)
            if run.finished:
                result, history, images = run.result, run.read_history(), run.images_seen
                copy = replace(copy, kept=result, entries=history, images=images)
            if ending == "finished":
                found = run.read_predictions()
                labels = found.labels
                if len(how.dataset.class_names) != found.probabilities.shape[1]:
                    raise StudyError(
                        f"{study.dataset_path}: names {len(how.dataset.class_names)} classes; runs answer with "
                        f"{found.probabilities.shape[1]}"
                    )
                copy = replace(
                    copy,
                    answers=found.predicted,
                    scores=verdict_metric(plan.spec.metric).scores(found),
                    secondary_metrics=outcomes.secondary_metrics(run),
                )
            runs.append(copy)
            task.advance()
    if labels is None:
        raise StudyError(f"{study.folder}: no finished run in it; there is nothing to publish")
    return PublishedStudy(
        study.folder, how, plan, tuple(runs), labels, outcomes.units, results.verdicts, results.costs
    )


def how_made(study: StudyDirectory) -> HowMade:
    """Say how a study was made, as ``how.json`` of a published copy does."""
    plan, log, data = study.plan, study.plan_log, study.dataset.to_dict()
    made_from: dict[str, dict[str, str]] = {}
    for arm in plan.arms:
        runs = (study.run(arm, position) for position in range(plan.spec.most))
        if first := next((run for run in runs if run.finished), None):
            made_from[arm.name] = {
                key: value
                for key, value in first.identity.to_dict().items()
                if key not in ("seed", "recipe", "dataset") and value
            }
    environment = study.shown("environment.json")
    packages = environment.get("packages")
    torch = packages.get("torch") if isinstance(packages, dict) else None
    data |= {"name": _last_name(str(data.get("name") or "")), "class_names": data["class_names"] or ()}
    return HowMade(
        plan=plan.fingerprint,
        plan_remarks=tuple(without_paths(one) for one in remarks(log)),
        made_from=made_from,
        merged=log.merged,
        execution=StudyExecution(
            **study.execution.model_dump(
                include={"device", "precision", "channels_last", "threads", "workers", "replicas"}
            )
        ),
        machine=parse_value(
            {**environment, "torch": torch}, Machine, str(study.folder / "environment.json"), StudyError
        ),
        dataset=parse_value(data, PublishedDataset, str(study.dataset_path), StudyError),
    )


def without_paths(text: str) -> str:
    """Cut paths of a machine in a text to their last names."""
    return _MACHINE_PATH.sub(lambda found: _last_name(found[0]), text)


def published_plan(plan: Plan) -> dict[str, Any]:
    """Return a plan as ``plan.json`` of a published copy has it: paths are cut to their last names."""
    document = plan.to_dict()
    document["dataset"] = {**document["dataset"], "name": _last_name(document["dataset"]["name"])}
    for arm in document["arms"]:
        for settings in (arm["changes"], arm["recipe"]):
            if settings.get("initial_weights"):
                settings["initial_weights"] = _last_name(settings["initial_weights"])
    return {"fingerprint": fingerprint_of(document), **document}


def _last_name(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
