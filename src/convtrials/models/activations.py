"""The activations a recipe can name: one entry says all of one.

Each has PyTorch's default constants. Naming one changes the activation alone: initial weights and dropout
stay as they are, also for SELU, whose paper changes both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convtrials.core.custom import call, has_form, is_custom
from convtrials.core.errors import RecipeError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ActivationEntry:
    """One activation.

    Attributes
    ----------
    made_by : str
        Class in ``torch.nn``.
    paper : str
        Where it was published.
    monotone : bool
        Whether it never falls where its input rises: the largest of several outputs is then the output of the largest
        input.
    """

    made_by: str
    paper: str
    monotone: bool = False


ACTIVATIONS: dict[str, ActivationEntry] = {
    "relu": ActivationEntry(
        "ReLU",
        "Nair & Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, ICML 2010",
        monotone=True,
    ),
    "leaky_relu": ActivationEntry(
        "LeakyReLU",
        "Maas, Hannun & Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, ICML 2013",
        monotone=True,
    ),
    # Not monotone: its slope is learned and may become negative.
    "prelu": ActivationEntry(
        "PReLU", "He, Zhang, Ren & Sun, Delving Deep into Rectifiers, ICCV 2015 (one learned slope per layer)"
    ),
    "elu": ActivationEntry(
        "ELU", "Clevert, Unterthiner & Hochreiter, Exponential Linear Units, ICLR 2016", monotone=True
    ),
    "selu": ActivationEntry(
        "SELU",
        "Klambauer, Unterthiner, Mayr & Hochreiter, Self-Normalizing Neural Networks, NeurIPS 2017",
        monotone=True,
    ),
    "gelu": ActivationEntry(
        "GELU", "Hendrycks & Gimpel, Gaussian Error Linear Units, arXiv:1606.08415, 2016"
    ),
    "silu": ActivationEntry(
        "SiLU", 'Elfwing, Uchibe & Doya, Sigmoid-Weighted Linear Units, Neural Networks 107, 2018 ("swish")'
    ),
    "mish": ActivationEntry(
        "Mish", "Misra, Mish: A Self Regularized Non-Monotonic Activation Function, BMVC 2020"
    ),
    "tanh": ActivationEntry("Tanh", "LeCun, Bottou, Orr & Müller, Efficient BackProp, 1998", monotone=True),
    "sigmoid": ActivationEntry(
        "Sigmoid",
        "Rumelhart, Hinton & Williams, Learning Representations by Back-Propagating Errors, Nature 1986",
        monotone=True,
    ),
}


def activation_name(spelling: str) -> str:
    """Return the recipe's name for an activation, however it is spelt; ``module:Name`` of your own as it is.

    Parameters
    ----------
    spelling : str
        Such as ``"leaky_relu"``, ``"leaky-relu"`` or ``"LeakyReLU"``.

    Returns
    -------
    str
        One of `ACTIVATIONS`, or ``module:Name``.

    Raises
    ------
    RecipeError
        If there is no such activation.

    Examples
    --------
    >>> activation_name("LeakyReLU")
    'leaky_relu'
    """
    if has_form(str(spelling)):
        return spelling
    plain = re.sub(r"[\s_-]", "", str(spelling)).lower()
    for name in ACTIVATIONS:
        if name.replace("_", "") == plain:
            return name
    raise RecipeError(
        f"activation: {spelling!r} does not exist; choose one of {', '.join(ACTIVATIONS)}, or module:Name of your own"
    )


def is_monotone(name: str) -> bool:
    """Whether an activation is known never to fall where its input rises."""
    return name in ACTIVATIONS and ACTIVATIONS[name].monotone


def make_activation(name: str) -> nn.Module:
    """Return a new activation module.

    ReLU works in place, which saves a copy of the largest maps: it follows a convolution, a batch norm or a
    linear layer, and none of these needs its output for its gradient.

    Raises
    ------
    RecipeError
        If there is no such activation, or your own cannot be made.
    """
    from torch import nn

    name = activation_name(name)
    if is_custom(name):
        made = call("activation", name, "")
        if not isinstance(made, nn.Module):
            raise RecipeError(f"activation: {name} returned a {type(made).__name__}, not a torch.nn.Module")
        return made
    if name == "relu":
        return nn.ReLU(inplace=True)
    module: nn.Module = getattr(nn, ACTIVATIONS[name].made_by)()
    return module
