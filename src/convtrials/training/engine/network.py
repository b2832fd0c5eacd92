"""The network that a recipe names, with the initial weights of a seed or of a file."""

from contextlib import suppress
from pathlib import Path

from torch import nn

from convtrials.core.custom import is_custom
from convtrials.core.errors import ConvtrialsError, RecipeError
from convtrials.core.log import get_logger
from convtrials.data.dataset import Dataset
from convtrials.models.parts import frozen_parts
from convtrials.models.registry import build_model
from convtrials.models.spec import SMALL_IMAGE
from convtrials.models.weights import WeightsError, load_weights
from convtrials.training.engine.input_stats import describe_input_stats
from convtrials.training.optim.layer_rates import rate_factors
from convtrials.training.recipe.finetuning import InputStats
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run, existing_weights_file

_log = get_logger(__name__)


def recipe_network(recipe: Recipe, image_shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """Build the recipe's network.

    Parameters
    ----------
    image_shape : tuple of int
        (H, W, C) of the images.
    seed : int
        The run's seed; the initial weights follow from it.
    """
    height, width, channels = image_shape
    return build_model(
        recipe.model,
        classes=classes,
        channels=channels,
        image_size=(height, width),
        width=recipe.width,
        dropout=recipe.dropout,
        activation=recipe.activation,
        batch_norm=recipe.batch_norm,
        classifier_width=recipe.classifier_width,
        seed=seed,
    )


def names_layers(recipe: Recipe) -> bool:
    """Whether a recipe names weights or layers, so that building its network shows whether they fit."""
    optimizer = recipe.optimizer
    return bool(
        recipe.initial_weights
        or recipe.freeze is not None
        or optimizer.layer_decay is not None
        or optimizer.lr_factors
    )


def initial_network(recipe: Recipe, dataset: Dataset, seed: int) -> nn.Module:
    """Build the recipe's network as a run begins with it: with the weights of a file where the recipe names one.

    Each layer that the file does not fill is logged, and so is what images are normalised with.

    Parameters
    ----------
    dataset : Dataset
        With the recipe's input statistics.

    Raises
    ------
    WeightsError
        The file cannot be read or does not fit; where another image size or width would do, the message says so.
    RecipeError
        The network has no such layers as are to be frozen or to have rates of their own.
    """
    image_shape, classes = dataset.image_shape, len(dataset.class_names)
    network = recipe_network(recipe, image_shape, classes, seed)
    rate_factors(recipe.optimizer, network)
    frozen = set() if recipe.freeze is None else frozen_parts(network, recipe.freeze)
    if recipe.initial_weights:
        path = existing_weights_file(recipe.initial_weights)
        try:
            changes = load_weights(network, path)
        except WeightsError as error:
            advice = _fitting(recipe, path, image_shape, classes)
            raise WeightsError(f"{error}\n{advice}" if advice else str(error)) from error
        for change in changes:
            _log.info(change)
            if change.fresh and f"{change.layer}.weight" in frozen:
                raise RecipeError(f"freeze: {change}, so it must be trained; freeze other parts")
        _log.info(describe_input_stats(recipe, dataset, _trained_with(path)))
        _compare_with_run(recipe, path)
    elif frozen and not is_custom(recipe.model):
        _log.info(
            "freeze without initial_weights: the frozen layers keep the weights that were drawn for them"
        )
    return network


def _run_of(path: Path) -> Run | None:
    """Return the run that a file of weights lies in."""
    run = Run(path.parent)
    return run if run.exists and path.name == run.weights_path.name else None


def _trained_with(path: Path) -> InputStats | None:
    """Return what the weights' own run normalised with, where it can be read."""
    run = _run_of(path)
    with suppress(ConvtrialsError, ValueError):
        return None if run is None else InputStats(mean=run.dataset.mean, std=run.dataset.std)
    return None


def _compare_with_run(recipe: Recipe, path: Path) -> None:
    """Log what would make the same weights compute something else than in the run that they come from."""
    run = _run_of(path)
    if run is None:
        return
    try:
        run.check_files(path)
        theirs = run.recipe
    except ConvtrialsError as error:
        _log.warning(f"initial_weights: {error}")
        return
    for key in ("model", "activation"):
        own, other = getattr(recipe, key), getattr(theirs, key)
        if own != other:
            _log.warning(
                f"initial_weights: {run.folder} was trained with {key} {other}, and this recipe has {own}"
            )


def _fitting(recipe: Recipe, path: Path, image_shape: tuple[int, int, int], classes: int) -> str:
    """Say for which network, image size or width the weights are; nothing where that is not what is wrong."""
    run = _run_of(path)
    if run is not None:
        with suppress(ConvtrialsError):
            return _differences(recipe, run.recipe)
    if ":" in recipe.model or not path.is_file():
        return ""
    small = max(image_shape[:2]) <= SMALL_IMAGE
    size = {"image_size": 224 if small else SMALL_IMAGE}
    meant = {"image_size": f"images {'above' if small else 'up to'} {SMALL_IMAGE} pixels", "width": "width 1"}
    for needed in (size, {"width": 1}, {**size, "width": 1}):
        side = needed.get("image_size")
        shape = (side, side, image_shape[2]) if side else image_shape
        wide = recipe.changed({"width": 1}) if "width" in needed else recipe
        with suppress(ConvtrialsError):  # does not fit this way either
            load_weights(recipe_network(wide, shape, classes, seed=0), path)
            flags = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in needed.items())
            keys = ", ".join(f"{key}: {value}" for key, value in needed.items())
            what = " and ".join(meant[key] for key in needed)
            return f"these weights are for {what}: {flags} (in a recipe {keys})"
    return ""


def _differences(recipe: Recipe, theirs: Recipe) -> str:
    """Say which keys of the network differ from those of the run that the weights come from."""
    keys = ("model", "width", "batch_norm", "classifier_width", "activation")
    different = [
        f"{key}: {getattr(theirs, key)}" for key in keys if getattr(theirs, key) != getattr(recipe, key)
    ]
    return f"the run of these weights has {', '.join(different)}" if different else ""
