"""A published copy of a study: a small folder from which its verdicts can be judged again.

It holds the plan, verdicts, costs, a line and a learning curve of each run, what each run answered for each test image,
and how all of it was made. It holds no weights, no times of day and no paths of the machine.
"""

import csv
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, Strict

from convtrials.core.documents import Several, Text, parse_document, read_document
from convtrials.core.errors import StudyError
from convtrials.core.files import atomic_path, finite, read_bounded_text, write_json, write_text
from convtrials.core.progress import progress_task
from convtrials.evaluation.guessing import Answers
from convtrials.statistics.design import DIVERGED, FAILED, RunScores
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan, parse_plan
from convtrials.study.plan.plan_log import fingerprint_of, read_plan_document, remarks
from convtrials.study.results.documents import StudyResults, study_results
from convtrials.study.results.ended_runs import EndedRun
from convtrials.study.results.metrics import SECONDARY_METRICS, verdict_metric
from convtrials.study.results.runs_table import RunRow, write_runs_table
from convtrials.study.results.scores import Outcomes
from convtrials.study.schemas import (
    Costs,
    Piece,
    StudyDataset,
    StudyDocument,
    StudyExecution,
    Verdicts,
)
from convtrials.training.run import Run

#: Files of a published copy; pictures and ``study.yaml`` may be there as well.
HOW, ANSWERS, HISTORIES = "how.json", "answers.npz", "histories.csv"

#: What each line of the histories must hold.
HISTORY_NUMBERS = ("step", "val_accuracy", "seconds", "cpu_seconds")

#: A path from the root of a machine, or from somebody's home, in a text.
_MACHINE_PATH = re.compile(r"(?<![\w.:/\\~$-])(?:[A-Za-z]:[\\/]|~?/)[^\s'\",;\]})]+")


class Machine(StudyDocument):
    """What a study ran on; of other versions some of it is not known."""

    processor: str | None = None
    cores: int | None = None
    vector_units: Annotated[tuple[str, ...] | None, Strict(False)] = None
    gpu: str | None = None
    python: str | None = None
    torch: str | None = None
    convtrials: str | None = None

    @property
    def kind(self) -> str:
        """The processor with its vector units: of another kind, a run comes out otherwise in its last bits."""
        units = ", ".join(self.vector_units or ())
        return f"{self.processor or 'an unknown processor'}{f' ({units})' if units else ''}"

    @classmethod
    def of(cls, study: StudyDirectory) -> "Machine":
        """Read what a study says of its machine."""
        environment = study.shown("environment.json")
        packages = environment.get("packages")
        torch = packages.get("torch") if isinstance(packages, dict) else None
        text = json.dumps({**environment, "torch": torch})
        return parse_document(text, Machine, str(study.folder / "environment.json"), StudyError)


class PublishedDataset(StudyDataset):
    """What data a published study is on; where it was is left out."""

    model_config = ConfigDict(extra="ignore")

    name: Text | None = None
    class_names: Several[Text] = ()


