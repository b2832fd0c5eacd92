"""The study directory is the database: every file of a study, where it lies, and who may write it."""

import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convtrials.core.errors import StudyError
from convtrials.core.files import read_json, remove_leftovers, write_json, write_text
from convtrials.study.arms import Arm
from convtrials.study.plan import Plan, read_plan
from convtrials.training.run_directory import Run


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
        """The plan as it stands."""
        if not self.exists:
            raise StudyError(f"{self.folder}: no plan.json here: not a study directory")
        return read_plan(self.plan_path)

    @property
    def dataset(self) -> dict[str, Any]:
        """What `reopen_dataset` takes."""
        return self._json("dataset.json")

    @property
    def execution(self) -> dict[str, Any]:
        """How every run is computed, and how many at a time."""
        return self._json("execution.json")

    def run(self, arm: Arm, position: int) -> Run:
        """Return the run of an arm with the study's seed number ``position``, from 0."""
        return Run(self.folder / "runs" / arm.slug / f"seed{arm.seed_offset + position}")

    def live_path(self, run: Run) -> Path:
        """Where a worker tells how far a run is."""
        return self.folder / "live" / f"{run.folder.parent.name}-{run.folder.name}.json"

    def failure_path(self, run: Run) -> Path:
        """Where it is told why a run has failed."""
        return self.folder / "failures" / f"{run.folder.parent.name}-{run.folder.name}.json"

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Hold the directory while plan and execution are written; another process waits its turn."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = open(self.folder / ".lock", "w")  # noqa: SIM115
        except OSError as error:
            raise StudyError(f"{self.folder}: cannot be written: {error.strerror}") from None
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            remove_leftovers(self.folder)
            yield

    def check_ours(self) -> None:
        """Refuse a folder that holds something else."""
        begun = {"study.yaml", "dataset.json", "environment.json", "execution.json", "plan-log.jsonl"}
        names = sorted(entry.name for entry in self.folder.iterdir() if not entry.name.startswith("."))
        foreign = [name for name in names if name not in begun]
        if not self.exists and foreign:
            raise StudyError(
                f"{self.folder}: not empty and no study directory ({foreign[0]} is there); choose another --out"
            )

    def write_plan(self, plan: Plan, changes: list[str]) -> None:
        """Write the plan; ``plan-log.jsonl`` keeps every version, and how many runs had ended by then."""
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": plan.fingerprint,
            "finished_runs": self.ended_runs(),
            "changes": changes,
        }
        log = self.folder / "plan-log.jsonl"
        before = log.read_text(encoding="utf-8") if log.is_file() else ""
        write_text(log, before + json.dumps(entry, ensure_ascii=False) + "\n")
        write_json(self.plan_path, {"fingerprint": plan.fingerprint, **plan.to_dict()})

    def ended_runs(self) -> int:
        """Count the runs of any plan that have a result."""
        return sum(1 for _ in self.folder.glob("runs/*/*/result.json"))

    def failures(self, run: Run) -> "Failures":
        """Return what went wrong with a run; nothing, where nothing did."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = read_json(self.failure_path(run))
            return Failures(tuple(str(error) for error in found["errors"]), bool(found["given_up"]))
        return Failures()

    def write_failures(self, run: Run, failures: "Failures") -> None:
        """Keep what went wrong with a run."""
        write_json(self.failure_path(run), vars(failures))

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
        """Add up the sessions' time."""
        total = 0.0
        for path in sorted(self.folder.glob("sessions/*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                total += max(0.0, float(read_json(path)["seconds"]))
        return total

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            value = read_json(path)
        except OSError as error:
            raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError:
            raise StudyError(f"{path}: not valid JSON") from None
        if not isinstance(value, dict):
            raise StudyError(f"{path}: expected a JSON object")
        return value


@dataclass(frozen=True)
class Failures:
    """What went wrong with a run, the oldest first, and whether it is not tried again."""

    errors: tuple[str, ...] = ()
    given_up: bool = False

    def with_error(self, error: str, *, given_up: bool) -> "Failures":
        """Add an error; of many, the latest are kept."""
        return Failures((*self.errors, error[-4000:])[-10:], given_up)


class Session:
    """One process at work on a study: how long, kept on disk every few seconds."""

    INTERVAL = 10.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started = time.monotonic()
        self._last = -self.INTERVAL

    def beat(self, *, always: bool = False) -> None:
        """Write how long it has been, if some seconds have gone by."""
        now = time.monotonic()
        if always or now - self._last >= self.INTERVAL:
            self._last = now
            write_json(self._path, {"seconds": now - self._started})
