"""Models of your own: ``module:factory`` in a recipe names a function or class that returns an ``nn.Module``.

The factory is called with those of ``classes, channels, image_size, width, dropout, activation, batch_norm,
classifier_width`` that its signature has. The module is looked for in the current directory too.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convtrials.core.errors import RecipeError
from convtrials.models.spec import ModelSpec

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
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
        If the module or factory is missing, wants arguments that nobody has, ignores a knob that the recipe
        sets, returns something else, or its model does not map images to logits.
    """
    if not _NAME.fullmatch(name):
        raise RecipeError(f"model: {name!r} is not of the form module:factory, such as my_networks:SmallNet")
    with _current_directory_first():
        factory = _find_factory(name)
        arguments = _arguments(name, factory, spec)
        try:
            model = factory(**arguments)
        except Exception as error:
            raise RecipeError(f"model: {name} failed: {_one_line(error)}") from error
        if not isinstance(model, nn.Module):
            raise RecipeError(f"model: {name} returned a {type(model).__name__}, not a torch.nn.Module")
        _try_out(name, model, spec)
    return model.train()


def factory_source(name: str) -> Path | None:
    """Return the file that ``module:factory`` is written in; None where it has none (a C extension)."""
    with _current_directory_first():
        try:
            found = inspect.getsourcefile(_find_factory(name))
        except TypeError:
            return None
    return Path(found) if found else None


@contextmanager
def _current_directory_first() -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


def _find_factory(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise RecipeError(
                f"model: there is no module {module_name!r} in the current directory or on the Python path"
            ) from None
        raise RecipeError(f"model: module {module_name!r} cannot be imported: {_one_line(error)}") from error
    except Exception as error:
        raise RecipeError(f"model: module {module_name!r} cannot be imported: {_one_line(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise RecipeError(f"model: module {module_name!r} has no {attribute!r}")
        found = getattr(found, part)
    if not callable(found):
        raise RecipeError(f"model: {name} is neither a function nor a class")
    factory: Callable[..., Any] = found
    return factory


def _arguments(name: str, factory: Callable[..., Any], spec: ModelSpec) -> dict[str, Any]:
    offered = {field.name: getattr(spec, field.name) for field in fields(spec)}
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError as error:
        raise RecipeError(f"model: {name} does not say which arguments it takes") from error
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    by_keyword = {
        key
        for key, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    for key, parameter in parameters.items():
        optional = parameter.default is not parameter.empty
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if not optional and not variadic and (key not in by_keyword or key not in offered):
            raise RecipeError(
                f"model: {name} needs an argument {key!r}; by keyword it can have {', '.join(offered)}"
            )
    taken = {key: value for key, value in offered.items() if takes_all or key in by_keyword}
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
        raise RecipeError(f"model: {name} cannot read images of {shape}: {_one_line(error)}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, spec.classes):
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise RecipeError(f"model: {name} gives {got} for two images; needed: logits of (2, {spec.classes})")


def _one_line(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:200]}"
