"""A run in MLflow: by its client alone, so that MLflow runs of the calling program are left as they are."""

import hashlib
import os
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from convtrials._version import __version__
from convtrials.core.locks import FileLock
from convtrials.training.loggers.curves import curve_values, final_values, parameters
from convtrials.training.loggers.log_to import LogTo
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry, LoggedRun, RunResult

#: Where neither MLFLOW_EXPERIMENT_NAME nor MLFLOW_EXPERIMENT_ID names another experiment.
EXPERIMENT = "convtrials"

#: MLflow takes so many parameters in one call, and values of so many characters.
_AT_ONCE, _LONGEST = 100, 500


class MlflowService:
    """A run in the MLflow that MLFLOW_TRACKING_URI names, by default a file in the current folder."""

    name = "mlflow"

    def __init__(self, run: Run, log_to: LogTo) -> None:
        self._run, self._log_to = run, log_to
        self._client: Any = None
        self._id = ""

    def begin(self) -> int:
        """Begin the run, or go on with the one that the run's folder names, if this MLflow knows it."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing goes where nobody asked for it
        from mlflow import MlflowClient, get_tracking_uri

        with _one_at_a_time(get_tracking_uri()):
            self._client = MlflowClient()
            return self._begin()

    def _begin(self) -> int:
        known = self._run.logged_to(self.name)
        found = self._find(known.id) if known else None
        if found is not None:
            self._id = found.info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            self._create()
        self._send_parameters({} if found is None else found.data.params)
        return self._last_epoch()

    def add(self, entry: HistoryEntry) -> None:
        """Send the curves' values, with the epoch as step."""
        self._send_metrics(curve_values(entry), entry.epoch)

    def end(self, result: RunResult | None) -> None:
        """Send the final values; the status is FINISHED, FAILED where the run diverged, KILLED where it was stopped."""
        if result is None:
            self._client.set_terminated(self._id, "KILLED")
            return
        self._send_metrics(final_values(result), result.epochs)
        self._client.set_tag(self._id, "status", result.status)
        self._client.set_terminated(self._id, "FAILED" if result.diverged else "FINISHED")

    def _find(self, run_id: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return found if found.info.lifecycle_stage == "active" else None

    def _create(self) -> None:
        seed, names = self._run.identity.seed, self._log_to
        tags = {
            **names.tags,
            "run_folder": str(self._run.folder.resolve()),
            "convtrials": __version__,
            **({"group": names.group} if names.group else {}),
        }
        name = f"{names.name} seed {seed}" if names.name else self._run.folder.name
        created = self._client.create_run(self._experiment(), run_name=name, tags=tags)
        self._id = created.info.run_id
        self._run.write_logged_to(self.name, LoggedRun(id=self._id))

    def _experiment(self) -> str:
        """Return the experiment's id; another process may be making it at this moment."""
        from mlflow.exceptions import MlflowException

        if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return given
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as error:
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise error from None
        return str(found.experiment_id)

    def _send_parameters(self, there: dict[str, str]) -> None:
        from mlflow.entities import Param

        missing = [
            Param(key, str(value)[:_LONGEST])
            for key, value in parameters(self._run).items()
            if key not in there
        ]
        for start in range(0, len(missing), _AT_ONCE):
            self._client.log_batch(self._id, params=missing[start : start + _AT_ONCE])

    def _send_metrics(self, values: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self._id, metrics=[Metric(key, value, now, step) for key, value in values.items()]
        )

    def _last_epoch(self) -> int:
        """Ask MLflow which epochs it has: it knows, also where a process was killed between two."""
        sent = self._client.get_metric_history(self._id, "accuracy/val")
        return max((metric.step for metric in sent), default=0)


def _one_at_a_time(place: str) -> AbstractContextManager[object]:
    """Let one process at a time make MLflow's database and the experiment: two at once spoil a new SQLite file."""
    if place.startswith(("http:", "https:", "databricks")):
        return nullcontext()
    name = hashlib.blake2b(f"{Path.home()} {place}".encode(), digest_size=8).hexdigest()
    return FileLock(Path(tempfile.gettempdir()) / f"convtrials-mlflow-{name}.lock").acquire(wait=600)
