"""Before the first run of a study: its plan, its data and its execution are written down, or held against what is."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from convtrials.core.errors import ConvtrialsError, StudyError
from convtrials.core.files import atomic_path, write_json, write_text
from convtrials.core.log import get_logger, quiet
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.arm_data import dataset_of_arm
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.plan_log import LOG_NAME
from convtrials.study.plan.spec import StudySpec
from convtrials.study.results.scores import units_of_test
from convtrials.study.schemas import StudyDataset
from convtrials.training.engine.custom import try_custom_parts
from convtrials.training.engine.environment import describe_environment
from convtrials.training.engine.execution import ComputeOptions
from convtrials.training.engine.identity import check_trainable, describe_dataset
from convtrials.training.engine.weighting import (
    favours_small_classes,
    image_weights_line,
    imbalance_line,
    weighting_lines,
)

_log = get_logger(__name__)


def open_data(spec: StudySpec, *, workers: int | None = None) -> Dataset:
    """Open the data that a study names."""
    return load_dataset(spec.source, **spec.dataset_options, workers=workers)


def prepare(
    study: StudyDirectory,
    spec: StudySpec,
    dataset: Dataset,
    options: ComputeOptions,
    *,
    file: Path | None = None,
    like: StudyDirectory | None = None,
    may_change: bool = True,
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
        check_trainable(arm.recipe, dataset_of_arm(dataset, arm), arm=arm.name)
    if not len(dataset.indices("test")):
        raise StudyError(f"dataset {dataset.name}: no images in the test split; verdicts need some")
    _check_custom_parts(study, spec, dataset)
    _check_initial_weights(study, spec, dataset)
    plan = Plan(spec, dataset.fingerprint)
    with study.preparing(), ExitStack() as held:
        changes = _changes(study, plan, may_change)
        if changes:
            held.enter_context(study.changing_plan())
        if not study.exists:
            _log_weighting(spec, dataset)
        if like is not None and not study.execution_path.is_file():
            study.write_execution(like.execution)
        _write_execution(study, plan, dataset, options)
        _write_dataset(study, dataset)
        if not study.exists:
            write_json(
                study.folder / "environment.json", describe_environment(study.execution.device).to_dict()
            )
        if changes:
            _log.info(
                f"on record of the plan, after {len(study.ended_runs())} ended runs; the report will say so:"
            )
            for change in changes:
                _log.info(f"  {change}")
        copy = study.folder / "study.yaml"
        if file is not None and not (copy.exists() and copy.samefile(file)):
            write_text(copy, file.read_text(encoding="utf-8"))
        standing = _standing(study)
        if not changes and standing == plan:
            return standing
        if not changes and study.exists and standing is None:
            why = "its last change was interrupted" if study.change_interrupted else "was changed by hand"
            _log.info(f"{study.plan_path}: {why}; it is written as {LOG_NAME} has it")
        study.write_plan(plan, changes)
    return plan


def _check_custom_parts(study: StudyDirectory, spec: StudySpec, dataset: Dataset) -> None:
    """Try your own optimizers, losses and so on before anything is measured; those of arms that have begun work."""
    for arm in spec.arms:
        data = dataset_of_arm(dataset, arm)
        if not (study.folder / "runs" / arm.slug).is_dir():
            try:
                try_custom_parts(arm.recipe, data.image_shape, len(data.class_names))
            except ConvtrialsError as error:
                raise StudyError(f"{arm.name}: {error}") from error


def _check_initial_weights(study: StudyDirectory, spec: StudySpec, dataset: Dataset) -> None:
    """Refuse weights and layers that do not fit, before anything is measured; those of arms that have begun do."""
    # torch: not for those who only read
    from convtrials.training.engine.input_stats import normalised_as
    from convtrials.training.engine.network import initial_network, names_layers

    fitting = set()
    for arm in spec.arms:
        recipe, data = arm.recipe, dataset_of_arm(dataset, arm)
        if not names_layers(recipe) or (study.folder / "runs" / arm.slug).is_dir():
            continue
        knobs = (recipe.model, recipe.width, recipe.dropout, recipe.activation, recipe.batch_norm)
        layers = (recipe.freeze, recipe.optimizer.layer_decay, str(recipe.optimizer.lr_factors))
        same = (recipe.initial_weights, data.image_shape, *knobs, recipe.classifier_width, *layers)
        if same in fitting:
            continue
        try:
            with quiet():
                initial_network(recipe, normalised_as(recipe, data), seed=0)
        except ConvtrialsError as error:
            raise StudyError(f"{arm.name}: {error}") from error
        fitting.add(same)


def _log_weighting(spec: StudySpec, dataset: Dataset) -> None:
    """Say how each arm weighs and draws images; where classes differ widely and no arm does, what can be tried."""
    for arm in spec.arms:
        for line in weighting_lines(arm.recipe, dataset_of_arm(dataset, arm)):
            _log.info(f"{arm.name}: {line}")
    done = any(favours_small_classes(arm.recipe) for arm in spec.arms)
    for said in (image_weights_line(dataset), None if done else imbalance_line(dataset)):
        if said:
            _log.info(said)


def _changes(study: StudyDirectory, plan: Plan, may_change: bool) -> list[str]:
    """Say what a plan changes in the one on record, a line each; refuse other data, and what may not be changed."""
    older, lacks = study.recorded_plan()
    if older is None:
        # Of a plan that cannot be read any more the fingerprint still shows whether it is this one.
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


def _write_execution(study: StudyDirectory, plan: Plan, dataset: Dataset, options: ComputeOptions) -> None:
    """Choose how everything is computed, once; later options may change the number of workers alone."""
    if study.execution_path.is_file():
        known = study.execution
        for key in ("threads", "precision", "device", "replicas", "channels_last"):
            wanted = getattr(options, key)
            found = getattr(known, key)
            if wanted not in (None, found):
                raise StudyError(
                    f"{study.folder}: was started with {key} {found} and keeps it for all runs; "
                    f"leave out --{key.replace('_', '-')}, or choose another --out"
                )
        _one_process(options.workers, known.replicas)
        return
    _one_process(options.workers, options.replicas or 1)
    from convtrials.study.execute.autotune import autotune_study  # torch: not for those who only read
    from convtrials.training.engine.step_timing import StepProbe

    baseline = plan.arms[0]
    probe = StepProbe.of(baseline.recipe, dataset_of_arm(dataset, baseline))
    chosen = autotune_study(probe, options)
    study.write_execution(chosen.model_copy(update={"folder": os.getcwd()}))


def _one_process(workers: int | None, replicas: int) -> None:
    """Refuse several workers where replicas are trained in one process."""
    if (workers or 1) > 1 and replicas > 1:
        raise StudyError(
            f"--workers {workers} with {replicas} replicas: they are trained in one process; leave out --workers"
        )


def _write_dataset(study: StudyDirectory, dataset: Dataset) -> None:
    """Say where the data is now: it may have moved since the study began."""
    sampled = units_of_test(dataset)
    kind, grouped = dataset.group_kind, sampled is not None
    found = StudyDataset(**describe_dataset(dataset).to_dict(), group_kind=kind, grouped=grouped)
    if not study.dataset_path.is_file() or study.dataset != found:
        study.write_dataset(found)
    if sampled is not None:  # so that the statistics need no more than this directory
        with atomic_path(study.units_path) as temporary, open(temporary, "wb") as handle:
            np.save(handle, sampled, allow_pickle=False)


def reopen_study(folder: Path, *, data: str | None = None) -> tuple[StudyDirectory, Plan, Dataset]:
    """Open a study from its directory alone, to go on with it: a plan.json that was changed by hand is asked for.

    Parameters
    ----------
    data : str, optional
        Where the dataset is now, if it has moved.
    """
    study = StudyDirectory(folder)
    plan = study.requested_plan
    study.use_recorded_folder()
    return study, plan, study.open_dataset(source=data)
