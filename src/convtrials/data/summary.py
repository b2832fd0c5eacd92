"""A dataset in a few lines: what was asked for, and what it was read as."""

from typing import Any

import numpy as np

from convtrials.data.dataset import Dataset
from convtrials.data.split import SPLITS

#: Lines, and names of classes, that are shown of one.
MOST_LINES, MOST_CLASSES = 6, 8
_MOST_LETTERS = 24


def summary_lines(dataset: Dataset, most: int | None = MOST_LINES) -> list[str]:
    """Say what a dataset is in a few lines, from its manifest alone.

    Parameters
    ----------
    dataset : Dataset
        Packed just now, or opened; or made in memory.
    most : int or None
        Lines at most, 4 or more; None shows every note.

    Returns
    -------
    list of str
        Classes; splits and size; images at the source; and notes on what was assumed or left out.
    """
    lines = [
        f"{dataset.name}: {len(dataset):,} images of {len(dataset.class_names)} classes: {_classes(dataset)}"
    ]
    lines.append(f"  {_splits(dataset)}; {_shape(dataset)}")
    if at_source := source_sentence(dataset.manifest):
        lines.append(f"  at the source: {at_source}")
    notes = all_notes(dataset)
    room = len(notes) if most is None else most - len(lines)
    shown = notes if len(notes) <= room else notes[: room - 1]
    lines += [f"  note: {note}" for note in shown]
    if len(shown) < len(notes):
        lines.append(f"  and {len(notes) - len(shown)} more notes: convtrials data info")
    return lines


def source_sentence(manifest: dict[str, Any]) -> str:
    """Say how large the images are at the source and which are grey; nothing where it was not looked at."""
    found = manifest.get("source_images")
    if not found:
        return ""
    smallest, largest = (" x ".join(map(str, found[key])) for key in ("smallest", "largest"))
    size = smallest if smallest == largest else f"{smallest} to {largest}"
    grey, colour = found["grey"], found["colour"]
    if not grey or not colour:
        return f"{size} pixels, {'grey' if grey else 'colour'}"
    return f"{size} pixels, {colour:,} in colour and {grey:,} grey"


def all_notes(dataset: Dataset) -> list[str]:
    """Everything that was assumed of a dataset or left out, a line each."""
    notes = list(dataset.notes)
    manifest = dataset.manifest
    if bad := manifest.get("quarantined"):
        notes.append(f"left out: {len(bad):,} unreadable file(s), such as {bad[0]['path']}")
    if left_alone := manifest.get("left_alone"):
        notes.append(
            f"{left_alone:,} file(s) ignored in all, no images of a class: convtrials data check names them"
        )
    return notes


def class_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Images of each class in each split."""
    classes = len(dataset.class_names)
    table = np.bincount(dataset.split.astype(np.int64) * classes + dataset.labels, minlength=3 * classes)
    by_class = table.reshape(3, classes).T.tolist()
    return {
        name: dict(zip(SPLITS, counts, strict=True))
        for name, counts in zip(dataset.class_names, by_class, strict=True)
    }


def _classes(dataset: Dataset) -> str:
    counts = [
        int((dataset.labels == label).sum()) for label in range(min(MOST_CLASSES, len(dataset.class_names)))
    ]
    named = [f"{_short(name)} {count:,}" for name, count in zip(dataset.class_names, counts, strict=False)]
    more = len(dataset.class_names) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _short(name: str) -> str:
    shown = repr(name) if name != name.strip() or not name.isprintable() else name
    return shown if len(shown) <= _MOST_LETTERS else shown[: _MOST_LETTERS - 1] + "…"


def _splits(dataset: Dataset) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in dataset.counts().items())
    said = [split_sentence(dataset.manifest)] if dataset.manifest.get("split_by") else []
    if dataset.groups is not None and dataset.groups_are_sampled:
        whole = " kept whole" if dataset.manifest.get("split_by") == "convtrials" else ""
        kind = "group" if dataset.group_kind in (None, "group") else dataset.group_kind
        said.append(f"{len(dataset.group_names):,} {kind}s{whole}")
    return f"{counts} ({'; '.join(said)})" if said else counts


def split_sentence(manifest: dict[str, Any]) -> str:
    """Say who made the splits: the source, convtrials, or the source but for those that it lacked."""
    seed = (manifest.get("options") or {}).get("split_seed", 0)
    if manifest["split_by"] != "source":
        return f"split by convtrials, seed {seed}"
    if drawn := manifest.get("drawn_splits"):
        return f"split by the source; {' and '.join(drawn)} cut from train, seed {seed}"
    return "split by the source"


def _shape(dataset: Dataset) -> str:
    height, width, channels = dataset.image_shape
    return f"{height} x {width} pixels, {'grey' if channels == 1 else 'colour'}"
