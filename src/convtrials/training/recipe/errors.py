"""Turn pydantic's findings into one line a key: the key, the value, what is allowed."""

import difflib
import typing
from types import UnionType
from typing import Any

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """Show the user what is wrong.

    Parameters
    ----------
    error : ValidationError
        As pydantic raised it.
    model : type
        The model that was being validated; unknown keys are answered with its keys.
    where : str
        The file or flag that the values came from.

    Returns
    -------
    str
        At most three lines, such as ``base.yaml: optimizer.lr = -1: must be greater than 0``.
    """
    lines = [f"{where}: {_line(finding, model)}" for finding in error.errors(include_url=False)]
    if len(lines) > 3:
        lines = [*lines[:2], f"{where}: and {len(lines) - 2} more such errors"]
    return "\n".join(lines)


def _line(finding: Any, model: type[BaseModel]) -> str:
    path = [str(part) for part in finding["loc"]]
    key = ".".join(path)
    if finding["type"] == "extra_forbidden":
        allowed = _keys_at(model, path[:-1])
        near = difflib.get_close_matches(path[-1], allowed, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        return f"{key}: unknown key; {guess}allowed: {', '.join(allowed)}"
    if finding["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"{key} = {_short(finding['input'])}: must be a section with the keys {', '.join(_keys_at(model, path))}"
    message = finding["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    message = message.replace("input should be", "must be")
    if not key:
        return str(message)
    return f"{key} = {_short(finding['input'])}: {message}"


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        if part.isdigit():  # a place in a list of sections
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            break
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, UnionType, typing.Annotated, tuple):
        for part in typing.get_args(annotation):
            found = _model_in(part)
            if found is not None:
                return found
    return None
