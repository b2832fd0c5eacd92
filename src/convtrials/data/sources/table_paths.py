"""Where the images that a table names lie: its folder, or one within it, found once for all rows."""

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

from convtrials.core.errors import DataError
from convtrials.data.paths import image_endings
from convtrials.data.sources.tree import DiskTree, FileTree

#: Folders within the table's that are looked into first.
USUAL = (
    "images", "image", "imgs", "img", "train", "train_images", "photos", "pictures", "jpg", "jpeg", "png", "data",
)  # fmt: skip
#: Other folders are looked into only where they are few: shards such as ``images_part_1``.
_MOST_OTHERS = 32
_SAMPLE = 2000
_LONGEST = 4096


@dataclass
class LinkedTree(DiskTree):
    """A folder on disk, where a path may also be absolute."""

    def where(self, path: str) -> str:
        """Absolute path."""
        return os.path.join(self.location, path) if path else self.location


@dataclass(frozen=True)
class Located:
    """Where the images of a table are.

    Attributes
    ----------
    paths : list of str or None
        Of each row, relative to the tree, or absolute; None where nothing is.
    unnamed : int
        Images in the same folders that no row names.
    outside : int
        Images that lie outside the table's folder.
    """

    paths: list[str | None]
    unnamed: int = 0
    outside: int = 0


def locate(
    tree: FileTree, home: str, values: Sequence[str], *, where: str, first: Sequence[str] = ()
) -> Located:
    """Find the files that a column names.

    Parameters
    ----------
    tree : FileTree
        What holds the table and its images.
    home : str
        Folder of the table.
    values : sequence of str
        Paths as they stand in the table, with ``/`` or backslashes, with or without ending.
    where : str
        The table, for messages.
    first : sequence of str
        Folders to look into first.

    Raises
    ------
    DataError
        A value is a web address, or leaves the archive.
    """
    finder = _Finder(tree)
    texts = [_tidy(value, where) for value in values]
    outside = [text.startswith(("/", "../")) or text == ".." or os.path.isabs(text) for text in texts]
    if any(outside) and not isinstance(tree, LinkedTree):
        raise DataError(f"{where}: {texts[outside.index(True)]:.80} lies outside the archive")
    bases = _bases(tree, home, first)
    base = _best(finder, bases, texts)
    paths = [finder.find(base, text) for text in texts]
    missing = [row for row, path in enumerate(paths) if path is None]
    if missing:
        for row in missing:
            elsewhere = {path for other in bases if (path := finder.find(other, texts[row])) is not None}
            if len(elsewhere) > 1:
                shown = " and ".join(sorted(elsewhere)[:2])
                raise DataError(f"{where}: {texts[row]:.80} may be {shown}; write the folder into the table")
            paths[row] = next(iter(elsewhere), None)
    here = "" if not home else f"{home}/"
    out = sum(
        p is not None and (os.path.isabs(p) or not p.startswith(here) or p.startswith("../")) for p in paths
    )
    return Located(paths, finder.unnamed({path for path in paths if path is not None}), out)


def image_folders(
    tree: FileTree, home: str, values: Sequence[str], *, where: str, first: Sequence[str] = ()
) -> list[str]:
    """Folders in which images of a table may lie, of those that are there, sorted; reads no folder's files."""
    parents = {posixpath.dirname(_tidy(value, where)) for value in values}
    found = set()
    for base in _bases(tree, home, first):
        for parent in parents:
            place = posixpath.normpath(posixpath.join(base, parent)) if base or parent else ""
            found.add("" if place == "." else place)
    return sorted(place for place in found if os.path.isdir(tree.where(place)))


def _tidy(value: str, where: str) -> str:
    text = value.strip().replace("\\", "/")
    if text.startswith(("http://", "https://")):
        raise DataError(f"{where}: {text:.80}: images are not downloaded; put the files next to the table")
    if len(text) > _LONGEST or "\0" in text or not _encodable(text):
        raise DataError(f"{where}: {text!r:.40}... is no path")
    return posixpath.normpath(text) if text else ""


def _encodable(text: str) -> bool:
    """Whether a text can be a file's name: JSON may hold halves of characters."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _bases(tree: FileTree, home: str, first: Sequence[str]) -> list[str]:
    folders = tree.entries(home)[1]
    lower = {name.lower(): name for name in reversed(folders)}
    named = [lower[name] for name in (*first, *USUAL) if name in lower]
    others = [name for name in folders if name not in named]
    inner = dict.fromkeys(named + (others if len(others) <= _MOST_OTHERS else []))
    return [home, *(f"{home}/{name}" if home else name for name in inner)]


def _best(finder: "_Finder", bases: Sequence[str], texts: Sequence[str]) -> str:
    sample = texts[:: max(1, len(texts) // _SAMPLE)]
    hits = [sum(finder.find(base, text) is not None for text in sample) for base in bases]
    return bases[hits.index(max(hits))]


@dataclass
class _Finder:
    """Files of folders, each listed once."""

    tree: FileTree
    _names: dict[str, frozenset[str]] = field(default_factory=dict)
    _stems: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._endings = image_endings()

    def find(self, base: str, text: str) -> str | None:
        """Path of the file that a value names below a base; None where none is."""
        if not text:
            return None
        folder, _, name = text.rpartition("/")
        if text.startswith("/"):
            folder = folder or "/"
        place = posixpath.join(base, folder) if folder else base
        if ".." in folder or place in (".", "/."):
            place = posixpath.normpath(place)
        if name in self._files(place):
            return posixpath.join(place, name)
        if os.path.splitext(name)[1].lower() in self._endings:
            return None
        fitting = self._by_stem(place).get(name, [])
        if len(fitting) > 1:
            shown = " and ".join(fitting[:2])
            raise DataError(
                f"{self.tree.where(place)}: {text:.80} may be {shown}; write the ending into the table"
            )
        return posixpath.join(place, fitting[0]) if fitting else None

    def unnamed(self, named: set[str]) -> int:
        """Count images in the folders of `named` that are not among it."""
        folders = {posixpath.dirname(path) for path in named}
        images = sum(
            os.path.splitext(name)[1].lower() in self._endings
            for place in folders
            for name in self._files(place)
        )
        return max(0, images - len(named))

    def _files(self, place: str) -> frozenset[str]:
        if place not in self._names:
            try:
                self._names[place] = frozenset(self.tree.entries(place)[0])
            except DataError:  # no such folder
                self._names[place] = frozenset()
        return self._names[place]

    def _by_stem(self, place: str) -> dict[str, list[str]]:
        if place not in self._stems:
            stems: dict[str, list[str]] = {}
            for name in sorted(self._files(place)):
                stem, ending = os.path.splitext(name)
                if ending.lower() in self._endings:
                    stems.setdefault(stem, []).append(name)
            self._stems[place] = stems
        return self._stems[place]
