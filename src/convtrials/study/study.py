"""A study from Python: what is compared with what, run, and looked at."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.errors import StudyError, check_kind
from convtrials.core.formatting import rough_duration
from convtrials.core.log import get_logger, lines_shown
from convtrials.core.names import unreserved
from convtrials.core.progress import notebook_line
from convtrials.data.dataset import Dataset
from convtrials.data.open import source_name
from convtrials.data.options import OPTION_NAMES
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.executor import RunEnd
from convtrials.study.plan.arms import build_arms
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.spec import DEFAULT_ALPHA, StudyRules, StudySpec
from convtrials.study.prepare import prepare
from convtrials.study.result import StudyResult, load_study
from convtrials.study.run_study import Show, run_study
from convtrials.study.status import StudyState
from convtrials.training.engine.execution import ComputeOptions, Precision
from convtrials.training.recipe.recipe import Recipe

_log = get_logger(__name__)

#: Stands for the source of a dataset that cannot be opened again.
IN_MEMORY = "made in memory"


@dataclass(frozen=True)
class Study:
    """A baseline, techniques, seeds: what is compared with what.

    Parameters
    ----------
    techniques : mapping of str to mapping
        Name -> changes of the recipe; lists make grids, ``all of`` joins, ``seed_offset`` an A/A study.
    seeds : int or tuple of two int
        Runs per arm, 2 or more; or (fewest, most): seeds are then added only where the answer is still open.
    metric : str
        The one metric on which verdicts are given: ``accuracy`` or ``log_loss``.
    margin : float, optional
        Differences smaller than this do not matter in practice. Accuracy: 0.005; log loss has no default.
    alpha : float
        Chance of any false "better" or "worse" in the whole study.
    first_seed : int
        Where the seeds begin; a study that confirms another takes seeds that have not been looked at.
    title : str, optional
        Heading of the report.
    weights : {"first", "all", "none"}
        Whose weights are kept on disk: those of each arm's first seed, of every run, or of none.

    Raises
    ------
    ConvtrialsError
        A technique, or another of these, is impossible: the message says which, and what is allowed.

    Examples
    --------
    >>> import convtrials as ct
    >>> data = ct.load_dataset("glyphs", classes=["0", "1", "2", "3"], samples_per_class=500)
    >>> adam = {"name": "adam", "lr": 2e-3}
    >>> baseline = ct.Recipe(model="alexnet-lite", width=0.35, batch_norm=True, epochs=8, optimizer=adam)
    >>> study = ct.Study(baseline, {"cosine": {"schedule": "cosine"}}, seeds=4)
    >>> print(study.run(data, "runs/cosine").verdicts()["cosine"])  # doctest: +ELLIPSIS
    cosine: ...
    """

    baseline: Recipe
    techniques: Mapping[str, Any]
    seeds: int | tuple[int, int] = 5
    metric: str = "accuracy"
    margin: float | None = None
    alpha: float = DEFAULT_ALPHA
    first_seed: int = 0
    title: str | None = None
    weights: str = "first"

    def __post_init__(self) -> None:
        self.spec()  # a mistake is reported where it is made, not when training would begin

    def spec(self) -> StudySpec:
        """Check everything and return it as a study file would give it."""
        check_kind(self.baseline, Recipe, "baseline", "ct.Recipe() or ct.Recipe.load('small')")
        given = {
            name: getattr(self, name)
            for name in ("title", "seeds", "metric", "margin", "alpha", "first_seed", "weights")
        }
        rules = StudyRules(**{key: value for key, value in given.items() if (key, value) != ("margin", None)})
        if not self.techniques:
            raise StudyError("techniques: at least one is needed, such as {'cosine': {'schedule': 'cosine'}}")
        arms = build_arms(self.baseline, self.techniques, most_seeds=rules.most, first_seed=rules.first_seed)
        return StudySpec.of(rules, arms)

    def run(
        self,
        dataset: Dataset,
        out: str | Path | None = None,
        *,
        workers: int | None = None,
        threads: int | None = None,
        precision: Precision | None = None,
        channels_last: bool | None = None,
        device: str | None = None,
        replicas: int | None = None,
        checkpoint_seconds: float = 60.0,
        change_plan: bool = False,
        log_to: str | Sequence[str] | None = None,
    ) -> StudyResult:
        """Run to the end; called again it goes on where it was stopped or killed.

        Parameters
        ----------
        dataset : Dataset
            One made in memory is trained on in this process, a run at a time.
        out : path, optional
            The study directory; by default one that is named after plan and data, so that the same study goes on and
            another one begins elsewhere (`default_study_folder`).
        workers, threads, precision, channels_last
            Given: kept. Otherwise measured.
        device : {"cpu", "cuda", "cuda:N", "mps"}, optional
            By default a GPU if there is one.
        replicas : int, optional
            Seeds of one arm trained at once, in one process; by default 1, on a GPU measured.
        checkpoint_seconds : float
            Between checkpoints of a run.
        change_plan : bool
            Let this study take the place of another one in `out`. Its verdicts and report go, its runs stay where they
            stay useful, and the report shows the change.
        log_to : str or sequence of str, optional
            ``"mlflow"``, ``"wandb"``: every run goes there too, grouped by arm. Kept when the study goes on; ``"none"``
            ends it.

        Raises
        ------
        StudyError
            `out` holds another study, or something else.
        """
        check_kind(dataset, Dataset, "dataset", "ct.load_dataset('photos')")
        options = ComputeOptions(
            workers, threads, precision, device, checkpoint_seconds, replicas, channels_last, log_to
        )
        where = {"source": source_name(dataset) or IN_MEMORY, "dataset_options": _options_of(dataset)}
        spec = self.spec().model_copy(update=where)
        study = StudyDirectory(default_study_folder(spec, dataset) if out is None else out)
        plan = prepare(study, spec, dataset, options, may_change=change_plan)
        run_study(study, plan, dataset, options, show=_progress())
        return load_study(study.folder)


def default_study_folder(spec: StudySpec, dataset: Dataset) -> Path:
    """Name a study after what it is, so that the same study finds the same directory.

    ``runs/NAME-DIGEST``, the name of the title or of network and data, the digest over plan and data;
    ``CONVTRIALS_RUNS`` names another parent.
    """
    words = spec.title or f"study {spec.arms[0].recipe.model} {dataset.name}"
    name = re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-.")[:60] or "study"
    digest = Plan(spec, dataset.fingerprint).fingerprint[:8]
    return Path(os.environ.get("CONVTRIALS_RUNS", "runs")) / unreserved(f"{name}-{digest}")


def _progress() -> Show:
    """Log a line per ended run; in a notebook show one line that is renewed."""
    line = notebook_line() if lines_shown() else None
    return _log_ended if line is None else lambda state, ended: line(_summary(state))


def _summary(state: StudyState) -> str:
    ended = state.count("finished", "diverged", "failed")
    left = f"; about {rough_duration(state.seconds_left)} to the next look" if state.seconds_left else ""
    return f"{ended} of {len(state.runs)} runs{left}"


def _log_ended(state: StudyState, ended: list[RunEnd]) -> None:
    """Say of each run that has ended how it ended."""
    for end in ended:
        seed = state.plan.arm(end.task.arm).seed_offset + end.task.position
        _log.info(f"{end.task.arm}, seed {seed}: {end.how}; {_summary(state)}")


def _options_of(dataset: Dataset) -> dict[str, Any]:
    """Return the options that `load_dataset` would need for this dataset."""
    options = dataset.manifest.get("options") or {}
    return {key: options[key] for key in OPTION_NAMES if options.get(key) is not None}
