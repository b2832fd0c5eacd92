"""The losses by name, and the loss of a micro-batch, mixed images included. Importing this imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from convtrials.core.custom import call, checked_name, find, is_custom, parameters_of, takes
from convtrials.core.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

    from convtrials.training.recipe.recipe import Recipe


def cross_entropy(logits: "Tensor", labels: "Tensor", smoothing: float = 0.0) -> "Tensor":
    """Sum the cross-entropy over images; with `smoothing`, a share of the target lies evenly on all classes."""
    from torch.nn import functional

    return functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)


@dataclass(frozen=True)
class LossEntry:
    """One loss.

    Attributes
    ----------
    summary : str
        What it is, and its paper.
    summed : callable
        ``(logits, labels) -> Tensor``: the sum over the images of a micro-batch.
    smooths : bool
        Whether it takes the recipe's ``label_smoothing`` as a third argument.
    """

    summary: str
    summed: "Callable[..., Tensor]"
    smooths: bool = False


LOSSES: dict[str, LossEntry] = {
    "cross_entropy": LossEntry(
        "cross-entropy, with label_smoothing (Szegedy et al., arXiv 1512.00567) where the recipe has it",
        cross_entropy,
        smooths=True,
    ),
}


class LossConfig(BaseModel):
    """The loss of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "cross_entropy", description=f"one of {', '.join(LOSSES)}, or your own as module:name", max_length=200
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="arguments of your own loss, by name"
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return checked_name(value, list(LOSSES), "my_losses:focal")

    @model_validator(mode="after")
    def _fitting(self) -> "LossConfig":
        if self.options and not is_custom(self.name):
            raise ValueError(f"{self.name} has no options")
        if "label_smoothing" in self.options:
            raise ValueError("options: label_smoothing is a key of the recipe itself")
        return self


def loss_sum(
    recipe: "Recipe", logits: "Tensor", labels: "Tensor", mixed: "Tensor | None" = None, share: float = 1.0
) -> "Tensor":
    """Sum the recipe's loss over a micro-batch; the caller divides by the size of the whole group.

    Parameters
    ----------
    logits : Tensor, shape (B, K)
    labels : Tensor of int64, shape (B,)
    mixed : Tensor of int64, shape (B,), optional
        Labels of the images that mixup laid over these (Zhang et al., arXiv 1710.09412).
    share : float
        Weight of `labels` against `mixed`, 0 to 1.

    Returns
    -------
    Tensor
        A scalar; cross-entropy in nats.

    Raises
    ------
    RecipeError
        Your own loss fails or returns something else than a loss for each image.
    """
    if is_custom(recipe.loss.name):
        return _mixed(lambda wanted: _custom_sum(logits, wanted, recipe), labels, mixed, share)
    entry = LOSSES[recipe.loss.name]
    more = (recipe.label_smoothing,) if entry.smooths else ()
    return _mixed(lambda wanted: entry.summed(logits, wanted, *more), labels, mixed, share)


def cross_entropy_sum(
    logits: "Tensor",
    labels: "Tensor",
    mixed: "Tensor | None" = None,
    share: float = 1.0,
    smoothing: float = 0.0,
) -> "Tensor":
    """Sum the cross-entropy over a micro-batch, as `loss_sum` does for a recipe with `smoothing`."""
    return _mixed(lambda wanted: cross_entropy(logits, wanted, smoothing), labels, mixed, share)


def _mixed(
    loss: "Callable[[Tensor], Tensor]", labels: "Tensor", mixed: "Tensor | None", share: float
) -> "Tensor":
    import torch

    if mixed is None:
        return loss(labels)
    own = loss(labels)
    return torch.lerp(loss(mixed), own, share)


def _custom_sum(logits: "Tensor", labels: "Tensor", recipe: "Recipe") -> "Tensor":
    """Sum what your own loss says of each image; a loss for each image can be checked, a sum or mean cannot."""
    from torch import Tensor

    name = recipe.loss.name
    losses = call("loss", name, "logits, labels", logits, labels, **_arguments(recipe))
    if not isinstance(losses, Tensor) or losses.shape != labels.shape:
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        count = len(labels)
        raise RecipeError(f"loss: {name} gives {got} for {count} images; needed: one loss each, ({count},)")
    return losses.sum()


def _arguments(recipe: "Recipe") -> dict[str, Any]:
    options: dict[str, Any] = dict(recipe.loss.options)
    name = recipe.loss.name
    if takes(parameters_of("loss", name, find("loss", name)), "label_smoothing"):
        return {**options, "label_smoothing": recipe.label_smoothing}
    if recipe.label_smoothing:
        raise RecipeError(
            f"label_smoothing: {recipe.label_smoothing:g} has no effect, as {name} takes no 'label_smoothing'"
        )
    return options
