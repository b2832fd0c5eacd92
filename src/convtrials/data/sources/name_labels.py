"""Classes that stand in the names of files: ``cat.0.jpg``, ``images/Abyssinian_12.jpg``."""

from collections import defaultdict
from dataclasses import dataclass

from convtrials.core.errors import DataError
from convtrials.data.class_names import shortened
from convtrials.data.patterns import found_in_paths
from convtrials.data.sources.split_folders import TRAIN, UNLABELLED, evaluation_meant, split_folder_name
from convtrials.data.sources.walk import Walk
from convtrials.data.split import UNASSIGNED

#: Where more classes are found, the pattern matched something else, such as a number.
MAX_CLASSES = 10_000


@dataclass
class LabelledImages:
    """Images of one class and split.

    Attributes
    ----------
    code : int
        Of the split; 255 where it is open.
    below : int
        How many characters of each path lead to the class's folder, the slash included.
    """

    name: str
    code: int
    paths: list[str]
    below: int = 0


def label_by_names(walk: Walk, pattern: str) -> tuple[list[LabelledImages], tuple[int, ...], list[str]]:
    """Name the class of every image by its path.

    Parameters
    ----------
    walk : Walk
        Every folder of the source.
    pattern : str
        A regular expression whose group 1 is the class. Searched for in the relative path, with ``/``.

    Returns
    -------
    images : list of LabelledImages
        By split, then class. Images whose path does not match are left out.
    parts : tuple of int
        Codes of the splits.
    notes : list of str

    Raises
    ------
    DataError
        No path matches, or the search takes too long.
    """
    codes = _split_codes(walk)
    found: dict[tuple[int, str], list[str]] = defaultdict(list)
    without = []
    paths = walk.images_below("")
    for path, name in zip(paths, found_in_paths("labels_from_names", pattern, paths), strict=True):
        if not name:
            without.append(path)
        else:
            found[codes.get(path.partition("/")[0], UNASSIGNED), name].append(path)
    asked = f"labels_from_names {pattern!r:.60}"
    if not found:
        seen = without[0] if without else "no image"
        raise DataError(f"{asked}: matches no path of {walk.show('')}, such as {seen}")
    classes = sorted({name for _, name in found})
    if len(classes) > MAX_CLASSES:
        raise DataError(f"{asked}: names {len(classes):,} classes, such as {shortened(classes, 3)}")
    notes = [f"classes are named by files: {pattern}"]
    if without:
        notes.append(f"left out: {len(without):,} image(s) whose names do not match, such as {without[0]}")
    parts = tuple(sorted({code for code, _ in found} - {UNASSIGNED}))
    split = TRAIN in parts
    images = [
        LabelledImages(name, code if split else UNASSIGNED, paths)
        for (code, name), paths in sorted(found.items())
    ]
    return images, parts if split else (), notes


def _split_codes(walk: Walk) -> dict[str, int]:
    """Codes of the outermost folders where all are splits of one dataset."""
    named = {name: split_folder_name(name) for name in walk.live("")}
    rests = {found.rest if found else None for found in named.values()}
    if None in rests or len(rests) != 1:
        return {}
    codes = {name: found.code for name, found in named.items() if found and found.code != UNLABELLED}
    return evaluation_meant(codes)
