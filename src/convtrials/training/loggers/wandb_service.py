"""A run in Weights & Biases."""

import os
import secrets
from typing import Any

from convtrials._version import __version__
from convtrials.core.errors import RunError
from convtrials.core.log import get_logger
from convtrials.training.loggers.curves import curve_values, final_values, parameters
from convtrials.training.loggers.log_to import LogTo
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry, LoggedRun, RunResult

_log = get_logger(__name__)

#: Where WANDB_PROJECT names no other one.
PROJECT = "convtrials"

#: Seconds that W&B may take to begin a run, and to send what is left at its end.
BEGIN_SECONDS, FINISH_SECONDS = 20.0, 20.0


class WandbService:
    """A run in W&B; its local files are in the run's folder. WANDB_MODE=offline needs neither network nor login."""

    name = "wandb"

    def __init__(self, run: Run, log_to: LogTo) -> None:
        self._run, self._log_to = run, log_to
        self._there: Any = None
        self._id = ""

    def begin(self) -> int:
        """Begin the run, or go on with the one that the run's folder names."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing goes where nobody asked for it
        import wandb

        online = wandb.setup().settings.mode == "online"
        if online and not _logged_in(wandb):
            # Else it would ask for a key in the terminal, and wait.
            raise RunError("not logged in: `wandb login`, or WANDB_MODE=offline")
        known = self._run.logged_to(self.name)
        self._id = known.id if known else secrets.token_hex(4)
        if known is None:
            self._run.write_logged_to(self.name, LoggedRun(id=self._id))
        seed, names = self._run.identity.seed, self._log_to
        self._there = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=self._id,
            resume="allow",
            name=f"{names.name} seed {seed}" if names.name else self._run.folder.name,
            group=names.group,
            dir=str(self._run.folder),
            config={
                **parameters(self._run),
                **names.tags,
                "run_folder": str(self._run.folder.resolve()),
                "convtrials": __version__,
            },
            # Several at once, as replicas are: each keeps its own.
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                save_code=False,
                init_timeout=BEGIN_SECONDS,
                finish_timeout=FINISH_SECONDS,
            ),
        )
        if online:
            _log.info(f"wandb: {self._there.url}")
        return max(int(self._there.step) - 1 if self._there.resumed else 0, known.epochs if known else 0)

    def add(self, entry: HistoryEntry) -> None:
        """Send the curves' values, with the epoch as step."""
        # Noted first: offline nothing else says which epochs W&B has, and none may go there twice.
        self._run.write_logged_to(self.name, LoggedRun(id=self._id, epochs=entry.epoch))
        self._there.log({**curve_values(entry), "epoch": entry.epoch}, step=entry.epoch, commit=True)

    def end(self, result: RunResult | None) -> None:
        """Send the final values and end the run; one that diverged or was stopped counts as failed there."""
        if result is not None:
            self._there.summary.update({**final_values(result), "status": result.status})
        self._there.finish(exit_code=0 if result is not None and not result.diverged else 1)


def _logged_in(wandb: Any) -> bool:
    """Whether W&B has a key; older versions than 0.31 cannot be asked by a public function."""
    try:
        return bool(wandb.login(prompt=False))
    except TypeError:
        settings = wandb.setup().settings
        return bool(settings.api_key or wandb.api.api_key)
