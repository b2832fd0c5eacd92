"""The network that a recipe names, with the initial weights of a seed or of a file."""

from contextlib import suppress
from pathlib import Path

from torch import nn

from convtrials.core.errors import ConvtrialsError
from convtrials.core.log import get_logger
from convtrials.data.dataset import Dataset
from convtrials.models.registry import build_model
from convtrials.models.spec import SMALL_IMAGE
from convtrials.models.weights import WeightsError, load_weights
from convtrials.training.recipe.recipe import Recipe

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


def initial_network(recipe: Recipe, dataset: Dataset, seed: int) -> nn.Module:
    """Build the recipe's network as a run begins with it: with the weights of a file where the recipe names one.

    Each layer that the file does not fill is logged.

    Raises
    ------
    WeightsError
        The file cannot be read or does not fit; where another image size or width would do, the message says so.
    """
    image_shape, classes = dataset.image_shape, len(dataset.class_names)
    network = recipe_network(recipe, image_shape, classes, seed)
    if recipe.initial_weights:
        try:
            messages = load_weights(network, Path(recipe.initial_weights))
        except WeightsError as error:
            advice = _fitting(recipe, image_shape, classes)
            raise WeightsError(f"{error}\n{advice}" if advice else str(error)) from error
        for message in messages:
            _log.info(message)
    return network


def _fitting(recipe: Recipe, image_shape: tuple[int, int, int], classes: int) -> str:
    """Say for which image size or width the file of weights is; nothing where that is not what is wrong."""
    path = Path(recipe.initial_weights or "")
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
