"""The page of a data check: findings, and the pictures of near-duplicates side by side; a CSV with all pairs."""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.files import atomic_path, write_text
from convtrials.core.progress import progress_task
from convtrials.data.check import CheckReport
from convtrials.data.near.find import NearPair
from convtrials.data.sources.base import Source
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import UnreadableImageError
from convtrials.reports.html import page_template

#: Pairs on the page; the CSV has all.
MOST_PAIRS = 60
#: Files named of each finding on the page.
MOST_ITEMS = 30
#: Pixels of the longer side of a picture on the page.
PICTURE_SIDE = 240

_HEADER = (
    "first",
    "second",
    "first_class",
    "second_class",
    "first_split",
    "second_split",
    "distance",
    "correlation",
    "certain",
)


@dataclass(frozen=True)
class _Shown:
    """A pair with its pictures, as data addresses; an empty one where a picture cannot be read any more."""

    pair: NearPair
    addresses: tuple[str, str]

    @property
    def tag(self) -> str:
        """What is wrong with the pair, in a word or two."""
        words = [word for word, holds in (("two classes", self.pair.conflict), ("two splits", self.pair.across))
                 if holds]  # fmt: skip
        return ", ".join(words) or "one class and split"


def write_check_page(report: CheckReport, source: Source, page: Path) -> Path:
    """Write a check's findings as one self-contained page.

    Parameters
    ----------
    report : CheckReport
        From `convtrials.data.check.check_source`.
    source : Source
        What was checked; the pictures of the pairs on the page are read from it.
    page : Path
        To be written; next to it, with the ending ``.csv``, a table of all pairs where there are any.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DataError
        It cannot be written.
    """
    page = Path(page)
    if page.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"--html {page}: the page's name ends in .html")
    shown = _with_pictures(report, source)
    values: dict[str, Any] = {
        "report": report,
        "name": source.name,
        "shown": shown,
        "rest": len(report.near_pairs) - len(shown),
        "most_items": MOST_ITEMS,
        "table": page.with_suffix(".csv").name,
        "split": ", ".join(f"{count:,} {name}" for name, count in report.splits.items()),
    }
    try:
        if report.near_pairs:
            _write_pairs(report.near_pairs, page.with_suffix(".csv"))
        write_text(page, page_template("data_check.html.j2").render(values))
    except OSError as error:
        raise DataError(f"{page}: cannot be written ({error.strerror})") from error
    return page


def _write_pairs(pairs: tuple[NearPair, ...], target: Path) -> None:
    with (
        atomic_path(target) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for pair in pairs:
            writer.writerow(
                [*pair.files, *pair.classes, *pair.splits, pair.distance, pair.correlation, pair.certain]
            )


def _with_pictures(report: CheckReport, source: Source) -> list[_Shown]:
    pairs = report.near_pairs[:MOST_PAIRS]
    # In order: a compressed source is read from front to back, once.
    wanted = sorted({index for pair in pairs for index in pair.indices})
    addresses = {}
    with progress_task("read pictures", len(wanted)) as progress:
        for index in wanted:
            addresses[index] = _address(_picture(source, index, report.frame))
            progress.advance()
    return [_Shown(pair, (addresses[pair.indices[0]], addresses[pair.indices[1]])) for pair in pairs]


def _picture(source: Any, index: int, frame: Frame) -> NDArray[np.uint8] | None:
    """Read one image at its own size, uint8 (H, W, C); None where its file has gone or changed."""
    if frame.shape is not None:
        pixels, bad = source.read(index, index + 1, frame)
        return None if bad else pixels[0]
    try:
        native: NDArray[np.uint8] = source.native(index, frame)
        return native
    except UnreadableImageError:
        return None


def _address(pixels: NDArray[np.uint8] | None) -> str:
    """Return a picture as a data address: small ones exactly, large ones shrunk and compressed."""
    from PIL import Image

    if pixels is None:
        return ""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    content, kind = io.BytesIO(), "png"
    if max(picture.size) > PICTURE_SIDE:
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
        kind = "jpeg"
    picture.save(content, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
