"""What makes a run this run, and the refusals that keep a run directory from being overwritten."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from convtrials.core.custom import source_of
from convtrials.core.errors import RunError
from convtrials.data.dataset import Dataset
from convtrials.data.reopen import source_name
from convtrials.training.engine.execution import Execution
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run import Run


def identify(
    recipe: Recipe, dataset: Dataset, seed: int, recorded: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the seed and digests of all that a run is made from; equal identities mean the same run.

    The file of initial weights and the sources of your own network, optimizer and other parts are in it by content,
    since their names alone would let another network go on under an old one's checkpoint. Where the file of initial
    weights is gone, the one that was `recorded` is believed: a checkpoint no longer needs it.
    """
    identity = {"seed": seed, "recipe": recipe.fingerprint(), "dataset": dataset.fingerprint}
    if recipe.initial_weights:
        path, known = Path(recipe.initial_weights), (recorded or {}).get("initial weights")
        identity["initial weights"] = (
            known if known and not path.exists() else _digest(path, "initial_weights")
        )
    for key, name in recipe.custom_parts().items():
        source = source_of(key, name)
        identity[f"{key} source"] = _digest(source, key) if source else None
    return identity


def record(identity: dict[str, Any]) -> dict[str, Any]:
    """Return what ``run.json`` holds: the identity, and the folder that one's own modules were found from."""
    return {"identity": identity, "folder": os.getcwd()}


def use_recorded_folder(run: Run) -> None:
    """Find one's own modules where they were when the run began, wherever it is resumed from."""
    folder = run.record.get("folder")
    if isinstance(folder, str) and folder not in sys.path:
        sys.path.append(folder)


def check_same(run: Run, identity: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to go on with another recipe, seed, dataset or execution than the run was begun with.

    Parameters
    ----------
    run : Run
    identity : dict
        From `identify`.
    wanted : dict
        Parts of the execution that were asked for; None where anything will do.
    """
    recorded = run.identity
    for key in {**recorded, **identity}:
        if recorded.get(key) != identity.get(key):
            raise RunError(
                f"{run.folder}: holds a run with another {key} ({recorded.get(key)}, not {identity.get(key)})\n"
                "choose another --out; a run directory is never overwritten"
            )
    execution = run.execution
    for key, value in wanted.items():
        if value is not None and execution.get(key) != value:
            raise RunError(
                f"{run.folder}: was begun with {key} {execution.get(key)} and keeps it; "
                f"leave out {key} {value}, or choose another --out"
            )


def check_empty(run: Run) -> None:
    """Refuse a folder that holds anything but what a run leaves when it is killed while beginning."""
    foreign = [entry.name for entry in run.folder.iterdir() if entry.name != ".lock"]
    ours = {"recipe.yaml", "execution.json", "environment.json", "dataset.json"}  # killed while beginning
    if any(name not in ours and not name.startswith(".") for name in foreign):
        raise RunError(
            f"{run.folder}: not empty and no run directory ({sorted(foreign)[0]} is there); choose another --out"
        )


def check_trainable(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse data that cannot be trained on, before anything is written."""
    counts = dataset.counts()
    for name in ("train", "val"):
        if not counts[name]:
            raise RunError(f"dataset {dataset.name}: no images in the {name} split; training needs some")
    if len(dataset.class_names) < 2:
        raise RunError(f"dataset {dataset.name}: one class only; a classifier needs two or more")
    crop, sides = recipe.augment.crop, dataset.image_shape[:2]
    if crop >= min(sides):
        raise RunError(f"augment.crop = {crop}: must be less than the images' {min(sides)} pixels")


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return what ``dataset.json`` holds: enough to open the same data again, and to draw without it."""
    return {
        "name": dataset.name,
        "source": source_name(dataset),
        "options": dataset.manifest.get("options"),
        "fingerprint": dataset.fingerprint,
        "counts": dataset.counts(),
        "class_names": list(dataset.class_names),
        "image_shape": list(dataset.image_shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "pack": str(dataset.folder) if dataset.folder else None,
    }


def recorded_execution(run: Run) -> Execution:
    """Return the execution that the run was begun with."""
    try:
        return Execution(**run.execution)
    except TypeError:
        raise RunError(
            f"{run.folder / 'execution.json'}: not an execution of this version of convtrials"
        ) from None


def _digest(path: Path, key: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise RunError(f"{key}: {path} cannot be read: {error.strerror}") from None
