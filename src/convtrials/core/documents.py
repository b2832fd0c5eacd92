"""JSON files with a shape: one model for each, which writes the file and checks it when it is read back.

A document may carry ``"format"``, a version; none means 1. A key that the model does not know is kept, so that files of
neighbouring versions stay readable; a newer format is refused.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, Strict, TypeAdapter, ValidationError

from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import finite, read_bounded_text, write_json

#: No whole number in a document is larger: larger ones are damage, and fit no float.
LARGEST_NUMBER = 2**63

#: No document nests deeper: what does is damage, and could be read but not written again.
DEEPEST = 100


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


#: Any text. pydantic's own ``str`` refuses names of files and folders that are no UTF-8.
Text = Annotated[str, PlainValidator(_text)]

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

T = TypeVar("T")

#: A list in the file.
Several = Annotated[tuple[T, ...], Strict(False)]


class Document(BaseModel):
    """A JSON object with a shape: exact types, finite numbers, unknown keys kept."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        populate_by_name=True,
        protected_namespaces=(),
    )

    #: The newest format that is read.
    newest_format: ClassVar[int] = 1

    def to_dict(self) -> dict[str, Any]:
        """Return what stands in the file, plain values: keys that were neither given nor read are left out."""
        plain: dict[str, Any] = finite(self.model_dump(by_alias=True, exclude_unset=True))
        return plain

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.to_dict())


def read_document(path: Path, shape: type[T], error: type[ConvtrialsError]) -> T:
    """Read a JSON file of that shape.

    Parameters
    ----------
    shape : type
        A `Document`, or a dataclass of plain values.
    error : type
        What to raise.

    Raises
    ------
    error
        In one line: the file is absent, too large, no UTF-8, no JSON object, of a newer format, or a value in it is not
        allowed.
    """
    return parse_document(read_bounded_text(path, error), shape, str(path), error)


def parse_document(text: str, shape: type[T], where: str, error: type[ConvtrialsError]) -> T:
    """Return `text` as a document of that shape, as `read_document`; `where` is what errors name."""
    return parse_value(parse_object(text, where, error), shape, where, error)


def parse_value(value: dict[str, Any], shape: type[T], where: str, error: type[ConvtrialsError]) -> T:
    """Return a JSON object as a document of that shape, as `parse_document`."""
    check_format(value.get("format", 1), getattr(shape, "newest_format", 1), where, error)
    try:
        found: T = _validator(shape)(value)  # type: ignore[arg-type]  # mypy: a type of no known kind
        return found
    except ValidationError as problem:
        raise error(f"{where}: {_explain(problem)}") from None


def parse_object(text: str, where: str, error: type[ConvtrialsError]) -> dict[str, Any]:
    """Return any JSON object."""
    try:
        value = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: not valid JSON ({problem})") from None
    if not isinstance(value, dict):
        raise error(f"{where}: a JSON object is needed, not {type(value).__name__}")
    if _deeper(value, DEEPEST):
        raise error(f"{where}: nests deeper than {DEEPEST} levels")
    return value


def check_format(found: Any, newest: int, where: str, error: type[ConvtrialsError]) -> None:
    """Refuse a file whose format this version does not know."""
    if type(found) is not int or found < 1:
        raise error(f"{where}: format = {found!r:.40}: a whole number from 1 is needed")
    if found > newest:
        raise error(
            f"{where}: written by a newer convtrials (format {found}, this one reads up to {newest}); update convtrials"
        )


@cache
def _validator(shape: Any) -> Callable[[Any], Any]:
    return TypeAdapter(shape).validate_python  # slow to make


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(one, levels - 1) for one in inner)


def _whole(digits: str) -> int:
    number = int(digits) if len(digits) < 30 else LARGEST_NUMBER
    if abs(number) >= LARGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return number


def _explain(problem: ValidationError) -> str:
    """Say what is wrong first: the key, its value, what is allowed; a wrong value goes before a missing one."""
    findings = problem.errors(include_url=False, include_context=False)
    first: Mapping[str, Any] = min(findings, key=lambda one: one["type"] == "missing")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{key} is missing"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{key} = {first['input']!r:.40}: {message}" if key else message
