"""Layouts with splits: class folders within split folders, and split folders within class folders."""

from convtrials.core.errors import DataError
from convtrials.data.class_names import look, shortened
from convtrials.data.sources.class_folders import DOUBTFUL, ClassFolder, Layout
from convtrials.data.sources.no_classes import refuse_no_classes
from convtrials.data.sources.split_folders import (
    CONTAINERS,
    KNOWN,
    TRAIN,
    UNLABELLED,
    evaluation_meant,
    split_folder_name,
)
from convtrials.data.sources.walk import Walk
from convtrials.data.split import SPLITS


def read_split_folders(walk: Walk, place: str, live: list[str]) -> Layout | None:
    """Read ``{train,val,test}/CLASS``; None where no folder with folders in it is one to train on."""
    named = {name: read for name in live if (read := split_folder_name(name))}
    training = [
        name for name, read in named.items() if read.code == TRAIN and walk.live(walk.join(place, name))
    ]
    if not training:
        return None
    rest = min(named[name].rest for name in training)
    group = [name for name, read in named.items() if read.rest == rest]
    if rest and len(group) < 2:
        return None  # bullet_train is a class
    codes = evaluation_meant({name: named[name].code for name in group})
    roots = _roots(walk, place, codes)
    # Next to splits, pictures of a project are no riddle.
    for other in sorted(name for name in set(live) - set(group) if look(name) not in DOUBTFUL | {"readme"}):
        first = next(name for name in training if named[name].rest == rest)
        raise DataError(
            f"{walk.show(place)}: next to {first} there is {other}, which is neither val nor test; move it away, or "
            f"name the folders: --train DIR --test DIR\nNames of splits are {KNOWN}."
        )
    for code, part in enumerate(("training", "validation", "test")):
        same = sorted(name for name in roots if codes[name] == code)
        if len(same) > 1:
            raise DataError(f"{walk.show(place)}: two {part} folders, {' and '.join(same)}; keep one")
    found = [
        ClassFolder(walk.join(root, name), name, codes[part])
        for part, root in sorted(roots.items(), key=lambda item: codes[item[0]])
        for name in walk.live(root)
    ]
    notes = []
    if any(look(part) not in _PLAIN or root != walk.join(place, part) for part, root in roots.items()):
        parts = sorted(roots.items(), key=lambda item: codes[item[0]])
        notes.append("splits: " + ", ".join(f"{SPLITS[codes[part]]} is {root}/" for part, root in parts))
    root = next(root for part, root in roots.items() if codes[part] == TRAIN)
    refuse_no_classes(walk, root, sorted({one.name for one in found}))
    return Layout(found, notes)


#: Names that need no word on what they are.
_PLAIN = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def _roots(walk: Walk, place: str, codes: dict[str, int]) -> dict[str, str]:
    """Find the folder of class folders within each split folder; those that have none are absent."""
    roots: dict[str, str] = {}
    classes: set[str] = set()
    for name, code in sorted(codes.items(), key=lambda item: item[1]):
        root = None if code == UNLABELLED else _root(walk, walk.join(place, name), classes)
        if root is not None:
            roots[name] = root
            if code == TRAIN:
                classes |= {look(one) for one in walk.live(root)}
    return roots


def _root(walk: Walk, place: str, classes: set[str]) -> str | None:
    """Go into folders that only wrap: ``train/train/CLASS``; None where images are in no class folders."""
    while True:
        live = walk.live(place)
        if not live:
            return None
        if len(live) > 1 or look(live[0]) in classes:
            return place
        inner = walk.join(place, live[0])
        if walk.live(inner):
            place = inner
        elif classes and (look(live[0]) in CONTAINERS or split_folder_name(live[0])):
            return None
        else:
            return place


def read_splits_within_classes(walk: Walk, place: str, live: list[str]) -> Layout | None:
    """Read ``CLASS/{train,val,test}``; None where class folders hold no splits."""
    inner = {name: _split_codes(walk.live(walk.join(place, name))) for name in live}
    split = [name for name, codes in inner.items() if codes and TRAIN in codes.values() and len(codes) > 1]
    if not split:
        return None
    where = walk.show(place)
    refuse_no_classes(walk, place, live)
    for name, codes in inner.items():
        if codes is None or not codes:
            raise DataError(
                f"{where}: {split[0]} holds folders {shortened(sorted(inner[split[0]] or ()))}, {name} does not; "
                "give every class the same split folders, or none"
            )
        for part in codes:
            own = walk.join(walk.join(place, name), part)
            if walk.live(own):
                raise DataError(
                    f"{where}: {name} holds splits that hold folders ({shortened(walk.live(own), 3)}), and looks like "
                    f"a dataset of its own; name one: {walk.show(walk.join(place, name))}"
                )
        if len(set(codes.values())) < len(codes):
            raise DataError(
                f"{where}: two folders of {name} mean one split: {shortened(sorted(codes))}; keep one"
            )
    folders = [
        ClassFolder(walk.join(walk.join(place, name), part), name, code)
        for name, codes in inner.items()
        for part, code in (codes or {}).items()
    ]
    folders.sort(key=lambda one: (one.code, one.name, one.place))
    return Layout(
        folders, [f"classes are the outer folders ({shortened(live, 3)}), splits the folders in them"]
    )


def _split_codes(names: list[str]) -> dict[str, int] | None:
    """Codes of folders that are all splits; None where one is not."""
    named = {name: split_folder_name(name) for name in names}
    if not all(found and not found.rest and found.code != UNLABELLED for found in named.values()):
        return None
    return evaluation_meant({name: found.code for name, found in named.items() if found})
