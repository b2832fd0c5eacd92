"""The study directory is the database: every file of a study, where it lies, and who may write it."""

import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.documents import parse_object, read_document
from convtrials.core.errors import StudyError
from convtrials.core.files import finite, read_bounded_text, remove_leftovers, write_json
from convtrials.core.locks import FileLock, Kind, LockHeld, why_not_locked
from convtrials.core.log import quiet
from convtrials.data.dataset import Dataset
from convtrials.data.open import reopen_dataset
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan, parse_plan, read_plan
from convtrials.study.plan.plan_log import (
    LOG_NAME,
    PlanLog,
    fingerprint_of,
    read_plan_document,
    read_plan_log,
)
from convtrials.study.schemas import (
    Costs,
    Failures,
    LiveRun,
    Piece,
    PlanVersion,
    SessionTime,
    StudyDataset,
    StudyExecution,
    StudyLoggers,
    Verdicts,
)
from convtrials.training.run_directory import Run

#: What is written before the plan, and may be all that a killed process has left.
WRITTEN_FIRST = (
    "study.yaml",
    "dataset.json",
    "environment.json",
    "execution.json",
    "test-units.npy",
    LOG_NAME,
)

#: Seconds that a change of the plan waits for those who only ask whether the study is being run.
ASKING_SECONDS = 0.5


