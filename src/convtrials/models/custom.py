"""Models of your own: ``module:factory`` in a recipe names a function or class that returns an ``nn.Module``.

The factory is called with those of ``classes, channels, image_size, width, dropout, activation, batch_norm,
classifier_width`` that its signature has. The module is looked for in the current directory too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from convtrials.core.custom import current_directory_first, find, has_form, one_line, parameters_of, takes
from convtrials.core.errors import RecipeError
from convtrials.models.spec import ModelSpec

_SIZES = ("classes", "channels", "image_size")


def build_custom(name: str, spec: ModelSpec) -> nn.Module:
    """Build a user's model and see that two images give logits of the right shape.

    The trial pass also settles layers that learn their sizes from the first input, such as ``nn.LazyLinear``.

    Parameters
    ----------
    name : str
        ``module:factory``.
    spec : ModelSpec
        ``image_size`` reaches the factory as (height, width).

    Returns
    -------
    nn.Module
        In training mode.

    Raises
    ------
    RecipeError
        If the module or factory is missing, wants arguments that cannot be given, ignores a knob that the recipe
        sets, returns something else, or its model does not map images to logits.
    """
    if not has_form(name):
        raise RecipeError(f"model: {name!r} is not of the form module:factory, such as my_networks:SmallNet")
    with current_directory_first():
        factory = find("model", name)
        arguments = _arguments(name, factory, spec)
        try:
            model = factory(**arguments)
        except Exception as error:
            raise RecipeError(f"model: {name} failed: {one_line(error)}") from error
        if not isinstance(model, nn.Module):
            raise RecipeError(f"model: {name} returned a {type(model).__name__}, not a torch.nn.Module")
        _try_out(name, model, spec)
    return model.train()


def _arguments(name: str, factory: Callable[..., Any], spec: ModelSpec) -> dict[str, Any]:
    offered = {field.name: getattr(spec, field.name) for field in fields(spec)}
    parameters = parameters_of("model", name, factory)
    for key, parameter in parameters.items():
        optional = parameter.default is not parameter.empty
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if not optional and not variadic and (key not in offered or not takes({key: parameter}, key)):
            raise RecipeError(
                f"model: {name} needs an argument {key!r}; by keyword it can have {', '.join(offered)}"
            )
    taken = {key: value for key, value in offered.items() if takes(parameters, key)}
    _refuse_lost_knobs(name, spec, set(taken))
    return taken


def _refuse_lost_knobs(name: str, spec: ModelSpec, taken: set[str]) -> None:
    # A knob that goes nowhere would make a trial of two equal networks.
    for field in fields(spec):
        value = getattr(spec, field.name)
        if field.name not in _SIZES and field.name not in taken and value != field.default:
            raise RecipeError(f"{field.name}: {value!r} has no effect, as {name} takes no {field.name!r}")


def _try_out(name: str, model: nn.Module, spec: ModelSpec) -> None:
    model.eval()
    try:
        with torch.no_grad():
            logits = model(torch.zeros(2, spec.channels, *spec.image_size))
    except Exception as error:
        shape = f"{spec.channels}x{spec.image_size[0]}x{spec.image_size[1]}"
        raise RecipeError(f"model: {name} cannot read images of {shape}: {one_line(error)}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, spec.classes):
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise RecipeError(f"model: {name} gives {got} for two images; needed: logits of (2, {spec.classes})")