class HowMade(StudyDocument):
    """``how.json``: what a reader must know besides plan and verdicts.

    Attributes
    ----------
    plan : str
        Fingerprint of the study's plan.
    plan_remarks : tuple of str
        Changes of the plan after runs had ended, and doubts about its log.
    made_from : dict
        Arm -> digests of what its runs were made from besides recipe, seed and data: initial weights, source of an
        own network.
    pictures : tuple of str
        Names of the pictures in the folder.
    merged : tuple of Piece
        The studies that were merged into this one; empty for a study of one piece.
    """

    model_config = ConfigDict(extra="ignore")

    format: int = 1
    plan: str
    plan_remarks: Several[str] = ()
    made_from: dict[str, dict[str, str]] = Field(default={})
    pictures: Several[str] = ()
    merged: Several[Piece] = ()
    execution: StudyExecution
    machine: Machine
    dataset: PublishedDataset

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds: what is not known is left out."""
        plain: dict[str, Any] = finite(self.model_dump(exclude_none=True))
        return plain


class _FirstOutline(StudyDocument):
    """What ``how.json`` of the first version holds in place of a ``plan.json``."""

    title: str | None = None
    metric: str
    margin: float
    looks: Several[int]
    arms: dict[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class PublishedRun:
    """A run of a published copy.

    Attributes
    ----------
    arm : str
    seed : int
    status : str
        ``finished``, ``diverged``, ``failed``, or another word for a run that has not ended.
    ended : EndedRun or None
        Its result; of the first version without a history.
    epochs : int
        That it was trained for.
    answers : ndarray of int, shape (N,), or None
        The class that it gives each test image; None where it did not finish well.
    scores : ndarray of float64, shape (N,), or None
        Higher is better.
    secondary_metrics : dict
    """

    arm: str
    seed: int
    status: str
    ended: EndedRun | None = None
    epochs: int = 0
    answers: NDArray[Any] | None = None
    scores: NDArray[np.float64] | None = None
    secondary_metrics: Mapping[str, float | None] | None = None

    def same_as(self, other: "PublishedRun") -> bool:
        """Tell whether another copy of this run ended alike, and answered and scored alike."""
        if self.status != other.status or self.answers is None or other.answers is None:
            return self.status == other.status
        assert self.scores is not None
        assert other.scores is not None
        return np.array_equal(self.answers, other.answers) and np.array_equal(self.scores, other.scores)


@dataclass(frozen=True, eq=False)
class PublishedStudy:
    """A published copy of a study.

    Attributes
    ----------
    folder : Path
    how : HowMade
    plan : Plan
        Its ``recorded`` is the fingerprint of the study's plan; paths in it are cut to their names.
    runs : tuple of PublishedRun
        In the order of ``runs.csv``.
    labels : ndarray of int, shape (N,)
        True classes of the test images.
    groups : ndarray of int64, shape (N,), or None
        The sampled group of each test image, where images themselves are not the sample.
    verdicts, costs
        As they were published.
    """

    folder: Path
    how: HowMade
    plan: Plan
    runs: tuple[PublishedRun, ...]
    labels: NDArray[Any]
    groups: NDArray[np.int64] | None
    verdicts: Verdicts
    costs: Costs

    @classmethod
    def read(cls, folder: str | Path) -> "PublishedStudy":
        """Read a published copy, of this version or an earlier one.

        Raises
        ------
        StudyError
            The folder is none, or a file is damaged or fits no other.
        """
        return _read(Path(folder))

    @property
    def dataset(self) -> PublishedDataset:
        """What data the study is on."""
        return self.how.dataset

    @property
    def execution(self) -> StudyExecution:
        """How every run was computed."""
        return self.how.execution

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.how.dataset.class_names

    def run(self, arm: Arm, position: int) -> Run:
        """Return where the run of an arm with the study's seed number ``position`` was; its directory is not here."""
        return StudyDirectory(self.folder).run(arm, position)

    def place(self, run: PublishedRun) -> Run:
        """Return where the directory of a run was."""
        arm = self.plan.arm(run.arm)
        return self.run(arm, run.seed - arm.seed_offset)

    def ended_runs(self) -> list[Run]:
        """Return the places of the runs that have ended."""
        return [self.place(one) for one in self.runs if one.ended is not None]

    @property
    def merged(self) -> tuple[Piece, ...]:
        """The studies that were merged into this one; none where it was trained in one piece."""
        return self.how.merged

    def wall_seconds(self) -> float | None:
        """Return how long the study took by the clock."""
        return self.costs.total.wall_seconds

    def finished(self, arm: str) -> list[PublishedRun]:
        """Return the runs of an arm that finished well, by seed."""
        return [one for one in self.runs if one.arm == arm and one.answers is not None]

    def answers_of(self, arm: str) -> NDArray[np.int64]:
        """Return the answers of an arm's finished runs, shape (runs, N)."""
        answers = [one.answers for one in self.finished(arm) if one.answers is not None]
        return np.array(answers, dtype=np.int64).reshape(len(answers), len(self.labels))

    @cached_property
    def judged(self) -> StudyResults:
        """What today's statistics say of the runs."""
        return study_results(self, self.plan, _PublishedOutcomes(self))

    def changed_verdicts(self) -> list[str]:
        """Name the techniques whose verdict today's statistics would change."""
        published = {one.name: one.verdict for one in self.verdicts.techniques}
        return [one.name for one in self.judged.verdicts.techniques if published.get(one.name) != one.verdict]

    def write(self, target: Path, *, study_file: str | None = None, pictures: Iterable[Path] = ()) -> int:
        """Write the copy; return its size in bytes.

        Parameters
        ----------
        target : Path
            A new or empty folder, or one that holds an earlier copy of the same study.
        study_file : str, optional
            What ``study.yaml`` says.
        pictures : iterable of Path
            PNG files, and CSV files with their numbers, to put there as they are.

        Raises
        ------
        StudyError
            The folder holds something else, or cannot be written.
        """
        older = check_target(target, self.how.plan)
        staged = target.parent / f".{target.name}.{secrets.token_hex(6)}.tmp"
        try:
            staged.mkdir(parents=True)
            self._write(staged, study_file, list(pictures))
            _take_place(staged, target, older)
        except OSError as error:
            raise StudyError(f"{target}: cannot be written: {error.strerror}") from None
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return sum(path.stat().st_size for path in target.iterdir())

    def _write(self, target: Path, study_file: str | None, pictures: Sequence[Path]) -> None:
        if study_file is not None:
            write_text(target / "study.yaml", study_file)
        write_json(target / "plan.json", published_plan(self.plan))
        self.verdicts.write(target / "verdicts.json")
        self.costs.write(target / "costs.json")
        write_runs_table(
            target / "runs.csv",
            self.judged.rows,
            metric=self.plan.spec.metric,
            home=self.folder,
            read=_PublishedOutcomes(self).ended_run,
        )
        _write_histories(target / HISTORIES, self.runs)
        self._write_answers(target / ANSWERS)
        for path in pictures:
            shutil.copyfile(path, target / path.name)
        names = sorted({path.stem for path in pictures})
        self.how.model_copy(update={"pictures": tuple(names)}).write(target / HOW)

    def _write_answers(self, target: Path) -> None:
        finished = [one for one in self.runs if one.answers is not None]
        small = np.min_scalar_type(max(len(self.class_names) - 1, 1))
        arrays = {
            "arms": np.array([one.arm for one in finished], dtype=np.str_),
            "seeds": np.array([one.seed for one in finished], dtype=np.int64),
            "answers": np.array([one.answers for one in finished], dtype=small).reshape(len(finished), -1),
            "labels": self.labels.astype(small),
            "secondary_metrics": np.array(
                [
                    [_number((one.secondary_metrics or {}).get(key)) for key in SECONDARY_METRICS]
                    for one in finished
                ]
            ).reshape(len(finished), len(SECONDARY_METRICS)),
            "secondary_names": np.array(list(SECONDARY_METRICS), dtype=np.str_),
        }
        if self.plan.spec.metric != "accuracy":  # which answers and labels say
            scores = np.array([one.scores for one in finished], dtype=np.float32)
            arrays["scores"] = scores.reshape(len(finished), -1)
        if self.groups is not None:
            arrays["groups"] = self.groups
        with atomic_path(target) as temporary, open(temporary, "wb") as handle:
            np.savez_compressed(handle, allow_pickle=False, **arrays)


