"""Text files of a study directory, read with bounds, and refused in a line where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from convtrials.core.errors import StudyError
from convtrials.core.files import read_bounded_text

Shape = TypeVar("Shape", bound=BaseModel)


def read_text(path: Path) -> str:
    """Return the text of a file of bounded size.

    Raises
    ------
    StudyError
        Where it is absent, too large, or no UTF-8.
    """
    return read_bounded_text(path, StudyError)


def parse_document(text: str, shape: type[Shape], where: str) -> Shape:
    """Return `text` as a document of that shape, or say where it is none.

    Raises
    ------
    StudyError
        With the first wrong key, and what is allowed there.
    """
    try:
        return shape.model_validate_json(text)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] in ("missing", "json_invalid") else f", not {first['input']!r:.60}"
        raise StudyError(f"{where}: {key + ': ' if key else ''}{first['msg']}{found}") from problem


def read_document(path: Path, shape: type[Shape]) -> Shape:
    """Read a JSON file of that shape; errors as `read_text` and `parse_document`."""
    return parse_document(read_text(path), shape, str(path))


def parse_object(text: str, where: str) -> dict[str, Any]:
    """Return any JSON object, for what the report shows as it stands.

    Names that are no UTF-8 (of folders, as classes) come with signs of replacement.

    Raises
    ------
    StudyError
        Where `text` is no JSON object.
    """
    try:
        # A round trip through UTF-8 leaves only what a page can hold.
        told = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
        value = json.loads(told)
    except (ValueError, RecursionError) as problem:
        raise StudyError(f"{where}: not valid JSON ({problem})") from problem
    if not isinstance(value, dict):
        raise StudyError(f"{where}: a JSON object is needed, not {type(value).__name__}")
    return value
