"""The page of a dataset: examples of every class, counts in every split, and what was assumed of the source."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.files import atomic_path
from convtrials.data.dataset import Dataset
from convtrials.data.summary import all_notes, class_counts, source_sentence, split_sentence
from convtrials.reports.html import page_template

#: Examples of a class, and classes with examples: a page stays small enough to open.
EXAMPLES, MOST_CLASSES = 6, 200
#: Pixels per side of an example at most; smaller images keep their size, and their pixels show.
_SIDE = 112


def write_data_page(dataset: Dataset, path: Path) -> Path:
    """Write a self-contained page on a dataset.

    Parameters
    ----------
    path : Path
        The HTML file; replaced where it is there.

    Returns
    -------
    Path
        The file.
    """
    page = page_template("data.html.j2").render(**_described(dataset))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _described(dataset: Dataset) -> dict[str, Any]:
    """Return the values of the page's template."""
    height, width, channels = dataset.image_shape
    shape = f"{height} x {width} pixels, {'grey' if channels == 1 else 'colour'}"
    at_source = source_sentence(dataset.manifest)
    rows = [{"name": name, "counts": counts} for name, counts in class_counts(dataset).items()]
    facts = [f"{len(dataset):,} images", f"{len(rows):,} classes", shape]
    if at_source:
        facts.append(f"at the source {at_source}")
    shown = [{**row, "examples": _examples(dataset, label)} for label, row in enumerate(rows[:MOST_CLASSES])]
    manifest = dataset.manifest
    return {
        "name": dataset.name,
        "images": len(dataset),
        "facts": facts,
        "notes": all_notes(dataset),
        "shape": shape,
        "small": max(height, width) <= 64,
        "most_examples": EXAMPLES,
        "kinds": shown,
        "rows": rows,
        "counts": dataset.counts(),
        "settings": {
            "source": manifest.get("location"),
            "split": split_sentence(manifest).removeprefix("split ") if manifest.get("split_by") else None,
            **(manifest.get("options") or {}),
            "fingerprint": dataset.fingerprint,
        },
    }


def _examples(dataset: Dataset, label: int) -> list[str]:
    """Data addresses of a few images of a class, from its first to its last."""
    own = np.flatnonzero(dataset.labels == label)
    places = (
        own[np.unique(np.linspace(0, len(own) - 1, EXAMPLES).round().astype(np.int64))] if len(own) else own
    )
    return [_address(dataset.images[place]) for place in places]


def _address(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    picture = Image.fromarray(np.asarray(image[..., 0] if image.shape[2] == 1 else image))
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