class _PublishedOutcomes(Outcomes):
    """What the runs of a published copy say, from what was kept of each."""

    def __init__(self, study: PublishedStudy) -> None:
        super().__init__(StudyDirectory(study.folder), study.plan, study.groups)
        self._kept = {study.place(one).folder: one for one in study.runs}
        self._labels, self._classes = study.labels.astype(np.int64), len(study.class_names)

    def begun(self, run: Run) -> bool:
        return run.folder in self._kept

    def ended_run(self, run: Run) -> EndedRun | None:
        kept = self._kept.get(run.folder)
        return kept.ended if kept else None

    def secondary_metrics(self, run: Run) -> dict[str, float | None]:
        return dict(self._kept[run.folder].secondary_metrics or {})

    def answers(self, run: Run) -> Answers | None:
        kept = self._kept.get(run.folder)
        if kept is None or kept.answers is None:
            return None
        return Answers.of(self._labels, kept.answers.astype(np.int64), self._classes)

    def _scores(self, run: Run) -> RunScores | None:
        kept = self._kept.get(run.folder)
        if kept is None:
            return None
        return {"diverged": DIVERGED, "failed": FAILED}.get(kept.status, kept.scores)


def is_published(folder: str | Path) -> bool:
    """Tell whether a folder is a published copy, not a study directory."""
    folder = Path(folder)
    return (folder / HOW).is_file() and (folder / ANSWERS).is_file()


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
    copy = _copy_of(study)
    file, drawn = folder / "study.yaml", sorted((folder / "figures").glob("*.[pc][ns][gv]"))
    return copy.write(
        target,
        study_file=without_paths(read_bounded_text(file, StudyError)) if file.is_file() else None,
        pictures=drawn if pictures else (),
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


def _copy_of(study: StudyDirectory) -> PublishedStudy:
    """Read all of a study directory that a published copy holds."""
    plan = study.plan
    outcomes = Outcomes(study, plan, study.units())
    results = study_results(study, plan, outcomes)
    runs, labels = [], None
    with progress_task("publish", len(results.rows), log_steps=False) as task:
        for row in results.rows:
            task.show(f"{row.arm}, seed {row.seed}")
            ended, status = outcomes.ended_run(row.run), row.status or "unfinished"
            run = PublishedRun(row.arm, row.seed, status, ended, len(ended.history) if ended else 0)
            if status == "finished":
                found = row.run.read_predictions()
                labels = found.labels
                run = replace(
                    run,
                    answers=found.predicted,
                    scores=verdict_metric(plan.spec.metric).scores(found),
                    secondary_metrics=outcomes.secondary_metrics(row.run),
                )
            runs.append(run)
            task.advance()
    if labels is None:
        raise StudyError(f"{study.folder}: no finished run in it; there is nothing to publish")
    how = _how_made(study, plan, results.rows)
    return PublishedStudy(
        study.folder, how, plan, tuple(runs), labels, outcomes.units, results.verdicts, results.costs
    )


def _how_made(study: StudyDirectory, plan: Plan, rows: Sequence[RunRow]) -> HowMade:
    made_from: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.arm not in made_from and row.status in ("finished", "diverged"):
            made_from[row.arm] = made_from_of(row.run)
    log = study.plan_log
    execution = study.execution.model_dump(
        include={"device", "precision", "channels_last", "threads", "workers", "replicas"}
    )
    data = study.dataset
    dataset = PublishedDataset(
        fingerprint=data.fingerprint,
        counts=data.counts,
        name=_last_name(str(study.shown("dataset.json").get("name") or "")),
        class_names=tuple(str(name) for name in data.class_names or ()),
        group_kind=data.group_kind,
        grouped=data.grouped,
    )
    return HowMade(
        plan=plan.fingerprint,
        plan_remarks=tuple(without_paths(one) for one in remarks(log)),
        made_from={name: one for name, one in made_from.items() if one},
        merged=log.merged,
        execution=StudyExecution(**execution),
        machine=Machine.of(study),
        dataset=dataset,
    )


def made_from_of(run: Run) -> dict[str, str]:
    """Return the digests of what a run was made from besides seed, recipe and data."""
    identity = run.identity.to_dict()
    return {
        key: identity[key] for key in identity if key not in ("seed", "recipe", "dataset") and identity[key]
    }


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
        if target.exists():
            target.rmdir()
        os.replace(staged, target)
        return
    for name in older.pictures:
        for ending in ("png", "csv"):
            (target / f"{name}.{ending}").unlink(missing_ok=True)
    for path in staged.iterdir():
        os.replace(path, target / path.name)


def _write_histories(target: Path, runs: Sequence[PublishedRun]) -> None:
    """Write a line for each epoch of each run."""
    entries = [(one, entry) for one in runs if one.ended is not None for entry in one.ended.history]
    if not entries:
        return
    columns = list(dict.fromkeys(key for _, entry in entries for key in entry))
    with atomic_path(target) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["arm", "seed", *columns], restval="", lineterminator="\n")
        writer.writeheader()
        for one, entry in entries:
            writer.writerow({"arm": one.arm, "seed": one.seed, **entry})


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _read(folder: Path) -> PublishedStudy:
    if not is_published(folder):
        raise StudyError(f"{folder}: no {HOW} and {ANSWERS} in it: not a published copy of a study")
    how, verdicts = (
        read_document(folder / HOW, HowMade, StudyError),
        read_document(folder / "verdicts.json", Verdicts, StudyError),
    )
    plan = _read_plan(folder, how, verdicts)
    arrays = _read_arrays(folder / ANSWERS)
    labels = arrays["labels"].astype(np.int64)
    return PublishedStudy(
        folder=folder,
        how=how,
        plan=plan,
        runs=_read_runs(folder, plan, arrays, labels),
        labels=labels,
        groups=arrays["groups"].astype(np.int64) if "groups" in arrays else None,
        verdicts=verdicts,
        costs=read_document(folder / "costs.json", Costs, StudyError),
    )


