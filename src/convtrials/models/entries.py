"""What a model's entry in the registry is, and the decorator that makes one.

Networks import this; `convtrials.models.registry` imports the networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from convtrials.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    Builder = Callable[[ModelSpec], nn.Module]
    Initialise = Callable[[nn.Module, int], None]

#: Every model that has been registered, by name.
ENTRIES: dict[str, ModelEntry] = {}


@dataclass(frozen=True)
class ModelEntry:
    """A model that recipes can name.

    Attributes
    ----------
    name : str
        The recipe's name for it.
    summary : str
        One line for lists.
    paper : str
        Where it was published.
    build : callable
        ``(ModelSpec) -> nn.Module``.
    initialise : callable or None
        ``(nn.Module, seed) -> None``; None for `convtrials.models.initial.torch_weights`.
    """

    name: str
    summary: str
    paper: str
    build: Builder
    initialise: Initialise | None = None

    @cached_property
    def parameters(self) -> int:
        """Parameters at ImageNet size: 1000 classes, RGB, 224x224. Counted without making a tensor."""
        import torch

        with torch.device("meta"):
            return parameter_count(self.build(ModelSpec(classes=1000, channels=3, image_size=(224, 224))))


def register_model(
    name: str, *, summary: str, paper: str, initialise: Initialise | None = None
) -> Callable[[Builder], Builder]:
    """Register the decorated builder under a name that recipes can use.

    Parameters
    ----------
    name : str
        Lower case, words joined by ``-``.
    summary : str
        One line for lists.
    paper : str
        Where the model was published.
    initialise : callable, optional
        ``(nn.Module, seed) -> None`` draws the initial weights; PyTorch's default scheme if absent.

    Raises
    ------
    ValueError
        If the name is taken.

    Examples
    --------
    >>> from torch import nn
    >>> @register_model("softmax-regression", summary="one linear layer", paper="Cox 1958")
    ... def softmax_regression(spec):
    ...     height, width = spec.image_size
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * height * width, spec.classes))
    """

    def register(build: Builder) -> Builder:
        if name in ENTRIES:
            raise ValueError(f"a model named {name!r} is registered already")
        ENTRIES[name] = ModelEntry(name, summary, paper, build, initialise)
        return build

    return register


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable and frozen parameters, buffers not counted."""
    return sum(parameter.numel() for parameter in model.parameters())
