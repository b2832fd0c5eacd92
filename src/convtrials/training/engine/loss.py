"""The losses by name, and the loss of a micro-batch, mixed images included. Importing this imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from convtrials.core.custom import call, checked_name, find, is_custom, parameters_of, takes
from convtrials.core.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

    from convtrials.training.engine.loss_weights import LossWeights
    from convtrials.training.recipe.recipe import Recipe

#: Focal loss without a gamma: the paper's best.
USUAL_GAMMA = 2.0


def cross_entropy(logits: "Tensor", labels: "Tensor", smoothing: float = 0.0) -> "Tensor":
    """Sum the cross-entropy over images; with `smoothing`, a share of the target lies evenly on all classes."""
    from torch.nn import functional

    return functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)


def cross_entropies(logits: "Tensor", labels: "Tensor", smoothing: float = 0.0) -> "Tensor":
    """Return the cross-entropy of each image, shape (B,)."""
    from torch.nn import functional

    return functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)


def focal(logits: "Tensor", labels: "Tensor", smoothing: float = 0.0, gamma: float = USUAL_GAMMA) -> "Tensor":
    """Sum the focal loss over images."""
    return focal_losses(logits, labels, smoothing, gamma).sum()


def focal_losses(
    logits: "Tensor",
    labels: "Tensor",
    smoothing: float = 0.0,
    gamma: float = USUAL_GAMMA,
) -> "Tensor":
    """Return the focal loss of each image (Lin et al., arXiv 1708.02002): ``-(1 - p)^gamma log p``.

    Of a target that lies on several classes it is the sum over them, each by its share: as cross-entropy, which it is
    with `gamma` 0.

    Returns
    -------
    Tensor, shape (B,)
    """
    import torch

    log_p = torch.log_softmax(logits, dim=1)
    # Never 0, where a power below 1 has no slope; 1 - p loses all digits of a p near 1, expm1 none.
    missing = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
    losses = -(missing**gamma) * log_p
    own = losses.gather(1, labels.unsqueeze(1)).squeeze(1)
    if not smoothing:
        return own
    return (1 - smoothing) * own + smoothing * losses.mean(dim=1)


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
        Whether it takes the recipe's ``label_smoothing`` as the next argument.
    each : callable, optional
        ``(logits, labels) -> Tensor``: the loss of each image. A loss without it takes no weights.
    options : tuple of str
        Keys of `LossConfig` that both take by name.
    """

    summary: str
    summed: "Callable[..., Tensor]"
    smooths: bool = False
    each: "Callable[..., Tensor] | None" = None
    options: tuple[str, ...] = ()


LOSSES: dict[str, LossEntry] = {
    "cross_entropy": LossEntry(
        "cross-entropy, with label_smoothing (Szegedy et al., arXiv 1512.00567) where the recipe has it",
        cross_entropy,
        smooths=True,
        each=cross_entropies,
    ),
    "focal": LossEntry(
        "cross-entropy in which images that are right already count less, the more so the larger gamma, 2 by default "
        "(Lin et al., arXiv 1708.02002); class_weights are its alpha",
        focal,
        smooths=True,
        each=focal_losses,
        options=("gamma",),
    ),
}


class LossConfig(BaseModel):
    """The loss of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "cross_entropy", description=f"one of {', '.join(LOSSES)}, or your own as module:name", max_length=200
    )
    gamma: float | None = Field(
        None, ge=0, le=100, description="of focal loss", exclude_if=lambda value: value is None
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="arguments of your own loss, by name"
    )

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if isinstance(values.get("gamma"), bool):
            raise ValueError("gamma must be a number")
        if values.get("name") == "focal" and values.get("gamma") is None:
            return {**values, "gamma": USUAL_GAMMA}
        return values

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return checked_name(value, list(LOSSES), "my_losses:focal")

    @model_validator(mode="after")
    def _fitting(self) -> "LossConfig":
        if self.options and not is_custom(self.name):
            raise ValueError(f"{self.name} has no options")
        if self.gamma is not None and (is_custom(self.name) or "gamma" not in LOSSES[self.name].options):
            where = "; an argument of your own loss stands under options" if is_custom(self.name) else ""
            raise ValueError(f"{self.name} has no gamma{where}")
        if "label_smoothing" in self.options:
            raise ValueError("options: label_smoothing is a key of the recipe itself")
        return self


def takes_weights(name: str) -> bool:
    """Whether a loss can be weighted: your own, which gives one loss for each image, always."""
    return is_custom(name) or LOSSES[name].each is not None


def loss_sum(
    recipe: "Recipe",
    logits: "Tensor",
    labels: "Tensor",
    mixed: "Tensor | None" = None,
    share: float = 1.0,
    weights: "LossWeights | None" = None,
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
    weights : LossWeights, optional
        Of these images, and of those laid over them.

    Returns
    -------
    Tensor
        A scalar; cross-entropy in nats.

    Raises
    ------
    RecipeError
        Your own loss fails or returns something else than a loss for each image.
    """
    import torch

    own = _sum(recipe, logits, labels, None if weights is None else (weights.classes, weights.own))
    if mixed is None:
        return own
    other = None if weights is None or weights.mixed is None else (weights.classes, weights.mixed)
    return torch.lerp(_sum(recipe, logits, mixed, other), own, share)


def _sum(
    recipe: "Recipe",
    logits: "Tensor",
    labels: "Tensor",
    weights: "tuple[Tensor | None, Tensor] | None",
) -> "Tensor":
    """Sum over images of one label each; `weights` are those of classes, and of these images."""
    classes, own = (None, None) if weights is None else weights
    if classes is not None:
        classes = classes.to(logits.dtype)
    if is_custom(recipe.loss.name):
        losses = _custom_losses(logits, labels, recipe, classes)
        return losses.sum() if own is None else (losses * own).sum()
    entry = LOSSES[recipe.loss.name]
    more = (recipe.label_smoothing,) if entry.smooths else ()
    options = {name: getattr(recipe.loss, name) for name in entry.options}
    if own is None:
        return entry.summed(logits, labels, *more, **options)
    assert entry.each is not None  # recipe and dataset were checked
    losses = entry.each(logits, labels, *more, **options)
    # The weight is the image's own, of the class that it is of. torch's cross_entropy(weight=) would weigh the classes
    # that label smoothing spreads the target over, too: with one class 50 times rarer, every image is pulled to it.
    return (losses * own if classes is None else losses * own * classes[labels]).sum()


def _custom_losses(
    logits: "Tensor", labels: "Tensor", recipe: "Recipe", classes: "Tensor | None"
) -> "Tensor":
    """Return what your own loss says of each image: that can be checked and weighted, a sum or mean cannot.

    Weights of classes are its own affair if it takes ``class_weights``; else each image's loss is multiplied with its
    class's.
    """
    from torch import Tensor

    name, arguments = recipe.loss.name, _arguments(recipe)
    weighs = classes is not None and "class_weights" in parameters_of("loss", name, find("loss", name))
    if weighs:
        arguments["class_weights"] = classes
    losses = call("loss", name, "logits, labels", logits, labels, **arguments)
    if not isinstance(losses, Tensor) or losses.shape != labels.shape:
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        count = len(labels)
        raise RecipeError(f"loss: {name} gives {got} for {count} images; needed: one loss each, ({count},)")
    return losses if classes is None or weighs else losses * classes[labels]


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
