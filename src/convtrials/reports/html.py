"""Parts of a report's page: one file, nothing fetched, nothing run."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.formatting import percent
from convtrials.reports.picture import Picture


@dataclass(frozen=True)
class PageFigure:
    """A drawn picture, ready for the page: words, and the PNG as a data address."""

    title: str
    caption: str
    alt: str
    address: str
    width: int
    height: int
    table: str

    @classmethod
    def of(cls, picture: Picture, png: Path) -> PageFigure:
        """Embed the drawn `png` of `picture`."""
        content = png.read_bytes()
        text = base64.b64encode(content).decode("ascii")
        # A PNG begins with its size in pixels; two of them make one of the page.
        width, height = struct.unpack(">II", content[16:24])
        return cls(
            picture.title,
            picture.caption,
            picture.alt,
            f"data:image/png;base64,{text}",
            width // 2,
            height // 2,
            f"figures/{picture.name}.csv",
        )


def page_template(name: str) -> Any:
    """Return a template of the package; whatever is put into it is escaped, and nothing may be missing."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("convtrials.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["plain"] = plain
    return environment.get_template(name)


def plain(value: Any) -> str:
    """Return a setting as a person would write it: no quotes and braces where none are needed."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
