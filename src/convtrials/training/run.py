"""The run directory is the database: every file of a run, where it lies, and who may write it."""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.errors import RunError, RunTaken
from convtrials.core.files import finite, read_json, remove_leftovers, write_json, write_text
from convtrials.data.dataset import Dataset
from convtrials.training.recipe.recipe import Recipe


@dataclass(frozen=True)
class Run:
    """A run on disk: one recipe, one seed, one dataset.

    Present ``result.json`` means finished; nothing else is needed to resume, report or move a run.

    Examples
    --------
    >>> Run("runs/base-1").result["status"]
    'finished'
    """

    folder: Path

    def __init__(self, folder: str | Path) -> None:
        object.__setattr__(self, "folder", Path(folder))

    @property
    def checkpoint_path(self) -> Path:
        """Where an unfinished run goes on from."""
        return self.folder / "checkpoint.safetensors"

    @property
    def weights_path(self) -> Path:
        """The weights that count: last, best or averaged, as the recipe says."""
        return self.folder / "weights.safetensors"

    @property
    def predictions_path(self) -> Path:
        """Probabilities of every test image."""
        return self.folder / "predictions-test.npz"

    @property
    def history_path(self) -> Path:
        """One line per epoch."""
        return self.folder / "history.jsonl"

    @property
    def described_by(self) -> tuple[Path, Path]:
        """What says how it was trained and on what."""
        return self.folder / "recipe.yaml", self.folder / "dataset.json"

    @property
    def exists(self) -> bool:
        """True once a run has begun here."""
        return (self.folder / "run.json").is_file()

    @property
    def finished(self) -> bool:
        """True once the run has ended, well or as diverged."""
        return (self.folder / "result.json").is_file()

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return Recipe.load(self._need("recipe.yaml"))

    @property
    def identity(self) -> dict[str, Any]:
        """Seed and the fingerprints of recipe and dataset: what makes this run this run."""
        identity = self.record.get("identity")
        if not isinstance(identity, dict) or not isinstance(identity.get("seed"), int):
            raise RunError(f"{self.folder / 'run.json'}: says nothing of seed, recipe and dataset")
        return identity

    @property
    def record(self) -> dict[str, Any]:
        """All of ``run.json``."""
        return self._json("run.json")

    @property
    def execution(self) -> dict[str, Any]:
        """How it is computed."""
        return self._json("execution.json")

    @property
    def dataset(self) -> dict[str, Any]:
        """Name, source, fingerprint, counts and class names of the data."""
        return self._json("dataset.json")

    @property
    def environment(self) -> dict[str, Any]:
        """What it ran on."""
        return self._json("environment.json")

    @property
    def result(self) -> dict[str, Any]:
        """How it ended."""
        if not self.finished:
            raise RunError(
                f"{self.folder}: not finished: run the same `convtrials train` command again to go on"
            )
        return self._json("result.json")

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry per epoch."""
        path = self.history_path
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def begin(self, recipe: Recipe, **documents: dict[str, Any]) -> None:
        """Write what is known before step 0; ``run.json`` last, so that it vouches for the others."""
        write_text(self.folder / "recipe.yaml", recipe.to_yaml())
        for name in ("execution", "environment", "dataset"):
            write_json(self.folder / f"{name}.json", documents[name])
        write_json(self.folder / "run.json", documents["record"])

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Replace the history by ``history``, one JSON object a line."""
        lines = (json.dumps(finite(entry), allow_nan=False) + "\n" for entry in history)
        write_text(self.history_path, "".join(lines))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory; another process gets an error. The lock ends with its process, however that ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = open(self.folder / ".lock", "w")  # noqa: SIM115
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written: {error.strerror}") from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunTaken(f"{self.folder}: another process is training this run") from None
            except OSError as error:
                raise RunError(f"{self.folder}: cannot be locked: {error.strerror}") from None
            remove_leftovers(self.folder)
            yield

    @property
    def taken(self) -> bool:
        """True while some process is training this run; the lock of a dead one is gone."""
        try:
            with open(self.folder / ".lock") as handle:
                # Shared, so that two who ask do not see each other.
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _need(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise RunError(f"{self.folder}: no {name} here: not a run directory")
        return path

    def _json(self, name: str) -> dict[str, Any]:
        try:
            value = read_json(self._need(name))
        except (ValueError, RecursionError):
            raise RunError(f"{self.folder / name}: not valid JSON") from None
        if not isinstance(value, dict):
            raise RunError(f"{self.folder / name}: expected a JSON object")
        return value


def default_run_folder(recipe: Recipe, dataset: Dataset, seed: int) -> Path:
    """Name a run after what it is, so that the same command finds the same directory.

    ``runs/MODEL-DATASET-DIGEST-seedN``, the digest over recipe and data; ``CONVTRIALS_RUNS`` names another parent.
    """
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{recipe.model}-{dataset.name}").strip("-.")
    both = hashlib.blake2b(
        f"{recipe.fingerprint()} {dataset.fingerprint}".encode(), digest_size=4
    ).hexdigest()
    return Path(os.environ.get("CONVTRIALS_RUNS", "runs")) / f"{name}-{both}-seed{seed}"
