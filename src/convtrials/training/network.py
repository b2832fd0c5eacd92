"""The network that a recipe names, with the initial weights of a seed."""

from torch import nn

from convtrials.models.registry import build_model
from convtrials.training.recipe import Recipe


def recipe_network(recipe: Recipe, image_shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """Build the recipe's network.

    Parameters
    ----------
    recipe : Recipe
    image_shape : tuple of int
        (H, W, C) of the images.
    classes : int
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
