"""The report's page: one file, nothing fetched, nothing run."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.formatting import duration, percent
from convtrials.reports.picture import Picture
from convtrials.reports.words import headlines, learned
from convtrials.training.run_record import RunRecord

#: What the page tells of ``dataset.json``; the rest is for programs.
_TOLD_OF_DATA = ("name", "source", "options", "fingerprint", "counts", "image_shape")


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


def render_page(
    record: RunRecord,
    metrics: dict[str, Any],
    figures: Sequence[PageFigure],
    *,
    model: str,
    summary: Sequence[str],
    commands: Sequence[str],
    remarks: Sequence[str],
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    record : RunRecord
        The run.
    metrics : dict
        From `evaluate_predictions`, with the run's ``warnings``.
    figures : sequence of PageFigure
        In the order in which they are read.
    model : str
        The network's name.
    summary : sequence of str
        What the run is worth, a few sentences.
    commands : sequence of str
        What to type to get this result again.
    remarks : sequence of str
        What the reader must know: what was left out, and why.
    """
    page: str = page_template("report.html.j2").render(
        title=f"{model} on {record.dataset.get('name', 'unnamed data')}",
        facts=_facts(record),
        headlines=headlines(metrics),
        metrics=metrics,
        learned=learned(metrics),
        figures=figures,
        summary=summary,
        commands=commands,
        remarks=remarks,
        record=record,
        dataset={key: value for key, value in record.dataset.items() if key in _TOLD_OF_DATA},
    )
    return page


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


def _facts(record: RunRecord) -> list[str]:
    """The line under the title: only what the run directory says."""
    result, execution = record.result, record.execution
    facts = []
    if isinstance(result.get("parameters"), int):
        facts.append(f"{result['parameters']:,} parameters")
    if isinstance(result.get("epochs"), int | float):
        facts.append(f"{result['epochs']:g} epochs in {duration(result.get('train_seconds'))}")
    if "seed" in result:
        facts.append(f"seed {result['seed']}")
    if "device" in execution and "precision" in execution:
        facts.append(f"{execution['device']}, {execution['precision']}")
    if record.environment.get("git_commit"):
        facts.append(f"commit {str(record.environment['git_commit'])[:10]}")
    return facts


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
