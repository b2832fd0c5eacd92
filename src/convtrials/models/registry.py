"""The models by name: how one is added, listed and built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from convtrials.core.custom import is_custom
from convtrials.core.errors import RecipeError
from convtrials.core.streams import stream_seed
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


def list_models() -> list[ModelEntry]:
    """Return the registered models, by name."""
    # Importing the modules is what registers their models.
    from convtrials.models import alexnet, vgg  # noqa: F401

    return sorted(ENTRIES.values(), key=lambda entry: entry.name)


def build_model(
    name: str,
    *,
    classes: int,
    channels: int,
    image_size: int | tuple[int, int],
    width: float = 1.0,
    dropout: float = 0.5,
    activation: str = "relu",
    batch_norm: bool = False,
    classifier_width: int | None = None,
    seed: int = 0,
) -> nn.Module:
    """Build a model with its initial weights, on the CPU, in float32, in training mode.

    PyTorch's global random generators are left as they were.

    Parameters
    ----------
    name : str
        A registered name (see `list_models`; capitals and ``_`` for ``-`` are fine), or ``module:factory``
        for a model of your own (see `convtrials.models.custom`).
    classes : int
        Number of logits.
    channels : int
        Channels of the input.
    image_size : int or (int, int)
        Side, or (height, width), in pixels. Up to 64 pixels a network has its layers for small inputs.
    width : float
        Multiplies convolution channels and hidden classifier widths, above 0 and up to 16.
    dropout : float
        Probability of dropout in the classifier, in [0, 1).
    activation : str
        One of `convtrials.models.activations.ACTIVATIONS`.
    batch_norm : bool
        Batch norm after each convolution.
    classifier_width : int, optional
        First hidden width of the classifier.
    seed : int
        Decides the initial weights, with nothing else.

    Returns
    -------
    nn.Module
        Maps images (N, channels, H, W), float, to logits (N, classes).

    Raises
    ------
    RecipeError
        If the name is unknown, a value impossible, or your own factory cannot be used.

    Examples
    --------
    >>> from convtrials.models import parameter_count
    >>> model = build_model("alexnet", classes=36, channels=1, image_size=28)
    >>> parameter_count(model)
    5351652
    """
    size = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    spec = ModelSpec(classes, channels, size, width, dropout, activation, batch_norm, classifier_width)
    if is_custom(name):
        from convtrials.models.custom import build_custom

        with _private_generators(seed):
            return build_custom(name, spec)
    entry = _find(name)
    with _private_generators(seed):
        try:
            model = entry.build(spec)
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            raise RecipeError(
                f"model: {name} with width {width:g} does not fit into memory; lower width or classifier_width"
            ) from None
    if entry.initialise is not None:
        entry.initialise(model, seed)
    else:
        from convtrials.models.initial import torch_weights

        torch_weights(model, seed)
    return model


def model_name(spelling: str) -> str:
    """Return the registered name for a spelling (``VGG11_BN``); ``module:factory`` is returned as it is.

    Raises
    ------
    RecipeError
        If there is no such model.
    """
    if is_custom(spelling):
        return spelling
    known = [entry.name for entry in list_models()]
    plain = spelling.strip().lower().replace("_", "-")
    if plain not in known:
        raise RecipeError(
            f"model: {spelling!r} does not exist; choose one of {', '.join(known)}, or module:factory of your own"
        )
    return plain


def _find(name: str) -> ModelEntry:
    return next(entry for entry in list_models() if entry.name == model_name(name))


@contextmanager
def _private_generators(seed: int) -> Iterator[None]:
    import torch

    # A GPU that nothing has used yet stays untouched: waking it takes seconds and memory.
    gpus = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(stream_seed(seed, "init"))
        if gpus:
            torch.cuda.manual_seed_all(stream_seed(seed, "init"))
        yield
