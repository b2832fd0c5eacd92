"""Which files of a folder may be a table of images, by their names: one, or one for each split."""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from convtrials.data.sources.tree import FileTree

#: ``stem-train``, ``train``, ``train_labels``, ``train-00000-of-00002``; the rest names the set.
PART = re.compile(
    r"(?P<stem>.*?)(?:^|[-_. ])(?P<part>train(?:ing)?|val(?:id(?:ation)?)?|dev|test(?:ing)?)"
    r"(?:[-_. ](?:labels?|set|data|images?|metadata|\d+(?:-of-\d+)?(?:-[0-9a-f]+)?))*",
    re.IGNORECASE,
)
_CODES = {"t": 0, "v": 1, "d": 1}
#: Answers to be handed in, with labels that are none.
_NO_DATA = re.compile(r"(sample|example).?submission|submission", re.IGNORECASE)
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
#: Where a snapshot from Hugging Face has its files.
_SNAPSHOT = ("", "data", "default")
TEXTS = (".csv", ".tsv", ".tab", ".jsonl")
TABLE_ENDINGS = (*TEXTS, ".parquet")
_MOST_WRAPPERS = 3
_MOST_FILES = 4096
_MOST_TABLES = 64


@dataclass(frozen=True)
class Candidates:
    """Tables of a folder; none of them is opened.

    Attributes
    ----------
    home : str
        The folder that they are in, or in folders of.
    sets : dict of str to list of (str, int)
        By the set that their names say: paths in the tree, each with its split; 255 where that is open.
    """

    home: str
    sets: dict[str, list[tuple[str, int]]]


def find_candidates(tree: FileTree) -> Candidates:
    """List what may be a table of images."""
    home = _home(tree)
    return Candidates(home, _candidates(tree, home))


def _home(tree: FileTree) -> str:
    """Descend through folders that hold nothing but one folder, as unpacking leaves them."""
    home = ""
    for _ in range(_MOST_WRAPPERS):
        files, folders = tree.entries(home)
        if len(folders) != 1 or any(name.lower().endswith(TABLE_ENDINGS) for name in files):
            return home
        if part_code(folders[0]) is not None or folders[0].lower() in _SNAPSHOT:
            return home
        home = posixpath.join(home, folders[0])
    return ""


def _candidates(tree: FileTree, home: str) -> dict[str, list[tuple[str, int]]]:
    """Tables of a folder by the set that their names say, each with its split."""
    files, folders = tree.entries(home)
    metadata = _metadata(tree, home, files, folders)
    if metadata:
        return {"metadata": metadata}
    parquet = _parquet(tree, home, folders)
    if parquet:
        return parquet
    tables = sorted(name for name in files if name.lower().endswith(TEXTS) and not _NO_DATA.search(name))
    if len(tables) > _MOST_TABLES:
        return {}
    return _by_stem(posixpath.join(home, name) for name in tables)


def _metadata(
    tree: FileTree, home: str, files: Sequence[str], folders: Sequence[str]
) -> list[tuple[str, int]]:
    """Hugging Face's ``metadata.csv``: at the top, or in each split's folder."""
    top = [(posixpath.join(home, name), 255) for name in _METADATA if name in files]
    if top:
        return top[:1]
    found = []
    for folder in folders:
        code = part_code(folder)
        if code is not None:
            place = posixpath.join(home, folder)
            own = [name for name in _METADATA if name in tree.entries(place)[0]]
            found += [(posixpath.join(place, name), code) for name in own[:1]]
    return sorted(found, key=lambda item: item[1])


def _parquet(tree: FileTree, home: str, folders: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
    for inner in _SNAPSHOT:
        if inner and inner not in folders:
            continue
        place = posixpath.join(home, inner) if inner else home
        names, splits = tree.entries(place)
        found = [posixpath.join(place, name) for name in sorted(names) if name.lower().endswith(".parquet")]
        if found:
            return _by_stem(found[:_MOST_FILES])
        within = []
        for folder in splits if inner == "default" else ():
            code = part_code(folder)
            if code is not None:
                own = sorted(
                    name for name in tree.entries(f"{place}/{folder}")[0] if name.endswith(".parquet")
                )
                within += [(f"{place}/{folder}/{name}", code) for name in own[:_MOST_FILES]]
        if within:
            return {"": sorted(within, key=lambda item: item[1])}
    return {}


def part_code(name: str) -> int | None:
    """Code of the split that a folder's name says; None where it says none."""
    match = PART.fullmatch(name)
    if match is None or match["stem"]:
        return None
    return _code_of(match["part"])


def _code_of(part: str) -> int:
    return 2 if part.lower().startswith("te") else _CODES[part[0].lower()]


def _by_stem(paths: Iterable[str]) -> dict[str, list[tuple[str, int]]]:
    sets: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for path in paths:
        folder, name = posixpath.split(path)
        stem, ending = os.path.splitext(name)
        match = PART.fullmatch(stem)
        if match is None:
            sets[path].append((path, 255))
        else:
            sets[posixpath.join(folder, match["stem"]) + ending.lower()].append(
                (path, _code_of(match["part"]))
            )
    # One file that is called train is the whole.
    return {
        stem: [(path, 255) for path, _ in own]
        if len({code for _, code in own}) == 1
        else sorted(own, key=lambda i: i[1])
        for stem, own in sets.items()
    }