def _read_plan(folder: Path, how: HowMade, verdicts: Verdicts) -> Plan:
    path = folder / "plan.json"
    if path.is_file():
        document = read_plan_document(path)
        if document.get("fingerprint") != fingerprint_of(document):
            raise StudyError(f"{path}: was changed after it was written; publish the study again")
        return replace(parse_plan(document, str(path)), recorded=how.plan)
    outline = read_document(folder / HOW, _FirstOutline, StudyError)
    document = {
        "title": outline.title,
        "metric": outline.metric,
        "margin": outline.margin,
        "alpha": verdicts.alpha,
        "looks": list(outline.looks),
        "seeds": {"min": outline.looks[0], "max": outline.looks[-1]},
        "weights": "first",
        "dataset": {"name": how.dataset.name},
        "dataset_fingerprint": how.dataset.fingerprint,
        "arms": [{"name": name, **arm} for name, arm in outline.arms.items()],
    }
    return replace(parse_plan(document, str(folder / HOW)), recorded=how.plan)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name]) for name in stored.files}
        rows, images = arrays["answers"].shape
        fitting = len(arrays["arms"]) == len(arrays["seeds"]) == rows and arrays["labels"].shape == (images,)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise StudyError(f"{path}: not readable ({error})") from None
    if not fitting or any(arrays[name].shape != (rows, images) for name in ("scores",) if name in arrays):
        raise StudyError(f"{path}: its arrays do not fit together")
    return arrays


