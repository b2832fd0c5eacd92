"""Refusals of folders that cannot be classes, each with what was seen and what to do."""

import re
from collections import Counter
from os.path import splitext
from typing import NoReturn

from convtrials.core.errors import DataError
from convtrials.data.class_names import look, shortened
from convtrials.data.sources.split_folders import CONTAINERS, KNOWN, split_folder_name
from convtrials.data.sources.walk import Walk

#: Pictures that a folder of them was meant as a class by; Pillow alone does not decode them.
_UNKNOWN_PICTURES = frozenset(
    {
        *(
            ".dng",
            ".cr2",
            ".cr3",
            ".nef",
            ".arw",
            ".orf",
            ".rw2",
            ".raf",
            ".raw",
            ".svg",
            ".dcm",
            ".npy",
        )
    }
)


def refuse_no_classes(walk: Walk, place: str, live: list[str]) -> None:
    """Refuse folders that are a competition's splits without classes, or containers of anything."""
    where = walk.show(place)
    named = {name: found for name in live if (found := split_folder_name(name))}
    for rest in {found.rest for found in named.values()}:
        same = [name for name, found in named.items() if found.rest == rest]
        codes = {named[name].code for name in same}
        if len(codes) > 1:
            prefixes = _prefixes(walk.folders[walk.join(place, min(same, key=_code))].images)
            last = "" if prefixes else f", or if they are classes, name them: {_flag(live)}"
            raise DataError(
                f"{where}: {shortened(same)} are splits by their names, without class folders in them; {_LABELS}{last}"
                f"{prefixes}{_tables(walk)}"
            )
    if len(live) < 2:
        refuse_one(walk, place, live)
    if all(name in named or look(name) in CONTAINERS for name in live):
        raise DataError(
            f"{where}: {shortened(live)} are not names of classes; {_LABELS}, or if they are classes, name them: "
            f"{_flag(live)}{_tables(walk)}"
        )


def _code(name: str) -> int:
    found = split_folder_name(name)
    assert found is not None
    return found.code


def _flag(names: list[str]) -> str:
    return f"--classes {','.join(names[:4])}{',...' if len(names) > 4 else ''}"


#: CIFAR's batches, and the endings of pickles.
_PICKLE = re.compile(r"^data_batch_1$|\.(pkl|pickle|pt|pth)$", re.IGNORECASE)
_LABELS = "put the images of each class into a folder of its own"


def refuse_one(walk: Walk, place: str, live: list[str]) -> NoReturn:
    """Refuse what holds one class or none, with what was seen."""
    where = walk.show(place)
    loose = walk.folders[place].images
    if not walk.count(""):
        raise DataError(
            f"{walk.show('')}: no class folders, and no image{unknown_pictures(walk, '')}{_pickles(walk)}; expected "
            f"{walk.name}/CLASS/image.png or {walk.name}/train/CLASS/image.png"
        )
    if not live or len(loose) > walk.count(walk.join(place, live[0])):
        hints = f"{_prefixes(loose)}{_tables(walk)}"
        above = "" if hints or live or place else "; if it is one class of several, name the folder above it"
        raise DataError(
            f"{where}: {len(loose):,} image(s) such as {loose[0]} directly in it, and no class folders; {_LABELS}: "
            f"expected {walk.name}/CLASS/image.png{above}{hints}"
        )
    inner = walk.join(place, live[0])
    empty = [name for name in walk.folders[place].folders if name != live[0]]
    without = f" ({shortened(empty)}: no image in it)" if empty else ""
    raise DataError(
        f"{where}: one class only, {live[0]} with {walk.count(inner):,} image(s){without}; a classifier needs two or "
        f"more: {_LABELS}{_prefixes(walk.folders[inner].images)}{_tables(walk)}"
    )


def _pickles(walk: Walk) -> str:
    """Name a file of pickled Python objects at the top, as CIFAR comes: reading one may run any program."""
    found = [one for one in walk.folders[""].others if _PICKLE.search(one)]
    return f" ({found[0]} is a pickle, which is not read: save its arrays with np.savez)" if found else ""


def _prefixes(names: list[str]) -> str:
    """Offer a pattern where file names begin with a few words: ``cat.0.jpg``."""
    starts = Counter(name[: len(name) - len(name.lstrip(_LETTERS))].lower().rstrip("_-") for name in names)
    if 2 <= len(starts) <= 100 and "" not in starts and 2 * len(starts) <= len(names):
        few = shortened(sorted(starts), 3)
        return f"\nFile names begin with {few}: if these are the classes, --labels-from-names '{_PREFIX}'"
    return ""


_PREFIX = "(?:^|/)([A-Za-z_-]*[A-Za-z])[^/]*$"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"


def _tables(walk: Walk) -> str:
    """Name a table at the top, which may hold the labels."""
    tables = sorted(
        one for one in walk.folders[""].others if one.lower().endswith((".csv", ".tsv", ".parquet"))
    )
    if not tables:
        return ""
    return f"\n{tables[0]} may hold the labels, but names no images here; give its path to see why, or use --columns."


def refuse_mostly_loose(walk: Walk, place: str) -> None:
    """Refuse a level below the top that has more images directly in it than in folders."""
    loose = len(walk.folders[place].images)
    if place and loose > walk.count(place) - loose:
        raise DataError(
            f"{walk.show(place)}: {loose:,} image(s) directly in it, more than in its folders; {_LABELS}"
        )


def refuse_lookalikes(walk: Walk, place: str, live: list[str]) -> None:
    """Refuse folders that all hold the same two or more folders and no image: splits by other names."""
    inner = [set(walk.live(walk.join(place, name))) for name in live]
    common = sorted(set.intersection(*inner))
    if len(common) < 2 or any(walk.folders[walk.join(place, name)].images for name in live):
        return
    raise DataError(
        f"{walk.show(place)}: {shortened(live, 3)} all hold the same folders ({shortened(common, 3)}) and look like "
        f"splits, not classes\nNames of splits are {KNOWN}; or name the folders: --train DIR --test DIR. If these are "
        f"classes, say so: {_flag(live)}"
    )


def unknown_pictures(walk: Walk, place: str) -> str:
    """Count the pictures of a folder that cannot be read, as `` (12 .heic files)``."""
    endings = Counter(
        splitext(name)[1].lower() for own in walk.below(place) for name in walk.folders[own].others
    )
    found = [
        f"{count:,} {ending} file(s)"
        for ending, count in endings.most_common()
        if ending in _UNKNOWN_PICTURES
    ]
    return f" ({', '.join(found[:3])})" if found else ""
