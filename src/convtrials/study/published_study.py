"""Read a published copy of a study, and judge its runs again."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, Strict

from convtrials.core.documents import Several, Text, parse_value, read_document
from convtrials.core.errors import StudyError
from convtrials.core.files import finite, read_bounded_text
from convtrials.evaluation.guessing import Answers
from convtrials.evaluation.predictions import read_arrays
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan, parse_plan
from convtrials.study.plan.plan_log import fingerprint_of, read_plan_document
from convtrials.study.results.documents import StudyResults, study_results
from convtrials.study.results.scores import Outcomes
from convtrials.study.schemas import (
    Costs,
    Failures,
    Piece,
    StudyDataset,
    StudyDocument,
    StudyExecution,
    Verdicts,
)
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry, RunResult

#: Files of a published copy; pictures and ``study.yaml`` may be there as well.
HOW, ANSWERS, HISTORIES = "how.json", "answers.npz", "histories.csv"


class Machine(StudyDocument):
    """What a study ran on; of other versions some of it is not known. All else in ``environment.json`` is left out."""

    model_config = ConfigDict(extra="ignore")

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
class PublishedRun(Run):
    """A run of a published copy: what was kept of it is at hand, its directory is not.

    Attributes
    ----------
    ending : str
        ``finished``, ``diverged``, ``failed``, or another word for a run that has not ended.
    kept : RunResult or None
        Its result, where it has ended.
    entries : tuple of HistoryEntry
        Its history; copies of the first version have none.
    answers : ndarray of int, shape (N,), or None
        The class that it gives each test image; None where it did not finish well.
    scores : ndarray of float64, shape (N,), or None
        Higher is better.
    """

    arm: str
    seed: int
    ending: str
    kept: RunResult | None = None
    entries: tuple[HistoryEntry, ...] = ()
    images: int | None = None
    answers: NDArray[Any] | None = None
    scores: NDArray[np.float64] | None = None
    secondary_metrics: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Always: runs that had not begun are in no copy."""
        return True

    @property
    def finished(self) -> bool:
        """True where it has ended, well or as diverged."""
        return self.kept is not None

    @property
    def result(self) -> RunResult:
        """How it ended."""
        assert self.kept is not None
        return self.kept

    def read_history(self) -> tuple[HistoryEntry, ...]:
        """Return one entry per epoch."""
        return self.entries

    @property
    def images_seen(self) -> int | None:
        """Training images seen."""
        return self.images

    def same_as(self, other: "PublishedRun") -> bool:
        """Return whether another copy of this run ended alike, and answered and scored alike."""
        return (
            self.ending == other.ending
            and equal_or_absent(self.answers, other.answers)
            and equal_or_absent(self.scores, other.scores)
        )