def _read_runs(
    folder: Path, plan: Plan, arrays: dict[str, NDArray[Any]], labels: NDArray[np.int64]
) -> tuple[PublishedRun, ...]:
    path = folder / "runs.csv"
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    histories = _read_histories(folder / HISTORIES)
    arms = {arm.name for arm in plan.arms}
    kept = {
        key: row
        for row, key in enumerate(zip(arrays["arms"].tolist(), arrays["seeds"].tolist(), strict=True))
    }
    runs = []
    for number, row in enumerate(rows, 2):
        try:
            arm, seed, status = row["arm"], int(row["seed"]), row["status"]
            if arm not in arms:
                raise ValueError(f"arm {arm!r:.60}")
            ended = _ended(row, histories.get((arm, seed), []))
            run = PublishedRun(arm, seed, status, ended, int(row["epochs"] or 0))
        except (KeyError, ValueError, TypeError) as error:
            raise StudyError(f"{path} line {number}: {error}: not a run of this study") from None
        place = kept.pop((arm, seed), None)
        if (place is None) != (status != "finished"):
            raise StudyError(
                f"{path} line {number}: {arm}, seed {seed} is {status}, which {ANSWERS} does not say"
            )
        runs.append(run if place is None else _with_answers(run, arrays, place, labels))
    if kept:
        arm, seed = next(iter(kept))
        raise StudyError(f"{folder / ANSWERS}: answers of {arm}, seed {seed}, which is not in runs.csv")
    return tuple(runs)


def _with_answers(
    run: PublishedRun, arrays: dict[str, NDArray[Any]], place: int, labels: NDArray[np.int64]
) -> PublishedRun:
    answers, scores = arrays["answers"][place], arrays.get("scores")
    metrics: dict[str, float | None] = {}
    if "secondary_metrics" in arrays:
        values = arrays["secondary_metrics"][place].tolist()
        metrics = dict(zip(arrays["secondary_names"].tolist(), finite(values), strict=True))
    return replace(
        run,
        answers=answers,
        scores=(answers == labels).astype(np.float64) if scores is None else scores[place].astype(np.float64),
        secondary_metrics=metrics,
    )


def _ended(row: Mapping[str, str], history: list[dict[str, Any]]) -> EndedRun | None:
    if row["status"] not in ("finished", "diverged"):
        return None
    seconds, steps, rate = float(row["seconds"]), int(row["steps"]), row.get("images_per_second")
    images = round(float(rate) * seconds) if rate else None
    return EndedRun(
        diverged=row["status"] == "diverged",
        seconds=seconds,
        cpu_seconds=float(row["cpu_seconds"]),
        steps=steps,
        images=images,
        val_accuracy=float(row["val_accuracy"]) if row["val_accuracy"] else None,
        history=history,
        images_in_first_entry=round(images * history[0]["step"] / steps) if images and history else 0,
    )


def _read_histories(path: Path) -> dict[tuple[str, int], list[dict[str, Any]]]:
    histories: dict[tuple[str, int], list[dict[str, Any]]] = {}
    if not path.is_file():
        return histories
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                key = row.pop("arm"), int(row.pop("seed"))
                entry = {name: json.loads(value) for name, value in row.items() if value != ""}
                if any(not isinstance(entry[name], int | float) for name in HISTORY_NUMBERS):
                    raise ValueError(f"{', '.join(HISTORY_NUMBERS)} must be numbers")
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise StudyError(f"{path} line {number}: {error}") from None
            histories.setdefault(key, []).append(entry)
    return histories
