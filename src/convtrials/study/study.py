"""A study: prepared, run, and looked at, from Python or the command line."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from convtrials.core.errors import ConvtrialsError, Interrupted, StudyError
from convtrials.core.files import atomic_path, finite, read_json, write_json, write_text
from convtrials.core.progress import say, say_nothing
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset, reopen_dataset, source_name
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.arm_data import dataset_of_arm
from convtrials.study.execute.executor import Executor, RunEnd
from convtrials.study.plan.arms import build_arms
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.plan_log import LOG_NAME
from convtrials.study.plan.study_file import (
    DATASET_OPTIONS,
    DEFAULT_ALPHA,
    DEFAULT_MARGIN,
    LARGEST_FIRST_SEED,
    MOST_SEEDS,
    StudySpec,
)
from convtrials.study.results.documents import write_documents
from convtrials.study.results.metrics import check_metric
from convtrials.study.results.scores import Outcomes, units_of_test
from convtrials.study.status import StudyState, survey
from convtrials.training.engine.custom import try_custom_parts
from convtrials.training.engine.environment import describe_environment
from convtrials.training.engine.execution import ComputeOptions, Precision
from convtrials.training.engine.identity import check_trainable, describe_dataset
from convtrials.training.recipe.recipe import Recipe

#: Stands for the source of a dataset that nobody can open again.
IN_MEMORY = "made in memory"

#: Told about once a second how a study stands, and which runs have ended since.
Show = Callable[[StudyState, list[RunEnd]], None]


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

    def __post_init__(self) -> None:
        self.spec()  # a mistake is told where it is made, not when training would begin

    def spec(self) -> StudySpec:
        """Check everything and return it as a study file would give it."""
        fewest, most = self.seeds if isinstance(self.seeds, tuple) else (self.seeds, self.seeds)
        if not 2 <= fewest <= most <= MOST_SEEDS:
            raise StudyError(f"seeds {self.seeds}: must be from 2 to {MOST_SEEDS}, the fewest first")
        check_metric(self.metric)
        if self.margin is None and self.metric != "accuracy":
            raise StudyError(f"{self.metric} needs a margin: the smallest difference that matters to you")
        margin = DEFAULT_MARGIN if self.margin is None else self.margin
        if not 0 < margin < float("inf"):
            raise StudyError(f"margin {margin}: must be a number above 0")
        if not 0 < self.alpha < 1:
            raise StudyError(f"alpha {self.alpha}: must lie between 0 and 1")
        whole = isinstance(self.first_seed, int) and not isinstance(self.first_seed, bool)
        if not whole or not 0 <= self.first_seed <= LARGEST_FIRST_SEED:
            raise StudyError(
                f"first_seed {self.first_seed}: must be a whole number from 0 to {LARGEST_FIRST_SEED:,}"
            )
        arms = build_arms(self.baseline, self.techniques, most_seeds=most, first_seed=self.first_seed)
        return StudySpec(
            tuple(arms),
            fewest=fewest,
            most=most,
            metric=self.metric,
            margin=float(margin),  # as it comes back from plan.json
            alpha=float(self.alpha),
        )

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
        spec = replace(
            self.spec(), source=source_name(dataset) or IN_MEMORY, dataset_options=_options_of(dataset)
        )
        plan = prepare(
            study, spec, dataset, options, may_change=change_plan, note=say_nothing if silent else say
        )
        show = (lambda state, ended: None) if silent else _tell_ended
        return run_study(study, plan, dataset, options, show=show)


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


def open_data(spec: StudySpec, *, workers: int | None = None, silent: bool = False) -> Dataset:
    """Open the data that a study names."""
    return load_dataset(spec.source, **spec.dataset_options, workers=workers, silent=silent)


def prepare(
    study: StudyDirectory,
    spec: StudySpec,
    dataset: Dataset,
    options: ComputeOptions,
    *,
    file: Path | None = None,
    like: StudyDirectory | None = None,
    may_change: bool = True,
    note: Callable[[str], None] = say,
) -> Plan:
    """Write plan, dataset and execution before the first run, or check that they still hold.

    With ``like``, another study's execution is taken over, so that its runs repeat to the last bit.

    A changed plan is taken, unless ``may_change`` is false, and kept in ``plan-log.jsonl`` with the number of runs that
    had ended: the report shows it. A change is one against the plan last on record, also where plan.json was changed by
    hand.

    Raises
    ------
    StudyError
        The directory holds something else, a study on other data, or one with another plan that may not be changed.
    """
    for arm in spec.arms:
        check_trainable(arm.recipe, dataset_of_arm(dataset, arm))
    if not len(dataset.indices("test")):
        raise StudyError(f"dataset {dataset.name}: no images in the test split; verdicts need some")
    _check_custom_parts(study, spec, dataset)
    _check_initial_weights(study, spec, dataset)
    plan = Plan(spec, dataset.fingerprint)
    with study.preparing(), ExitStack() as held:
        changes = _changes(study, plan, may_change)
        if changes:
            held.enter_context(study.changing_plan())
        if like is not None and not (study.folder / "execution.json").is_file():
            write_json(study.folder / "execution.json", like.execution)
        _write_execution(study, plan, dataset, options, note)
        _write_dataset(study, dataset)
        if not study.exists:
            write_json(study.folder / "environment.json", describe_environment().to_dict())
        if changes:
            note(f"on record of the plan, after {study.ended_runs()} ended runs; the report will say so:")
            for change in changes:
                note(f"  {change}")
        copy = study.folder / "study.yaml"
        if file is not None and not (copy.exists() and copy.samefile(file)):
            write_text(copy, file.read_text(encoding="utf-8"))
        standing = _standing(study)
        if not changes and standing == plan:
            return standing
        if not changes and study.exists and standing is None:
            why = "its last change was interrupted" if study.change_interrupted else "was changed by hand"
            note(f"{study.plan_path}: {why}; it is written as {LOG_NAME} has it")
        study.write_plan(plan, changes)
    return plan


def _check_custom_parts(study: StudyDirectory, spec: StudySpec, dataset: Dataset) -> None:
    """Try one's own optimizers, losses and so on before anything is measured; those of arms that have begun work."""
    for arm in spec.arms:
        data = dataset_of_arm(dataset, arm)
        if not (study.folder / "runs" / arm.slug).is_dir():
            try:
                try_custom_parts(arm.recipe, data.image_shape, len(data.class_names))
            except ConvtrialsError as error:
                raise StudyError(f"{arm.name}: {error}") from error


