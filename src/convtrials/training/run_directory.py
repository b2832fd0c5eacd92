"""A run on disk: the one class that writes and reads its directory.

``run.json`` says what the run is. ``result.json`` names that run and holds a digest of every file that it rests on; the
file of predictions and the checkpoint name their run too. Another run's file, or one that was changed since, is
refused.
Runs of the first version say none of this and are read all the same.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from convtrials.core.documents import parse_document, read_document
from convtrials.core.errors import DataError, RunError, RunLocked
from convtrials.core.files import read_bounded_text, remove_file, remove_leftovers, write_json, write_text
from convtrials.core.locks import FileLock, LockHeld, why_not_locked
from convtrials.core.names import unreserved
from convtrials.data.dataset import Dataset
from convtrials.evaluation.predictions import Predictions, read_predictions, write_predictions
from convtrials.training.engine.execution import Execution
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_documents import (
    DatasetDescription,
    Environment,
    HistoryEntry,
    Identity,
    LoggedRun,
    RunOrigin,
    RunResult,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from convtrials.evaluation.run_warnings import RunWarning

T = TypeVar("T")

#: What to do where a file is not the run's.
_ADVICE = "put the run's own file back, or remove the folder and train the run again"


@dataclass(frozen=True)
class Run:
    """A run on disk: one recipe, one seed, one dataset.

    Present ``result.json`` means ended; nothing else is needed to resume, report or move a run. Every file is read when
    it is asked for, and checked: a file that is damaged or not the run's own is a `RunError` of one or two lines.

    Examples
    --------
    >>> Run("runs/base-1").result.status
    'finished'
    """

    folder: Path

    def __init__(self, folder: str | Path) -> None:
        object.__setattr__(self, "folder", Path(folder))

    # Where things are.

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

    # How it stands.

    @property
    def exists(self) -> bool:
        """True once a run has begun here."""
        return (self.folder / "run.json").is_file()

    @property
    def finished(self) -> bool:
        """True once the run has ended, well or as diverged."""
        return self._result_path.is_file()

    @property
    def status(self) -> str:
        """``finished`` or ``diverged``, ``running`` while a process trains it, else ``unfinished``."""
        if self.finished:
            return self.result.status
        return "running" if self.locked else "unfinished"

    # What it says.

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return Recipe.load(self._own(self.folder / "recipe.yaml"))

    @property
    def identity(self) -> Identity:
        """Seed and the fingerprints of recipe and dataset: what makes this run this run."""
        return self._origin.identity

    @property
    def execution(self) -> Execution:
        """How it is computed."""
        return self._document("execution.json", Execution)

    @property
    def dataset(self) -> DatasetDescription:
        """Name, source, fingerprint, counts and class names of the data."""
        return read_document(self._own(self.folder / "dataset.json"), DatasetDescription, RunError)

    @property
    def environment(self) -> Environment:
        """What it ran on."""
        return self._document("environment.json", Environment)

    @property
    def result(self) -> RunResult:
        """How it ended."""
        if not self.finished:
            what = "not finished: run the same `convtrials train` command again to go on"
            raise RunError(f"{self.folder}: {what if self.exists else _why_no_run(self.folder)}")
        result = read_document(self._result_path, RunResult, RunError)
        self.check_named(self._result_path, result.run)
        return result

    def read_history(self) -> tuple[HistoryEntry, ...]:
        """Return one entry per epoch; none before the first epoch has ended.

        Raises
        ------
        RunError
            The file is damaged or not the run's own, steps do not rise, or a finished run has none.
        """
        path = self.history_path
        if not path.is_file() and not self.finished:
            return ()
        lines = [line for line in read_bounded_text(self._own(path), RunError).splitlines() if line.strip()]
        entries, step = [], 0
        for number, line in enumerate(lines, 1):
            where = f"{path} line {number}"
            entry = parse_document(line, HistoryEntry, where, RunError)
            if entry.step <= step:
                raise RunError(f"{where}: step {entry.step} after step {step}; steps must increase")
            entries.append(entry)
            step = entry.step
        if not entries and self.finished and not self.result.diverged:
            raise RunError(f"{path}: no epoch in it, though the run is finished")
        return tuple(entries)

    @property
    def images_seen(self) -> int | None:
        """Training images of a run that has ended, each pass over one counted; None where no epoch was validated."""
        history = self.read_history()
        if not history:
            return None
        # The only entry of a recipe of half an epoch stands for half of the images.
        share = min(self.recipe.epochs, 1.0) if len(history) == 1 else 1.0
        return round(round(share * self.dataset.counts.train) * self.result.steps / history[0].step)

    def open_dataset(self, source: str | Path | None = None) -> Dataset:
        """Open the data that the run was trained on.

        Parameters
        ----------
        source : str or path, optional
            Where the data is now, if it has moved.

        Raises
        ------
        DataError
            It cannot be found, or has changed since.
        """
        from convtrials.data.open import reopen_dataset
        from convtrials.data.options import OptionError

        try:
            return reopen_dataset(self.dataset.to_dict(), source=source)
        except (OptionError, TypeError) as problem:
            raise DataError(
                f"{self.folder}: options in dataset.json are not those of a dataset ({problem})"
            ) from problem

    def read_predictions(self) -> Predictions:
        """Return the predictions of the test split.

        Raises
        ------
        RunError
            The run has none, or the file is damaged, changed since, or another run's.
        """
        result = self.result
        if result.diverged:
            at = result.steps if result.diverged_at is None else result.diverged_at
            raise RunError(f"{self.folder}: the run diverged at step {at} and has no predictions to evaluate")
        path = self.predictions_path
        found = read_predictions(path)
        self.check_named(path, found.run, result.run)
        self._check_digests(result, [path])
        recorded, counted = result.test_accuracy, float((found.predicted == found.labels).mean())
        # All that runs of the first version say of their predictions.
        if recorded is not None and abs(recorded - counted) > 1e-9:
            raise RunError(
                f"{path}: {counted:.4%} right, but result.json says {recorded:.4%}: changed, or another run's"
            )
        return found

    def class_names_of(self, predictions: Predictions) -> tuple[str, ...]:
        """Return the class names of the run, K as in its predictions."""
        names, classes = self.dataset.class_names, predictions.probabilities.shape[1]
        if classes != len(names):
            raise RunError(f"{self.folder}: predictions have {classes} classes, dataset.json {len(names)}")
        return names

    @property
    def history(self) -> "pd.DataFrame":
        """One row per epoch and one column for each field of `HistoryEntry`.

        Empty before the first epoch has ended; a value that was not recorded is NaN.
        """
        from convtrials.training.run_views import history_frame

        return history_frame(self)

    @property
    def predictions(self) -> "pd.DataFrame":
        """One row per test image, in the order of the test split.

        Columns: ``image``, its position in ``Dataset.images``; ``label`` and ``predicted``, names of classes;
        ``correct``; and for each class ``p(NAME)``, its probability from 0 to 1.
        """
        from convtrials.training.run_views import predictions_frame

        return predictions_frame(self)

    def _repr_html_(self) -> str:
        from convtrials.training.run_views import html_table

        return html_table(self)

    def warnings(
        self, macro_auc: float | None = None, predictions: Predictions | None = None
    ) -> "list[RunWarning]":
        """Return what a reader must know before believing the run's numbers, the most serious first.

        Parameters
        ----------
        macro_auc : float, optional
            Of the test predictions, where it is known.
        predictions : Predictions, optional
            The run's own, where they have been read already.
        """
        from convtrials.evaluation.run_warnings import run_warnings

        found = self.read_predictions() if predictions is None else predictions
        return run_warnings(
            found.labels,
            found.predicted,
            self.class_names_of(found),
            self.read_history(),
            macro_auc=macro_auc,
            val_images=self.dataset.counts.val,
        )

    # Where else it is known.

    @property
    def services(self) -> tuple[str, ...]:
        """Services such as ``mlflow`` that the run was sent to."""
        found = (path.stem.removeprefix("logged-") for path in self.folder.glob("logged-*.json"))
        return tuple(sorted(found))

    def logged_to(self, service: str) -> LoggedRun | None:
        """Return under what name a service such as ``mlflow`` knows the run; None where it does not."""
        path = self._logged_path(service)
        return read_document(path, LoggedRun, RunError) if path.is_file() else None

    def write_logged_to(self, service: str, logged: LoggedRun) -> None:
        """Keep under what name a service knows the run, and what was sent there."""
        logged.write(self._logged_path(service))

    def _logged_path(self, service: str) -> Path:
        return self.folder / f"logged-{service}.json"

    # What it is written by.

    def begin(
        self,
        recipe: Recipe,
        *,
        identity: Identity,
        execution: Execution,
        environment: Environment,
        dataset: DatasetDescription,
    ) -> None:
        """Write what is known before step 0; ``run.json`` last, so that it vouches for the others."""
        write_text(self.folder / "recipe.yaml", recipe.to_yaml())
        write_json(self.folder / "execution.json", execution.to_dict())
        environment.write(self.folder / "environment.json")
        dataset.write(self.folder / "dataset.json")
        RunOrigin(identity=identity, folder=os.getcwd()).write(self.folder / "run.json")

    def write_history(self, history: Iterable[HistoryEntry]) -> None:
        """Replace the history by ``history``, one JSON object a line."""
        lines = (json.dumps(entry.to_dict(), allow_nan=False) + "\n" for entry in history)
        write_text(self.history_path, "".join(lines))

    def write_predictions(
        self, probabilities: "NDArray[np.float32]", labels: "NDArray[np.int64]", indices: "NDArray[np.int64]"
    ) -> None:
        """Write the predictions of the test split, arrays as in `Predictions`."""
        write_predictions(self.predictions_path, probabilities, labels, indices, run=self.identity.digest)

    def end(self, result: RunResult) -> None:
        """Write the result, which vouches for the files that are there, and remove the checkpoint."""
        described = (self.history_path, self.folder / "recipe.yaml", self.folder / "dataset.json")
        made = () if result.diverged else (self.weights_path, self.predictions_path)
        files = {path.name: _digest(path) for path in (*described, *made) if path.is_file()}
        result.model_copy(update={"run": self.identity.digest, "files": files}).write(self._result_path)
        remove_file(self.checkpoint_path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory; another process gets an error. The lock ends with its process, however that ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = self._lock.acquire(wait=0)
        except LockHeld:
            raise RunLocked(f"{self.folder}: another process is training this run") from None
        except OSError as error:
            raise RunError(f"{self.folder}: {why_not_locked(error)}") from None
        with lock:
            remove_leftovers(self.folder)
            yield

    @property
    def locked(self) -> bool:
        """True while some process is training this run; the lock of a dead one is gone."""
        return self._lock.held()

    @property
    def _lock(self) -> FileLock:
        return FileLock(self.folder / ".lock", "exclusive")

    # What belongs to it.

    def check_named(self, path: Path, named: str | None, own: str | None = None) -> None:
        """Refuse a file that names another run than ``run.json`` does; one that names none is of the first version.

        Parameters
        ----------
        named : str or None
            `Identity.digest`, as the file has it.
        own : str, optional
            The run's own digest, where ``run.json`` has been read for it already.
        """
        if named is not None and named != (own or self.identity.digest):
            raise RunError(f"{path}: belongs to another run than run.json in the same folder\n{_ADVICE}")

    def check_files(self, *paths: Path) -> None:
        """Refuse files that are not those that the run wrote by its end; a missing one is for its reader to name."""
        if self.finished:
            self._check_digests(self.result, paths)

    def use_recorded_folder(self) -> None:
        """Find the user's own modules where they were when the run began, wherever it is resumed from."""
        folder = self._origin.folder
        if folder is not None and folder not in sys.path:
            sys.path.append(folder)

    @property
    def _result_path(self) -> Path:
        return self.folder / "result.json"

    @property
    def _origin(self) -> RunOrigin:
        return self._document("run.json", RunOrigin)

    def _document(self, name: str, shape: type[T]) -> T:
        return read_document(self._need(self.folder / name), shape, RunError)

    def _own(self, path: Path) -> Path:
        self.check_files(self._need(path))
        return path

    def _need(self, path: Path) -> Path:
        if not path.is_file():
            if self.exists or self.finished:
                raise RunError(f"{path}: no such file; the run directory is incomplete")
            raise RunError(f"{self.folder}: {_why_no_run(self.folder)}")
        return path

    def _check_digests(self, result: RunResult, paths: Iterable[Path]) -> None:
        for path in paths:
            known = (result.files or {}).get(path.name)
            if known is not None and path.is_file() and _digest(path) != known:
                raise RunError(
                    f"{path}: is not the file that this run wrote: it was changed, or is another run's\n{_ADVICE}"
                )