def equal_or_absent(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    """Return whether two arrays are equal, or both are not there."""
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


@dataclass(frozen=True, eq=False)
class PublishedStudy:
    """A published copy of a study.

    Attributes
    ----------
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
        folder = Path(folder)
        if not is_published(folder):
            raise StudyError(f"{folder}: no {HOW} and {ANSWERS} in it: not a published copy of a study")
        how = read_document(folder / HOW, HowMade, StudyError)
        verdicts = read_document(folder / "verdicts.json", Verdicts, StudyError)
        plan = _read_plan(folder, how, verdicts)
        arrays = _read_arrays(folder / ANSWERS, len(how.dataset.class_names))
        return cls(
            folder=folder,
            how=how,
            plan=plan,
            runs=_read_runs(folder, plan, arrays),
            labels=arrays["labels"].astype(np.int64),
            groups=arrays["groups"].astype(np.int64) if "groups" in arrays else None,
            verdicts=verdicts,
            costs=read_document(folder / "costs.json", Costs, StudyError),
        )

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

    @property
    def merged(self) -> tuple[Piece, ...]:
        """The studies that were merged into this one; none where it was trained in one piece."""
        return self.how.merged

    def wall_seconds(self) -> float | None:
        """Return how long the study took by the clock."""
        return self.costs.total.wall_seconds

    def run(self, arm: Arm, position: int) -> Run:
        """Return the run of an arm with the study's seed number ``position``; one that is not there is in no copy."""
        place = StudyDirectory(self.folder).run(arm, position)
        return self._by_folder.get(place.folder, place)

    @cached_property
    def _by_folder(self) -> dict[Path, PublishedRun]:
        return {run.folder: run for run in self.runs}

    def failures(self, run: Run) -> Failures:
        """Return whether a failed run was given up."""
        return Failures(given_up=isinstance(run, PublishedRun) and run.ending == "failed")

    def ended_runs(self) -> list[Run]:
        """Return the runs that have ended."""
        return [run for run in self.runs if run.finished]

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


class _PublishedOutcomes(Outcomes):
    """What the runs of a published copy say: answers and scores are at hand, probabilities are not."""

    def __init__(self, study: PublishedStudy) -> None:
        super().__init__(study, study.plan, study.groups)
        self._labels, self._classes = study.labels.astype(np.int64), len(study.class_names)

    def secondary_metrics(self, run: Run) -> dict[str, float | None]:
        return dict(run.secondary_metrics) if isinstance(run, PublishedRun) else {}

    def _read(self, run: Run) -> tuple[NDArray[np.float64], Answers]:
        assert isinstance(run, PublishedRun)
        assert run.answers is not None
        assert run.scores is not None
        return run.scores, Answers.of(self._labels, run.answers.astype(np.int64), self._classes)

    def _check_identity(self, arm: Arm, position: int, run: Run) -> None:
        """It was checked when the copy was written."""


def is_published(folder: str | Path) -> bool:
    """Return whether a folder is a published copy, not a study directory."""
    folder = Path(folder)
    return (folder / HOW).is_file() and (folder / ANSWERS).is_file()


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


def _read_arrays(path: Path, classes: int) -> dict[str, NDArray[Any]]:
    arrays = read_arrays(
        path,
        ("arms", "seeds", "answers", "labels"),
        ("scores", "groups", "secondary_metrics", "secondary_names"),
        what="readable",
        error=StudyError,
    )
    shape, names = arrays["answers"].shape, arrays.get("secondary_names", np.array([], np.str_))
    # Of each array the kinds of NumPy that it may have, and its shape.
    fitting = {
        "arms": ("U", shape[:1]),
        "seeds": ("iu", shape[:1]),
        "answers": ("iu", shape),
        "labels": ("iu", shape[1:]),
        "groups": ("iu", shape[1:]),
        "scores": ("f", shape),
        "secondary_names": ("U", (names.size,)),
        "secondary_metrics": ("f", (*shape[:1], names.size)),
    }
    if len(shape) != 2 or any(
        arrays[name].shape != fits or arrays[name].dtype.kind not in kinds
        for name, (kinds, fits) in fitting.items()
        if name in arrays
    ):
        raise StudyError(f"{path}: its arrays do not fit together")
    for name in ("answers", "labels"):
        if arrays[name].size and not 0 <= arrays[name].min() <= arrays[name].max() < classes:
            raise StudyError(f"{path}: {name} must be from 0 to {classes - 1}, the classes that {HOW} names")
    return arrays


def _read_runs(folder: Path, plan: Plan, arrays: dict[str, NDArray[Any]]) -> tuple[PublishedRun, ...]:
    histories = _read_histories(folder / HISTORIES)
    arms = {arm.name: arm for arm in plan.arms}
    finished = zip(arrays["arms"].tolist(), arrays["seeds"].tolist(), strict=True)
    places, runs = {key: place for place, key in enumerate(finished)}, []
    for where, row in _lines(folder / "runs.csv"):
        try:
            name, seed, ending = row["arm"], int(row["seed"]), row["status"]
            if name not in arms:
                raise ValueError(f"arm {name!r:.60}")
            history = tuple(histories.get((name, seed), ()))
            result = _result(row, where) if ending in ("finished", "diverged") else None
            rate = float(row["images_per_second"]) if result and row["images_per_second"] else None
        except (KeyError, ValueError, TypeError) as error:
            raise StudyError(f"{where}: {error}: not a run of this study") from None
        place = places.pop((name, seed), None)
        if (place is None) != (ending != "finished"):
            raise StudyError(f"{where}: {name}, seed {seed} is {ending}, which {ANSWERS} does not say")
        runs.append(
            PublishedRun(
                StudyDirectory(folder).run(arms[name], seed - arms[name].seed_offset).folder,
                name,
                seed,
                ending,
                result,
                history,
                round(rate * result.train_seconds) if rate and result else None,
                **({} if place is None else _answers(arrays, place)),
            )
        )
    if places:
        name, seed = next(iter(places))
        raise StudyError(f"{folder / ANSWERS}: answers of {name}, seed {seed}, which is not in runs.csv")
    return tuple(runs)


def _result(row: Mapping[str, str], where: str) -> RunResult:
    known = {
        "status": row["status"],
        "seed": int(row["seed"]),
        "epochs": int(row["epochs"]),
        "steps": int(row["steps"]),
        "train_seconds": float(row["seconds"]),
        "cpu_seconds": float(row["cpu_seconds"]),
        "val_accuracy": float(row["val_accuracy"]) if row["val_accuracy"] else None,
    }
    return parse_value(known, RunResult, where, StudyError)


def _answers(arrays: dict[str, NDArray[Any]], place: int) -> dict[str, Any]:
    """Return the fields of a `PublishedRun` that finished well."""
    answers, known = arrays["answers"][place], {}
    scores = arrays["scores"][place] if "scores" in arrays else answers == arrays["labels"]
    if "secondary_metrics" in arrays:
        values = finite(arrays["secondary_metrics"][place].tolist())
        known = dict(zip(arrays["secondary_names"].tolist(), values, strict=True))
    return {"answers": answers, "scores": scores.astype(np.float64), "secondary_metrics": known}


def _read_histories(path: Path) -> dict[tuple[str, int], list[HistoryEntry]]:
    histories: dict[tuple[str, int], list[HistoryEntry]] = {}
    for where, row in _lines(path) if path.is_file() else ():
        try:
            key = row.pop("arm"), int(row.pop("seed"))
            values = {name: json.loads(value) for name, value in row.items() if value != ""}
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise StudyError(f"{where}: {error}") from None
        histories.setdefault(key, []).append(parse_value(values, HistoryEntry, where, StudyError))
    return histories


def _lines(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the lines of a table, each with what errors call it."""
    table = csv.DictReader(io.StringIO(read_bounded_text(path, StudyError)))
    try:
        for number, row in enumerate(table, 2):
            yield f"{path} line {number}", row
    except csv.Error as error:
        raise StudyError(f"{path} line {max(table.line_num, 1)}: {error}") from None
