"""A study from Python: what is compared with what, run, and looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from convtrials.core.files import read_json
from convtrials.core.progress import say, say_nothing
from convtrials.data.dataset import Dataset
from convtrials.data.open import source_name
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.executor import RunEnd
from convtrials.study.plan.arms import build_arms
from convtrials.study.plan.spec import DATASET_OPTIONS, DEFAULT_ALPHA, StudyRules, StudySpec
from convtrials.study.prepare import prepare
from convtrials.study.run_study import run_study
from convtrials.study.status import StudyState
from convtrials.training.engine.execution import ComputeOptions, Precision
from convtrials.training.recipe.recipe import Recipe

#: Stands for the source of a dataset that nobody can open again.
IN_MEMORY = "made in memory"


@dataclass(frozen=True)
class Study:
    """A baseline, techniques, seeds: what is compared with what.

    Parameters
    ----------
    baseline : Recipe
    techniques : mapping of str to mapping
        Name -> changes of the recipe; lists make grids, ``all of`` joins, ``seed_offset`` an A/A study.
    seeds : int or tuple of two int
        Runs per arm, 2 or more; or (fewest, most): seeds are then added only where the answer is still open.
    metric : {"accuracy", "log_loss"}
        The one metric on which verdicts are given.
    margin : float, optional
        Differences smaller than this do not matter in practice. Accuracy: 0.005; log loss has no default.
    alpha : float
        Chance of any false "better" or "worse" in the whole study.
    first_seed : int
        Where the seeds begin; a study that confirms another takes seeds that nobody has looked at.
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
        self.spec()  # a mistake is told where it is made, not when training would begin

    def spec(self) -> StudySpec:
        """Check everything and return it as a study file would give it."""
        given = {
            name: getattr(self, name)
            for name in ("title", "seeds", "metric", "margin", "alpha", "first_seed", "weights")
        }
        rules = StudyRules(**{key: value for key, value in given.items() if (key, value) != ("margin", None)})
        arms = build_arms(self.baseline, self.techniques, most_seeds=rules.most, first_seed=rules.first_seed)
        return StudySpec.of(rules, arms)

    def run(
        self,
        dataset: Dataset,
        out: str | Path = "runs/study",
        *,
        workers: int | None = None,
        threads: int | None = None,
        precision: Precision | None = None,
        channels_last: bool | None = None,
        silent: bool = False,
        change_plan: bool = False,
    ) -> "StudyResult":
        """Run to the end; called again it goes on where it was stopped or killed.

        Parameters
        ----------
        dataset : Dataset
            One made in memory is trained on in this process, a run at a time.
        out : path
            The study directory.
        workers, threads, precision, channels_last
            Given: kept. Otherwise measured.
        silent : bool
            Show nothing.
        change_plan : bool
            Let this study take the place of another one in `out`. Its verdicts and report go, its runs stay where they
            are of use, and the report tells of the change.

        Raises
        ------
        StudyError
            `out` holds another study, or something else.
        """
        study = StudyDirectory(out)
        options = ComputeOptions(workers, threads, precision, channels_last=channels_last)
        where = {"source": source_name(dataset) or IN_MEMORY, "dataset_options": _options_of(dataset)}
        spec = self.spec().model_copy(update=where)
        plan = prepare(
            study, spec, dataset, options, may_change=change_plan, note=say_nothing if silent else say
        )
        show = (lambda state, ended: None) if silent else _tell_ended
        run_study(study, plan, dataset, options, show=show)
        return StudyResult(study.folder)


@dataclass(frozen=True)
class StudyResult:
    """A study on disk that has verdicts."""

    folder: Path

    def verdicts(self) -> dict[str, str]:
        """Return the sentence of each technique, by name."""
        return {one["name"]: one["sentence"] for one in self.document()["techniques"]}

    def warnings(self) -> list[str]:
        """Return what must be known before the verdicts are believed, the gravest first; nothing where all is well."""
        return [one["text"] for one in self.document().get("warnings", [])]

    def document(self) -> dict[str, Any]:
        """Return ``verdicts.json``."""
        return cast(dict[str, Any], read_json(self.folder / "verdicts.json"))

    def publish(self, out: str | Path, *, pictures: bool = True, silent: bool = False) -> Path:
        """Write a small copy that can be judged again, without weights, times of day and paths of the machine.

        Parameters
        ----------
        out : path
            A new or empty folder, or one that holds an earlier copy of this study.
        pictures : bool
            Take along what the report has drawn.
        silent : bool
            Show nothing.

        Raises
        ------
        StudyError
            `out` holds something else, or the study has no finished run.
        """
        from convtrials.study.publish import publish

        publish(self.folder, out, pictures=pictures, silent=silent)
        return Path(out)


def _tell_ended(state: StudyState, ended: list[RunEnd]) -> None:
    """Say of each run that has ended how it ended."""
    for end in ended:
        seed = state.plan.arm(end.task.arm).seed_offset + end.task.position
        left = f"; {state.count('finished', 'diverged', 'failed')} of {len(state.runs)} runs"
        say(f"{end.task.arm}, seed {seed}: {end.how}{left}")


def _options_of(dataset: Dataset) -> dict[str, Any]:
    """Return the options that `load_dataset` would need for this dataset."""
    options = dataset.manifest.get("options") or {}
    return {key: options[key] for key in DATASET_OPTIONS if options.get(key) is not None}
