"""Which files of a folder are a table of images: one, or one for each split."""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convtrials.core.errors import DataError
from convtrials.data.sources.base import Source
from convtrials.data.sources.table import Table, first_look, open_file
from convtrials.data.sources.table_columns import refuse_incomplete
from convtrials.data.sources.table_files import table_source
from convtrials.data.sources.table_paths import USUAL, LinkedTree, locate
from convtrials.data.sources.tree import DiskTree, FileTree

if TYPE_CHECKING:
    from convtrials.data.options import DatasetOptions

#: ``stem-train``, ``train``, ``train_labels``, ``train-00000-of-00002``; the rest names the set.
_PART = re.compile(
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
_MOST_CLASSES = 1000
_MOST_WRAPPERS = 3
_MOST_FILES = 4096
_MOST_TABLES = 64


def table_at(path: Path, options: "DatasetOptions") -> Source:
    """Open a table that was named: it must be one of images and labels.

    Parameters
    ----------
    path : Path
        The file.
    options : DatasetOptions
        `columns`, `fold` and `skip_bad` count.

    Raises
    ------
    DataError
        With the columns that it has.
    """
    tree = LinkedTree(path.parent)
    table = first_look([open_file(tree, path.name)], [255], options.columns, options.fold)
    refuse_incomplete(table.where, table.names, table.roles)
    return _source(tree, _with_mapping(tree, table), path.name, options)


def table_in(tree: FileTree, options: "DatasetOptions") -> tuple[Source | None, tuple[str, ...]]:
    """Look for a table of images in a folder.

    Parameters
    ----------
    tree : FileTree
        The folder, on disk or in an archive.
    options : DatasetOptions
        `columns`, `fold` and `skip_bad` count.

    Returns
    -------
    source, notes
        None, and a note on each table that is left alone, where class folders say the same or more.

    Raises
    ------
    DataError
        Several tables may be meant.
    """
    if isinstance(tree, DiskTree):
        tree = LinkedTree(tree.folder)
    home = _home(tree)
    sets = _candidates(tree, home)
    if not sets:
        return None, ()
    usable: dict[str, Table] = {}
    notes: list[str] = []
    broken: list[DataError] = []
    for stem, paths in sets.items():
        try:
            table = _joined(tree, paths, options, notes)
        except DataError as error:
            broken.append(error)
            continue
        if table is not None:
            usable[stem] = table
    if not usable:
        if broken and (options.columns or not _class_folders(tree, home)):
            raise broken[0]
        return None, ()
    if _class_folders(tree, home):
        spread = {stem: table for stem, table in usable.items() if not _in_one_folder(tree, table)}
        ignored = tuple(
            f"{posixpath.basename(file.path)} is not used, since folders name the classes; name the file to use it"
            for table in spread.values()
            for file in table.files
        )
        usable = {stem: table for stem, table in usable.items() if stem not in spread}
        if not usable:
            return None, ignored
        notes.append("other folders with images are not used, since the table says the labels")
    if len(usable) > 1:
        more = " ..." if len(usable) > 4 else ""
        names = [table.files[0].path for table in usable.values()]
        raise DataError(
            f"{tree.location}: {len(names)} tables of images ({', '.join(names[:4])}{more}); "
            "name one; a set in two files is --train FILE --test FILE"
        )
    table = next(iter(usable.values()))
    table = replace(table, notes=(*table.notes, *notes))
    return _source(tree, _with_mapping(tree, table), "", options), ()


def _source(tree: FileTree, table: Table, place: str, options: "DatasetOptions") -> Source:
    emnist = any("emnist" in posixpath.basename(file.path).lower() for file in table.files)
    found: Source = table_source(
        tree, table, place, skip_bad=options.skip_bad, transposed=emnist, bits=options.bits
    )
    return found


def _home(tree: FileTree) -> str:
    """Descend through folders that hold nothing but one folder, as unpacking leaves them."""
    home = ""
    for _ in range(_MOST_WRAPPERS):
        files, folders = tree.entries(home)
        if len(folders) != 1 or any(name.lower().endswith(TABLE_ENDINGS) for name in files):
            return home
        if _code(folders[0]) is not None or folders[0].lower() in _SNAPSHOT:
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
        code = _code(folder)
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
            code = _code(folder)
            if code is not None:
                own = sorted(
                    name for name in tree.entries(f"{place}/{folder}")[0] if name.endswith(".parquet")
                )
                within += [(f"{place}/{folder}/{name}", code) for name in own[:_MOST_FILES]]
        if within:
            return {"": sorted(within, key=lambda item: item[1])}
    return {}


def _code(name: str) -> int | None:
    match = _PART.fullmatch(name)
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
        match = _PART.fullmatch(stem)
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


def _joined(
    tree: FileTree, paths: Sequence[tuple[str, int]], options: "DatasetOptions", notes: list[str]
) -> Table | None:
    """Open the files of a set; those without labels are left out, with a note."""
    usable: list[tuple[str, int]] = []
    for path, code in paths:
        table = first_look([open_file(tree, path)], [code], options.columns, options.fold)
        if table.roles.usable:
            usable.append((path, code))
        elif (table.roles.pixels or table.roles.image is not None) and code:
            notes.append(f"{posixpath.basename(path)} has no labels, and is left out")
    if not usable or not any(code in (0, 255) for _, code in usable):
        return None
    codes = [code for _, code in usable]
    if set(codes) == {0}:
        codes = [255] * len(codes)
    return first_look([open_file(tree, path) for path, _ in usable], codes, options.columns, options.fold)


def _with_mapping(tree: FileTree, table: Table) -> Table:
    """Look for the file that names the classes of a table of pixels, as EMNIST has it."""
    if not table.roles.pixels:
        return table
    folder, name = posixpath.split(table.files[0].path)
    stem = os.path.splitext(name)[0]
    match = _PART.fullmatch(stem)
    wanted = [f"{stem}-mapping.txt"] + ([f"{match['stem']}-mapping.txt"] if match else [])
    files = tree.entries(folder)[0]
    found = next((name for name in wanted if name in files), None)
    return table if found is None else replace(table, mapping=posixpath.join(folder, found))


def _class_folders(tree: FileTree, top: str) -> bool:
    """Whether two or more folders hold images, at the top or in a split's folder."""
    from convtrials.data.paths import image_endings
    from convtrials.data.sources.split_folders import split_folder_name

    endings = image_endings()
    folders = tree.entries(top)[1]
    splits = [posixpath.join(top, name) for name in folders if split_folder_name(name) is not None]
    for home in (top, *splits):
        holding = 0
        for folder in (folders if home == top else tree.entries(home)[1])[:_MOST_CLASSES]:
            files, _ = tree.entries(posixpath.join(home, folder))
            holding += any(os.path.splitext(name)[1].lower() in endings for name in files)
            if holding > 1:
                return True
    return False


def _in_one_folder(tree: FileTree, table: Table) -> bool:
    """Whether all images of a table lie in one folder that is no class, for each of its files; pixels lie in none."""
    if table.roles.pixels or table.roles.image in table.files[0].encoded:
        return False  # the folders hold other images
    for file in table.files:
        home = posixpath.dirname(file.path)
        (values,), _ = file.texts([table.roles.image])  # type: ignore[list-item]
        try:
            paths = locate(tree, home, values, where=file.where).paths
        except DataError:
            return False
        folders = {posixpath.dirname(path) for path in paths if path is not None}
        if len(folders) != 1 or not _is_no_class(next(iter(folders)), home):
            return False
    return True


def _is_no_class(folder: str, home: str) -> bool:
    """Whether a folder of images is the table's own, or has a name that no class has."""
    name = posixpath.basename(folder).lower()
    return folder == home or name in USUAL or name.endswith("images") or _code(name) is not None
