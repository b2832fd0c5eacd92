"""What makes a run this run, and the refusals that keep a run directory from being overwritten."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from convtrials.core.custom import source_of
from convtrials.core.documents import LARGEST_NUMBER
from convtrials.core.errors import RecipeError, RunError, check_kind
from convtrials.data.dataset import Dataset
from convtrials.data.open import reframed, source_name
from convtrials.training.engine.environment import describe_environment
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.input_stats import normalised_as
from convtrials.training.engine.weighting import check_weighting
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run, existing_weights_file, weights_file
from convtrials.training.run_documents import Counts, DatasetDescription, Identity


def identify(recipe: Recipe, dataset: Dataset, seed: int, recorded: Identity | None = None) -> Identity:
    """Return the seed and digests of all that a run is made from; equal identities mean the same run.

    The file of initial weights and the sources of your own network, optimizer and other parts are in it by content,
    since their names alone would let another network go on under an old one's checkpoint. So are weights of images,
    which a dataset can be given in memory under the same fingerprint. Where the file of initial weights is gone, the
    one that was `recorded` is believed: a checkpoint no longer needs it.
    """
    if abs(seed) >= LARGEST_NUMBER:  # it could be written, and never be read again
        raise RunError(f"seed {seed}: must be less than 2**63, and more than -2**63")
    made_from: dict[str, str | None] = {}
    if recipe.initial_weights:
        path, known = weights_file(recipe.initial_weights), recorded.initial_weights if recorded else None
        gone = known and not path.exists()
        made_from["initial_weights"] = (
            known if gone else _digest(existing_weights_file(recipe.initial_weights), "initial_weights")
        )
    if dataset.weights is not None:
        own = np.ascontiguousarray(dataset.weights, np.float32)
        made_from["image weights"] = hashlib.sha256(own.tobytes()).hexdigest()[:32]
    for key, name in recipe.custom_parts().items():
        source = source_of(key, name)
        made_from[f"{key} source"] = _digest(source, key) if source else None
    return Identity(seed=seed, recipe=recipe.fingerprint(), dataset=dataset.fingerprint, **made_from)


def check_same(run: Run, identity: Identity, wanted: dict[str, Any]) -> None:
    """Refuse to go on with another recipe, seed, dataset or execution than the run was started with.

    Parameters
    ----------
    identity : Identity
        From `identify`.
    wanted : dict
        Parts of the execution that were asked for; None where anything will do.
    """
    recorded, now = run.identity.to_dict(), identity.to_dict()
    for key in {**recorded, **now}:
        if recorded.get(key) != now.get(key):
            raise RunError(
                f"{run.folder}: holds a run with another {key} ({recorded.get(key)}, not {now.get(key)})\n"
                "choose another --out; a run directory is never overwritten"
            )
    execution = run.execution.to_dict()
    for key, value in wanted.items():
        if value is not None and execution.get(key) != value:
            raise RunError(
                f"{run.folder}: was started with {key} {execution.get(key)} and keeps it; "
                f"leave out {key} {value}, or choose another --out"
            )


def check_empty(run: Run) -> None:
    """Refuse a folder that holds anything but what a run leaves when it is killed while beginning."""
    foreign = [entry.name for entry in run.folder.iterdir() if entry.name != ".lock"]
    ours = {"recipe.yaml", "execution.json", "environment.json", "dataset.json"}  # killed while beginning
    if any(name not in ours and not name.startswith(".") for name in foreign):
        raise RunError(
            f"{run.folder}: not empty and not a run directory ({sorted(foreign)[0]} is there); choose another --out"
        )


def check_kinds(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse what is no recipe or no dataset."""
    check_kind(recipe, Recipe, "recipe", "ct.Recipe() or ct.Recipe.load('small')")
    check_kind(dataset, Dataset, "dataset", "ct.load_dataset('photos')")


def dataset_as_asked(recipe: Recipe, dataset: Dataset, out: str | Path | None) -> Dataset:
    """Return the dataset as the recipe asks for it: `image_size`, `fit` and `pad`.

    A run that has begun keeps the data that it began with.
    """
    begun = out is not None and Run(out).exists and Run(out).identity.dataset == dataset.fingerprint
    return dataset if begun else reframed(dataset, recipe.dataset_options())


def check_trainable(recipe: Recipe, dataset: Dataset, *, arm: str | None = None) -> None:
    """Refuse data that cannot be trained on, before anything is written; in a study, in the name of the arm."""
    check_kinds(recipe, dataset)
    counts = dataset.counts()
    for name in ("train", "val"):
        if not counts[name]:
            raise RunError(f"dataset {dataset.name}: no images in the {name} split; training needs some")
    if len(dataset.class_names) < 2:
        raise RunError(f"dataset {dataset.name}: one class only; a classifier needs two or more")
    crop, sides = recipe.augment.crop, dataset.image_shape[:2]
    if crop >= min(sides):
        raise RunError(f"augment.crop = {crop}: must be less than the images' {min(sides)} pixels")
    try:
        recipe.augment.check_images(dataset.image_shape)
        normalised_as(recipe, dataset)
        check_weighting(recipe, dataset)
    except RecipeError as error:
        raise RecipeError(f"{arm}: {error}" if arm else str(error)) from None


def write_description(
    run: Run,
    recipe: Recipe,
    dataset: Dataset,
    identity: Identity,
    execution: Execution,
    replicas: dict[str, Any] | None = None,
) -> None:
    """Write what is known before step 0; `replicas` says how many runs are trained at once, and in what way."""
    environment = describe_environment(execution.device)
    if replicas is not None:
        # Not a part of the execution: with other replicas, or alone, a run is the same but for rounding.
        environment = environment.model_copy(update={"replicas": replicas})
    run.begin(
        recipe,
        identity=identity,
        execution=execution,
        environment=environment,
        dataset=describe_dataset(dataset),
    )


def describe_dataset(dataset: Dataset) -> DatasetDescription:
    """Return what ``dataset.json`` holds: enough to open the same data again, and to draw without it."""
    return DatasetDescription(
        name=dataset.name,
        source=source_name(dataset),
        options=dataset.manifest.get("options"),
        fingerprint=dataset.fingerprint,
        counts=Counts(**dataset.counts()),
        class_names=tuple(dataset.class_names),
        image_shape=dataset.image_shape,
        mean=tuple(dataset.mean),
        std=tuple(dataset.std),
        pack=str(dataset.folder) if dataset.folder else None,
        **({"pixel_scale": scale} if (scale := dataset.manifest.get("pixel_scale")) else {}),
    )


def _digest(path: Path, key: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise RunError(f"{key}: {path} cannot be read: {error.strerror}") from None