def load_run(folder: str | Path) -> Run:
    """Open a run directory.

    Parameters
    ----------
    folder : path
        Of a run that was begun: finished, diverged or not ended yet.

    Raises
    ------
    RunError
        There is no run.

    Examples
    --------
    >>> load_run("runs/base-1").recipe.epochs
    1.0
    """
    run = Run(folder)
    if not run.exists:
        raise RunError(f"{run.folder}: {_why_no_run(run.folder)}")
    return run


def weights_file(place: str | Path) -> Path:
    """Return the file that initial weights are in: the file itself, or the weights of the run in a folder."""
    path = Path(place).expanduser()
    return Run(path).weights_path if path.is_dir() else path


def existing_weights_file(place: str | Path) -> Path:
    """Return the file that initial weights are in, as `weights_file`.

    Raises
    ------
    RunError
        The folder holds no finished run with its weights. (A missing file is for its reader to name.)
    """
    path = weights_file(place)
    if path != Path(place).expanduser() and not path.is_file():
        run = Run(path.parent)
        status = f"the run is {run.status}" if run.exists else _why_no_run(run.folder)
        raise RunError(
            f"initial_weights: {place}: no {path.name} in this folder ({status}); "
            "needed: a finished run with its weights (a study keeps those of each arm's first seed)"
        )
    return path


def default_run_folder(recipe: Recipe, dataset: Dataset, seed: int) -> Path:
    """Name a run after what it is, so that the same command finds the same directory.

    ``runs/MODEL-DATASET-DIGEST-seedN``, the digest over recipe and data; ``CONVTRIALS_RUNS`` names another parent.
    """
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{recipe.model}-{dataset.name}").strip("-.")
    both = hashlib.blake2b(
        f"{recipe.fingerprint()} {dataset.fingerprint}".encode(), digest_size=4
    ).hexdigest()
    return Path(os.environ.get("CONVTRIALS_RUNS", "runs")) / unreserved(f"{name}-{both}-seed{seed}")


def _why_no_run(folder: Path) -> str:
    return "no run.json here: not a run directory" if folder.is_dir() else "no such run directory"


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