def _check_initial_weights(study: StudyDirectory, spec: StudySpec, dataset: Dataset) -> None:
    """Refuse files of weights that do not fit, before anything is measured; those of arms that have begun do."""
    from convtrials.training.engine.network import initial_network  # torch: not for those who only read

    fitting = set()
    for arm in spec.arms:
        recipe, data = arm.recipe, dataset_of_arm(dataset, arm)
        if not recipe.initial_weights or (study.folder / "runs" / arm.slug).is_dir():
            continue
        knobs = (recipe.model, recipe.width, recipe.dropout, recipe.activation, recipe.batch_norm)
        same = (recipe.initial_weights, data.image_shape, *knobs, recipe.classifier_width)
        if same in fitting:
            continue
        try:
            initial_network(recipe, data.image_shape, len(data.class_names), seed=0)
        except ConvtrialsError as error:
            raise StudyError(f"{arm.name}: {error}") from error
        fitting.add(same)


def _changes(study: StudyDirectory, plan: Plan, may_change: bool) -> list[str]:
    """Say what a plan changes in the one on record, a line each; refuse other data, and what may not be changed."""
    older, lacks = study.recorded_plan()
    if older is None:
        # Of a plan that cannot be read any more the fingerprint still tells whether it is this one.
        if not lacks or plan.fingerprint == study.plan_log.fingerprint:
            return []
        changes = lacks
    else:
        if older.dataset_fingerprint != plan.dataset_fingerprint:
            raise StudyError(
                f"{study.folder}: holds a study on other data ({older.dataset_fingerprint[:12]}, not "
                f"{plan.dataset_fingerprint[:12]}); choose another --out"
            )
        changes = plan.changes_since(older)
    if changes and not may_change:
        raise StudyError(
            f"{study.folder}: holds a study with another plan: {'; '.join(changes):.400}\n"
            "choose another folder; or change the plan, which replaces its verdicts and is recorded: in Python "
            "run(..., change_plan=True), in a terminal `convtrials study run FILE --out DIR`"
        )
    return changes if older is None else [*lacks, *changes]


def _standing(study: StudyDirectory) -> Plan | None:
    """Return the plan of a directory; None where there is none, or not the one on record."""
    with suppress(StudyError):
        return study.plan
    return None


def _write_execution(
    study: StudyDirectory, plan: Plan, dataset: Dataset, options: ComputeOptions, note: Callable[[str], None]
) -> None:
    """Choose how everything is computed, once; later options may change the number of workers alone."""
    path = study.folder / "execution.json"
    if path.is_file():
        known = {"replicas": 1, **study.execution}
        for key in ("threads", "precision", "device", "replicas", "channels_last"):
            wanted = getattr(options, key)
            if wanted is not None and known.get(key) != wanted:
                raise StudyError(
                    f"{study.folder}: was begun with {key} {known.get(key)} and keeps it for all runs; "
                    f"leave out --{key.replace('_', '-')}, or choose another --out"
                )
        _one_process(options.workers, int(known["replicas"]))
        return
    _one_process(options.workers, options.replicas or 1)
    from convtrials.study.execute.autotune import autotune_study  # torch: not for those who only read
    from convtrials.training.engine.step_timing import StepProbe

    baseline = plan.arms[0]
    probe = StepProbe.of(baseline.recipe, dataset_of_arm(dataset, baseline))
    chosen = autotune_study(probe, options, report=note)
    write_json(path, {**chosen.to_dict(), "folder": os.getcwd()})


