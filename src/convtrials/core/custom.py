"""Your own parts of a recipe: ``module:Name`` names a function or class, looked for in the current directory too.

A recipe holds the name alone. The module is imported when the part is used, so reading a recipe runs no code.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convtrials.core.errors import RecipeError

_FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_custom(name: str) -> bool:
    """Whether a name is meant as ``module:Name``; all others are names that convtrials knows."""
    return ":" in name


def has_form(name: str) -> bool:
    """Whether a name is of the form ``module:Name``; both parts may be dotted."""
    return _FORM.fullmatch(name) is not None


def checked_name(name: str, known: "list[str] | tuple[str, ...]", example: str) -> str:
    """Return the name of a part if it is a known one or of the form ``module:Name``.

    Raises
    ------
    ValueError
        With what is allowed, for pydantic to put the key in front.
    """
    if name in known or has_form(name):
        return name
    if is_custom(name):
        raise ValueError(f"is not of the form module:Name, such as {example}")
    *names, last = (repr(one) for one in known)
    either = f"{', '.join(names)} or {last}" if names else last
    raise ValueError(f"must be {either}, or module:Name of your own")


def find(key: str, name: str) -> Callable[..., Any]:
    """Import what ``module:Name`` names.

    Parameters
    ----------
    key : str
        The recipe's key, for messages.
    name : str
        Of the form ``module:Name``.

    Raises
    ------
    RecipeError
        There is no such module or name in it, its import fails, or it cannot be called.
    """
    module_name, _, attribute = name.partition(":")
    with current_directory_first():
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
                raise RecipeError(
                    f"{key}: there is no module {module_name!r} in the current directory or on the Python path"
                ) from None
            raise RecipeError(
                f"{key}: module {module_name!r} cannot be imported: {one_line(error)}"
            ) from error
        except (Exception, SystemExit) as error:  # SystemExit: a script, which ends itself
            raise RecipeError(
                f"{key}: module {module_name!r} cannot be imported: {one_line(error)}"
            ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise RecipeError(f"{key}: module {module_name!r} has no {attribute!r}")
        found = getattr(found, part)
    if not callable(found):
        raise RecipeError(f"{key}: {name} is neither a function nor a class")
    function: Callable[..., Any] = found
    return function


def source_of(key: str, name: str) -> Path | None:
    """Return the file that ``module:Name`` is written in; None where it has none (a C extension).

    Of a decorated function it is the function's own file, not the decorator's; of an object without code of its own,
    such as a `functools.partial`, the module's.
    """
    part = inspect.unwrap(find(key, name))
    with current_directory_first():
        for one in (part, sys.modules[name.partition(":")[0]]):
            try:
                found = inspect.getsourcefile(one)
            except (TypeError, OSError):  # OSError: a class that was typed into a session
                continue
            return Path(found) if found else None
    return None


def parameters_of(key: str, name: str, function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function or class.

    Raises
    ------
    RecipeError
        It does not say which it takes.
    """
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{key}: {name} does not say which arguments it takes") from error


def takes(parameters: dict[str, inspect.Parameter], argument: str) -> bool:
    """Whether a function with these parameters takes an argument by keyword."""
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if argument in parameters and parameters[argument].kind in by_keyword:
        return True
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def call(key: str, name: str, taking: str, /, *arguments: Any, **options: Any) -> Any:
    """Call what ``module:Name`` names; every failure becomes one line.

    Parameters
    ----------
    key, name
        As in `find`.
    taking : str
        Names of the arguments that come by place, for the message: ``"images, generator"``.
    arguments, options
        What it is called with, by place and by name.

    Raises
    ------
    RecipeError
        It does not take these arguments, or it fails.
    """
    function = find(key, name)
    parameters = parameters_of(key, name, function).values()
    try:
        inspect.Signature(list(parameters)).bind(*arguments, **options)
    except TypeError as error:
        needed = ", ".join([taking] * bool(taking) + [f"{option}=..." for option in options])
        raise RecipeError(f"{key}: {name} cannot be called as ({needed}): {error}") from None
    with current_directory_first():
        try:
            return function(*arguments, **options)
        except Exception as error:
            raise RecipeError(f"{key}: {name} failed: {one_line(error)}") from error


@contextmanager
def current_directory_first() -> Iterator[None]:
    """Look for modules in the current directory before all others."""
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


def one_line(error: BaseException) -> str:
    """Return the type and the message of an error in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:200]}"
