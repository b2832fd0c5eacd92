"""How much each training image counts: the weight of its class in the recipe, times its own in the dataset."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convtrials.core.errors import RecipeError, RunError
from convtrials.core.log import get_logger
from convtrials.data.augmentation.config import AugmentConfig
from convtrials.data.augmentation.pipeline import AugmentedBatch, augmented
from convtrials.data.batches import Batches, image_weights
from convtrials.data.dataset import Dataset
from convtrials.data.imbalance import IMBALANCED_FROM, TO_TRY, class_imbalance
from convtrials.training.engine.loss import takes_weights
from convtrials.training.engine.loss_weights import LossWeights
from convtrials.training.recipe.class_weights import BALANCED
from convtrials.training.recipe.recipe import Recipe

_log = get_logger(__name__)

#: Names in one line of a log.
_NAMES = 5


@dataclass(frozen=True, eq=False)
class Weighting:
    """How much the images of a training split count in the loss.

    Attributes
    ----------
    labels : Tensor of int64, shape (n,)
        The class of each image, on the device of training, as the others.
    classes : Tensor of float32, shape (K,), or None
        The weight of each class; None where the recipe gives none.
    images : Tensor of float32, shape (n,), or None
        The weight of each image; None where the dataset gives none.
    """

    labels: Tensor
    classes: Tensor | None
    images: Tensor | None

    @classmethod
    def of(cls, recipe: Recipe, train: Batches) -> "Weighting | None":
        """Return the weighting of a recipe on a training split; None where all images count alike."""
        if recipe.class_weights is None and train.image_weights is None:
            return None
        classes = None
        if recipe.class_weights is not None:
            values = class_weights(recipe.class_weights, train.labels.numpy(), train.class_names)
            classes = torch.from_numpy(values.astype(np.float32)).to(train.device)
        images = None if train.image_weights is None else train.image_weights.to(train.device)
        return cls(train.labels.to(train.device), classes, images)

    def of_group(self, places: Tensor, mixed: Tensor | None = None, share: float = 1.0) -> LossWeights:
        """Weigh the images of an optimizer step, so that the sum of weighted losses over B is their weighted mean.

        Parameters
        ----------
        places : Tensor of int64, shape (B,)
            Which images of the split.
        mixed : Tensor of int64, shape (B,), optional
            Which images mixup laid over them.
        share : float
            Weight of the first against those, 0 to 1.

        Returns
        -------
        LossWeights, of shapes (B,)
            All 0 where all images of the step have the weight 0.
        """
        own, total = self._of_images(places)
        others = None
        if mixed is not None:
            others, others_total = self._of_images(mixed)
            total = share * total + (1 - share) * others_total
        whole = total.sum()
        scale = torch.where(whole > 0, len(places) / whole, 0.0)
        return LossWeights(
            self.classes,
            (own * scale).float(),
            None if others is None else (others * scale).float(),
        )

    def _of_images(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images' own weights and, times those of their classes, their whole ones; float64."""
        shape = places.shape
        own = torch.ones(shape, dtype=torch.float64, device=places.device)
        if self.images is not None:
            own = self.images[places].double()
        if self.classes is None:
            return own, own
        return own, own * self.classes[self.labels[places]].double()


def augmented_group(
    images: Tensor,
    labels: Tensor,
    where: NDArray[np.int64],
    augment: AugmentConfig,
    seed: int,
    step: int,
    weighting: Weighting | None,
) -> tuple[AugmentedBatch, LossWeights | None]:
    """Augment the images of a step, and weigh them.

    Parameters
    ----------
    images, labels : Tensor
        As for `convtrials.data.augmentation.pipeline.augmented`.
    where : ndarray of int64, shape (B,)
        Which images of the training split they are.

    Returns
    -------
    AugmentedBatch
    LossWeights or None
        None without a weighting.
    """
    if weighting is None:
        return augmented(images, labels, augment, seed, step), None
    # Places go the way of labels, so that it is known which images mixup laid over which.
    places = torch.from_numpy(np.ascontiguousarray(where)).to(images.device)
    group = augmented(images, places, augment, seed, step)
    mixed = group.mixed_labels
    weights = weighting.of_group(places, mixed, group.lam)
    mixed_labels = None if mixed is None else weighting.labels[mixed]
    return replace(group, labels=labels, mixed_labels=mixed_labels), weights


