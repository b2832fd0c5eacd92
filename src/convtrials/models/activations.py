"""The activations a recipe can name.

========== ===============================================================================================
relu       Nair & Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, ICML 2010
leaky_relu Maas, Hannun & Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, ICML 2013
prelu      He, Zhang, Ren & Sun, Delving Deep into Rectifiers, ICCV 2015 (one learned slope a layer)
elu        Clevert, Unterthiner & Hochreiter, Exponential Linear Units, ICLR 2016
selu       Klambauer, Unterthiner, Mayr & Hochreiter, Self-Normalizing Neural Networks, NeurIPS 2017
gelu       Hendrycks & Gimpel, Gaussian Error Linear Units, arXiv:1606.08415, 2016
silu       Elfwing, Uchibe & Doya, Sigmoid-Weighted Linear Units, Neural Networks 107, 2018 ("swish")
mish       Misra, Mish: A Self Regularized Non-Monotonic Activation Function, BMVC 2020
tanh       LeCun, Bottou, Orr & Müller, Efficient BackProp, 1998
sigmoid    Rumelhart, Hinton & Williams, Learning Representations by Back-Propagating Errors, Nature 1986
========== ===============================================================================================

Each has PyTorch's default constants. Naming one changes the activation alone: initial weights and dropout
stay as they are, also for SELU, whose paper changes both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convtrials.core.errors import RecipeError

if TYPE_CHECKING:
    from torch import nn

#: Recipe name -> class in ``torch.nn``.
_CLASSES = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "mish": "Mish",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}

#: The names that recipes use.
ACTIVATIONS = tuple(_CLASSES)

#: These never fall where their input rises, so the largest of several outputs is the output of the largest input.
#: (PReLU is not among them: its slope is learned and may become negative.)
MONOTONE = ("relu", "leaky_relu", "elu", "selu", "tanh", "sigmoid")

_BY_SPELLING = {name.replace("_", ""): name for name in ACTIVATIONS}


def activation_name(spelling: str) -> str:
    """Return the recipe's name for an activation, however it is spelt.

    Parameters
    ----------
    spelling : str
        Such as ``"leaky_relu"``, ``"leaky-relu"`` or ``"LeakyReLU"``.

    Returns
    -------
    str
        One of `ACTIVATIONS`.

    Raises
    ------
    RecipeError
        If there is no such activation.

    Examples
    --------
    >>> activation_name("LeakyReLU")
    'leaky_relu'
    """
    plain = re.sub(r"[\s_-]", "", str(spelling)).lower()
    if plain not in _BY_SPELLING:
        raise RecipeError(f"activation: {spelling!r} does not exist; choose one of {', '.join(ACTIVATIONS)}")
    return _BY_SPELLING[plain]


def make_activation(name: str) -> nn.Module:
    """Return a new activation module.

    ReLU works in place, which saves a copy of the largest maps: it follows a convolution, a batch norm or a
    linear layer, and none of these needs its output for its gradient.

    Raises
    ------
    RecipeError
        If there is no such activation.
    """
    from torch import nn

    name = activation_name(name)
    if name == "relu":
        return nn.ReLU(inplace=True)
    module: nn.Module = getattr(nn, _CLASSES[name])()
    return module