@dataclass(frozen=True)
class StudyDirectory:
    """A study on disk.

    Nothing else is needed to go on, to report, or to move a study to another machine.
    """

    folder: Path

    def __init__(self, folder: str | Path) -> None:
        object.__setattr__(self, "folder", Path(folder))

    @property
    def plan_path(self) -> Path:
        """What was fixed before the first run."""
        return self.folder / "plan.json"

    @property
    def exists(self) -> bool:
        """True once a plan has been written here."""
        return self.plan_path.is_file()

    @property
    def plan(self) -> Plan:
        """The plan that stands, which must be the one on record (`convtrials.study.plan.plan.read_plan`)."""
        self._need_plan()
        return read_plan(self.plan_path)

    @property
    def requested_plan(self) -> Plan:
        """What plan.json says, also where it was changed by hand: asked for, until `prepare` puts it on record.

        Where a change was interrupted, that change is what is asked for.
        """
        self._need_plan()
        document, log = read_plan_document(self.plan_path), self.plan_log
        requested = log.plan if log.interrupts(document) else None
        return parse_plan(requested or document, str(self.plan_path))

    @property
    def change_interrupted(self) -> bool:
        """Whether a process was killed between the log and plan.json."""
        return self.exists and self.plan_log.interrupts(read_plan_document(self.plan_path))

    @property
    def plan_log(self) -> PlanLog:
        """Every version of the plan."""
        return read_plan_log(self.folder / LOG_NAME)

    @property
    def merged(self) -> tuple[Piece, ...]:
        """The studies that were merged into this one; none where it was trained in one piece."""
        return self.plan_log.merged

    def recorded_plan(self) -> tuple[Plan | None, list[str]]:
        """Return the plan that was last on record, whatever plan.json says by now, and what the log lacks.

        Returns
        -------
        plan : Plan or None
            None where there is none yet, or none that could still be read.
        lacks : list of str
            What the log's next line must say, so that no change goes unrecorded.
        """
        log = self.plan_log
        if log.plan is not None:
            return parse_plan(log.plan, f"{log.path}: last line"), []
        if not self.exists:
            return None, []
        if log.fingerprint is None:
            return self.requested_plan, [
                f"there was no {LOG_NAME}: whether the plan was different before is not known"
            ]
        # A log of an earlier version of convtrials: it has the plan's fingerprint alone.
        if fingerprint_of(read_plan_document(self.plan_path)) == log.fingerprint:
            return self.requested_plan, []
        return None, [
            f"plan.json was changed by hand; what the plan before it ({log.fingerprint}) said is not known"
        ]

    def _need_plan(self) -> None:
        if (self.folder / "answers.npz").is_file():
            raise StudyError(
                f"{self.folder}: is a published copy, without run directories: `convtrials study report` judges it "
                "again, `convtrials study merge` joins it with others"
            )
        if not self.exists:
            raise StudyError(f"{self.folder}: no plan.json here: not a study directory")

    @property
    def dataset_path(self) -> Path:
        """What data the study is on."""
        return self.folder / "dataset.json"

    @property
    def dataset(self) -> StudyDataset:
        """What data the study is on."""
        return read_document(self.dataset_path, StudyDataset, StudyError)

    def write_dataset(self, dataset: StudyDataset) -> None:
        """Say where the data is."""
        dataset.write(self.dataset_path)

    def open_dataset(self, *, source: str | None = None) -> Dataset:
        """Open that data; `source` says where it is now, if it has moved."""
        with quiet():
            return reopen_dataset(self.dataset.to_dict(), source=source)

    @property
    def execution_path(self) -> Path:
        """How every run is computed, and how many at a time."""
        return self.folder / "execution.json"

    @property
    def execution(self) -> StudyExecution:
        """How every run is computed, and how many at a time."""
        return read_document(self.execution_path, StudyExecution, StudyError)

    def write_execution(self, execution: StudyExecution) -> None:
        """Fix how every run is computed."""
        execution.write(self.execution_path)

    @property
    def log_to(self) -> tuple[str, ...]:
        """The services, such as ``mlflow``, that every run is sent to."""
        path = self.folder / "loggers.json"
        return read_document(path, StudyLoggers, StudyError).log_to if path.is_file() else ()

    def write_log_to(self, services: tuple[str, ...]) -> None:
        """Send runs that begin or go on from now to these services."""
        if services != self.log_to:
            StudyLoggers(log_to=services).write(self.folder / "loggers.json")

    @property
    def verdicts_path(self) -> Path:
        """What the ended runs say, finished study or not."""
        return self.folder / "verdicts.json"

    @property
    def verdicts(self) -> Verdicts:
        """What was concluded last."""
        if not self.verdicts_path.is_file():
            raise StudyError(
                f"{self.folder}: no verdicts.json in it; run the study first (convtrials study run)"
            )
        return read_document(self.verdicts_path, Verdicts, StudyError)

    @property
    def costs(self) -> Costs:
        """What the runs cost; all None where it was not recorded."""
        path = self.folder / "costs.json"
        return read_document(path, Costs, StudyError) if path.is_file() else Costs()

    def write_results(self, verdicts: Verdicts, costs: Costs) -> None:
        """Write verdicts.json and costs.json."""
        costs.write(self.folder / "costs.json")
        verdicts.write(self.verdicts_path)

    def shown(self, name: str) -> dict[str, Any]:
        """Return all that a JSON file holds, for a page; nothing where it is absent."""
        path = self.folder / name
        return printable(path) if path.is_file() else {}

    def use_recorded_folder(self) -> None:
        """Find the user's own modules where they were when the study began, wherever it goes on from."""
        folder = self.execution.folder
        if folder is not None and folder not in sys.path:
            sys.path.append(folder)

    def run(self, arm: Arm, position: int) -> Run:
        """Return the run of an arm with the study's seed number ``position``, from 0."""
        return Run(self.folder / "runs" / arm.slug / f"seed{arm.seed_offset + position}")

    def seeds_on_disk(self, arm: Arm) -> list[int]:
        """Return the seeds of which an arm has a run directory, also beyond the plan."""
        found = []
        for place in (self.folder / "runs" / arm.slug).glob("seed*"):
            digits = place.name.removeprefix("seed")
            if digits.isascii() and digits.isdigit() and len(digits) < 16 and place.is_dir():
                found.append(int(digits))
        return sorted(found)

    def live_path(self, run: Run) -> Path:
        """Where a worker records how far a run is."""
        return self.folder / "live" / f"{run.folder.parent.name}-{run.folder.name}.json"

    def failure_path(self, run: Run) -> Path:
        """Where it is recorded why a run has failed."""
        return self.folder / "failures" / f"{run.folder.parent.name}-{run.folder.name}.json"

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Hold the directory while plan and execution are written; another process waits its turn.

        Raises
        ------
        StudyError
            The folder holds something else, or cannot be written.
        """
        begun = (self.folder / ".lock").exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_ours(begun)
            lock = FileLock(self.folder / ".lock").acquire()
        except OSError as error:
            raise StudyError(f"{self.folder}: {why_not_locked(error)}") from None
        with lock:
            remove_leftovers(self.folder)
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """Say that runs are being trained under the plan as it is; several processes may say so at once."""
        try:
            lock = self._running("shared").acquire()
        except OSError as error:
            raise StudyError(f"{self.folder}: {why_not_locked(error)}") from None
        with lock:
            yield

    @property
    def being_run(self) -> bool:
        """True while some process trains runs of this study."""
        return self._running("shared").held()

    @contextmanager
    def changing_plan(self) -> Iterator[None]:
        """Hold the plan while it is changed: none trains under the old one, and a new process waits for the new one.

        Raises
        ------
        StudyError
            A process is training under the plan as it is.
        """
        try:
            lock = self._running("exclusive").acquire(wait=ASKING_SECONDS)
        except LockHeld:
            raise StudyError(
                f"{self.folder}: another process is running this study with another plan; "
                "stop it first, or choose another --out"
            ) from None
        except OSError as error:
            raise StudyError(f"{self.folder}: {why_not_locked(error)}") from None
        with lock:
            yield

    def _running(self, kind: Kind) -> FileLock:
        """Held shared by those who train under the plan as it is, exclusively by one who changes it."""
        return FileLock(self.folder / ".running", kind)

    def _check_ours(self, begun: bool) -> None:
        """Refuse a folder that holds something else; one where a study was killed while beginning is ours."""
        foreign = sorted(entry.name for entry in self.folder.iterdir() if not entry.name.startswith("."))
        if begun:
            foreign = [name for name in foreign if name not in WRITTEN_FIRST]
        if not self.exists and foreign:
            raise StudyError(
                f"{self.folder}: not empty and not a study directory ({foreign[0]} is there); choose another --out"
            )

    def write_plan(self, plan: Plan, changes: list[str], merged: tuple[Piece, ...] = ()) -> None:
        """Write the plan; ``plan-log.jsonl`` keeps every version, how many runs had ended by then, and merges."""
        content = plan.to_dict()
        document, log = {"fingerprint": fingerprint_of(content), **content}, self.plan_log
        if changes or log.fingerprint != document["fingerprint"]:  # else a title, say: nothing that decides
            log.add(
                PlanVersion(
                    time=datetime.now(UTC).isoformat(timespec="seconds"),
                    fingerprint=document["fingerprint"],
                    finished_runs=len(self.ended_runs()),
                    changes=tuple(changes),
                    merged=merged,
                    plan=finite(document),
                )
            )
        write_json(self.plan_path, document)

    def ended_runs(self) -> list[Run]:
        """Return the runs of any plan that have a result."""
        return [Run(path.parent) for path in sorted(self.folder.glob("runs/*/*/result.json"))]

    def failures(self, run: Run) -> Failures:
        """Return what went wrong with a run; nothing, where nothing did."""
        with suppress(StudyError):
            return read_document(self.failure_path(run), Failures, StudyError)
        return Failures()

    def write_failures(self, run: Run, failures: Failures) -> None:
        """Keep what went wrong with a run."""
        failures.write(self.failure_path(run))

    def live(self, run: Run) -> LiveRun | None:
        """Return how far a run is, as its worker last said; None where it has said nothing."""
        with suppress(StudyError):
            return read_document(self.live_path(run), LiveRun, StudyError)
        return None

    @contextmanager
    def session(self) -> Iterator["Session"]:
        """Count the time that a process works on this study, also where it is killed."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())
        session = Session(self.folder / "sessions" / f"{stamp}-{host}-{os.getpid()}.json")
        session.beat()
        try:
            yield session
        finally:
            session.beat(always=True)

    def wall_seconds(self) -> float:
        """Return how long at least one process was at work, in all."""
        spans = []
        for path in self.folder.glob("sessions/*.json"):
            with suppress(StudyError):
                session = read_document(path, SessionTime, StudyError)
                spans.append((session.started, session.started + session.seconds))
        total, until = 0.0, float("-inf")
        for start, end in sorted(spans):
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total

    @property
    def units_path(self) -> Path:
        """The sampled group of each test image, where the dataset knows groups."""
        return self.folder / "test-units.npy"

    def units(self) -> NDArray[np.int64] | None:
        """Return the sampled group of each test image, shape (N,); None where images themselves are the sample."""
        if not self.dataset.grouped:
            return None
        try:
            units = np.load(self.units_path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StudyError(f"{self.units_path}: not readable ({error})") from None
        if units.ndim != 1 or units.dtype.kind not in "iu":
            raise StudyError(f"{self.units_path}: whole numbers, one per test image, are needed")
        whole: NDArray[np.int64] = units.astype(np.int64)
        return whole


class Session:
    """One process at work on a study: how long, kept on disk every few seconds."""

    INTERVAL = 10.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began, self._started = time.time(), time.monotonic()
        self._last = -self.INTERVAL

    def beat(self, *, always: bool = False) -> None:
        """Write how long it has been, if some seconds have gone by."""
        now = time.monotonic()
        if always or now - self._last >= self.INTERVAL:
            self._last = now
            SessionTime(started=self._began, seconds=now - self._started).write(self._path)


def printable(path: Path) -> dict[str, Any]:
    """Read a JSON object that a page can hold: names that are no UTF-8 come with signs of replacement."""
    value = parse_object(read_bounded_text(path, StudyError), str(path), StudyError)
    shown: dict[str, Any] = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return shown