def class_weights(
    wanted: str | dict[str, float], labels: NDArray[np.int64], class_names: Sequence[str]
) -> NDArray[np.float64]:
    """Return the weight of each class.

    Parameters
    ----------
    wanted : "balanced" or dict
        A recipe's. ``"balanced"`` is N / (K n_c), of N training images and n_c of class c, with K classes that have
        any (King and Zeng 2001; scikit-learn's ``compute_class_weight``): all classes together then weigh alike.
        A class without a training image, or not named in a mapping, weighs 1.
    labels : ndarray of int64, shape (N,)
        Of the training split.

    Returns
    -------
    ndarray of float64, shape (K,)

    Raises
    ------
    RecipeError
        A name is not one of the classes.
    """
    if wanted == BALANCED:
        counts = np.bincount(labels, minlength=len(class_names))
        there = counts > 0
        return np.where(there, len(labels) / (there.sum() * np.maximum(counts, 1)), 1.0)
    assert isinstance(wanted, dict)
    for name in wanted:
        if name not in class_names:
            near = difflib.get_close_matches(name, class_names, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise RecipeError(
                f"class_weights: there is no class {name!r}; {guess}classes: {_some(class_names)}"
            )
    return np.array([wanted.get(name, 1.0) for name in class_names])


def check_weighting(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse weights that do not fit the dataset or the loss, before anything is written.

    Raises
    ------
    RecipeError, DataError, RunError
    """
    if recipe.class_weights is not None:
        class_weights(recipe.class_weights, _training_labels(dataset), dataset.class_names)
    if image_weights(dataset) is not None and not takes_weights(recipe.loss.name):
        raise RunError(f"dataset {dataset.name}: has weights, and the loss {recipe.loss.name} takes none")


def log_weighting(recipe: Recipe, dataset: Dataset) -> None:
    """Log how images are weighted and drawn, or what can be tried where classes differ widely and nothing is done."""
    for line in (*weighting_lines(recipe, dataset), image_weights_line(dataset)):
        if line:
            _log.info(line)
    hint = None if favours_small_classes(recipe) else imbalance_line(dataset)
    if hint:
        _log.info(hint)


def weighting_lines(recipe: Recipe, dataset: Dataset) -> list[str]:
    """Say in a line each how a recipe weighs and draws images; nothing where it does neither."""
    lines, labels, names = [], _training_labels(dataset), dataset.class_names
    if recipe.class_weights is not None:
        values = class_weights(recipe.class_weights, labels, names)
        low, high = int(values.argmin()), int(values.argmax())
        said = f"from {values[low]:.3g} ({names[low]}) to {values[high]:.3g} ({names[high]})"
        lines.append(f"class_weights: {said if values[low] < values[high] else 'all classes weigh alike'}")
        if isinstance(recipe.class_weights, dict):
            left_out = [name for name in names if name not in recipe.class_weights]
            if left_out:
                lines.append(f"class_weights: not named, so with weight 1: {_some(left_out)}")
    if recipe.sampler is not None:
        classes = len(np.unique(labels))
        lines.append(
            f"sampler: balanced: about {len(labels) / classes:,.4g} images of each of {classes} classes an epoch"
        )
        if recipe.class_weights is not None:
            lines.append("class_weights and sampler both favour small classes: together they do so twice")
    return lines


def image_weights_line(dataset: Dataset) -> str | None:
    """Say that images have weights of their own; None where all count alike."""
    own = image_weights(dataset)
    if own is None:
        return None
    return f"weights of the dataset's images count in training: from {own.min().item():.3g} to {own.max().item():.3g}"


def imbalance_line(dataset: Dataset) -> str | None:
    """Say that classes of the training split differ widely, and what can be tried; None where they do not."""
    counts = np.bincount(_training_labels(dataset), minlength=len(dataset.class_names))
    found = class_imbalance(counts, dataset.class_names)
    if found is None or found.ratio <= IMBALANCED_FROM:
        return None
    return f"training data: {found.text}; read macro F1 as well as accuracy; {TO_TRY}"


def favours_small_classes(recipe: Recipe) -> bool:
    """Whether a recipe does something about unbalanced classes."""
    return recipe.class_weights is not None or recipe.sampler is not None or recipe.loss.name == "focal"


def _training_labels(dataset: Dataset) -> NDArray[np.int64]:
    return dataset.labels[dataset.indices("train")].astype(np.int64)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
