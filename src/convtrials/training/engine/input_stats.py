"""What a run normalises its images with: the data's own statistics, or those that its weights were trained with.

A run trains on a dataset that carries the run's statistics (`normalised_as`). All that normalises reads them there:
batches of training, validation and test, and the run's ``dataset.json``, which predictor and export read.
"""

from dataclasses import replace

from convtrials.core.errors import RecipeError
from convtrials.data.dataset import Dataset
from convtrials.training.recipe.finetuning import DATA, IMAGENET, IMAGENET_MEAN, IMAGENET_STD, InputStats
from convtrials.training.recipe.recipe import Recipe


def normalised_as(recipe: Recipe, dataset: Dataset) -> Dataset:
    """Return the dataset with the input statistics of a recipe; itself where they are its own.

    One number serves all channels. Of three for one channel (grey images under colour statistics) the mean counts: a
    grey image is one whose three channels are equal.

    Raises
    ------
    RecipeError
        There are more or fewer numbers than channels.
    """
    if isinstance(recipe.input_stats, InputStats):
        mean, std = recipe.input_stats.mean, recipe.input_stats.std
    elif recipe.input_stats == IMAGENET:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    else:
        return dataset
    channels = dataset.image_shape[2]
    if len(mean) == 3 and channels == 1:
        mean, std = (_rounded_mean(mean),), (_rounded_mean(std),)
    if len(mean) == 1:
        mean, std = mean * channels, std * channels
    if len(mean) != channels:
        raise RecipeError(
            f"input_stats: {len(mean)} numbers for images of {channels} channel(s); "
            f"allowed are {channels}, or one for all"
        )
    return replace(dataset, mean=mean, std=std)


def describe_input_stats(recipe: Recipe, dataset: Dataset, trained_with: InputStats | None) -> str:
    """Say what images are normalised with, and the other choice; for weights from elsewhere, which expect something.

    Parameters
    ----------
    dataset : Dataset
        From `normalised_as`.
    trained_with : InputStats or None
        What the weights' own run normalised with, where they are of a run.
    """
    used = f"mean {_numbers(dataset.mean)}, std {_numbers(dataset.std)}"
    if recipe.input_stats == IMAGENET:
        return f"images are normalised with ImageNet's statistics ({used})"
    if recipe.input_stats != DATA:
        return f"images are normalised as input_stats says ({used})"
    if trained_with is not None:
        other = f"{{mean: [{_numbers(trained_with.mean)}], std: [{_numbers(trained_with.std)}]}}"
        return (
            f"images are normalised with this data's statistics ({used}); "
            f"those of the weights' run are input_stats: {other}"
        )
    return (
        f"images are normalised with this data's statistics ({used}); "
        f"for weights trained on ImageNet there is input_stats: {IMAGENET}"
    )


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _rounded_mean(values: tuple[float, ...]) -> float:
    return round(sum(values) / len(values), 6)  # of 0.485, 0.456 and 0.406: 0.449, without a tail of digits