def _one_process(workers: int | None, replicas: int) -> None:
    """Refuse several workers where replicas are trained in one process."""
    if (workers or 1) > 1 and replicas > 1:
        raise StudyError(
            f"--workers {workers} with {replicas} replicas: they are trained in one process; leave out --workers"
        )


def _write_dataset(study: StudyDirectory, dataset: Dataset) -> None:
    """Say where the data is now: it may have moved since the study began."""
    sampled = units_of_test(dataset)
    document = {
        **describe_dataset(dataset).to_dict(),
        "group_kind": dataset.group_kind,
        "grouped": sampled is not None,
    }
    if not (study.folder / "dataset.json").is_file() or study.dataset != finite(document):
        write_json(study.folder / "dataset.json", document)
    if sampled is not None:  # so that the statistics need no more than this directory
        with atomic_path(study.units_path) as temporary, open(temporary, "wb") as handle:
            np.save(handle, sampled, allow_pickle=False)


def run_study(
    study: StudyDirectory, plan: Plan, dataset: Dataset, options: ComputeOptions, *, show: Show
) -> StudyResult:
    """Run a prepared study to its end and write its documents, also where it is stopped before its end."""
    from convtrials.study.execute.in_process import (  # torch: not for those who only read
        InProcess,
        ReplicaExecutor,
    )
    from convtrials.study.execute.local_processes import LocalProcesses
    from convtrials.study.execute.run_trainer import RunTrainer
    from convtrials.study.execute.scheduler import run_to_end

    execution, workers = study.run_execution, options.workers or int(study.execution["workers"])
    replicas = int(study.execution.get("replicas", 1))
    trainer = RunTrainer(study, plan, dataset, execution, options.checkpoint_seconds)
    executor: Executor
    if replicas > 1 or (execution.device == "cuda" and workers == 1):  # one replica too gains by CUDA graphs
        method = study.execution.get("replica_way")
        executor, workers = ReplicaExecutor(trainer, replicas, method=method), 1
    elif dataset.folder is None:
        executor, workers = InProcess(trainer), 1
    else:
        executor = LocalProcesses(
            study.folder, workers, execution.threads, checkpoint_seconds=options.checkpoint_seconds
        )
    outcomes = Outcomes(study, plan, units_of_test(dataset))
    try:
        run_to_end(study, plan, outcomes, executor, show, workers=workers)
    except Interrupted:
        write_documents(study, plan, outcomes)  # what is known so far, marked as such
        raise
    write_documents(study, plan, outcomes)
    return StudyResult(study.folder)


def _tell_ended(state: StudyState, ended: list[RunEnd]) -> None:
    """Say of each run that has ended how it ended."""
    for end in ended:
        seed = state.plan.arm(end.task.arm).seed_offset + end.task.position
        left = f"; {state.count('finished', 'diverged', 'failed')} of {len(state.runs)} runs"
        say(f"{end.task.arm}, seed {seed}: {end.how}{left}")


def reopen_study(folder: Path, *, data: str | None = None) -> tuple[StudyDirectory, Plan, Dataset]:
    """Open a study from its directory alone, to go on with it: a plan.json that was changed by hand is asked for.

    Parameters
    ----------
    folder : Path
    data : str, optional
        Where the dataset is now, if it has moved.
    """
    study = StudyDirectory(folder)
    plan = study.wished_plan
    study.use_recorded_folder()
    return study, plan, reopen_dataset(study.dataset, source=data, silent=True)


def look_at_study(folder: Path) -> Callable[[], StudyState]:
    """Return a function that tells how a study stands, every time it is called."""
    study, plan, outcomes = _readable(folder)
    workers = int(study.execution["workers"])
    return lambda: survey(study, plan, outcomes, workers)


def write_study_documents(folder: Path) -> StudyResult:
    """Write verdicts, costs and the table of runs anew, of a study that is finished or not."""
    study, plan, outcomes = _readable(folder)
    write_documents(study, plan, outcomes)
    return StudyResult(study.folder)


def _readable(folder: Path) -> tuple[StudyDirectory, Plan, Outcomes]:
    """Open a study for reading; its directory alone is enough."""
    study = StudyDirectory(folder)
    plan = study.plan
    return study, plan, Outcomes(study, plan, study.units())


def _options_of(dataset: Dataset) -> dict[str, Any]:
    """Return the options that `load_dataset` would need for this dataset."""
    options = dataset.manifest.get("options") or {}
    return {key: options[key] for key in DATASET_OPTIONS if options.get(key) is not None}
