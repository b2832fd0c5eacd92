"""Which files of a folder are a table of images: one, or one for each split."""

import os
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convtrials.core.errors import DataError
from convtrials.data.sources.base import Source
from convtrials.data.sources.table import Table, first_look, open_file
from convtrials.data.sources.table_candidates import PART, Candidates, part_code
from convtrials.data.sources.table_columns import refuse_incomplete
from convtrials.data.sources.table_files import table_source
from convtrials.data.sources.table_paths import USUAL, LinkedTree, locate
from convtrials.data.sources.tree import DiskTree, FileTree

if TYPE_CHECKING:
    from convtrials.data.options import DatasetOptions

_MOST_CLASSES = 1000


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


def table_in(
    tree: FileTree, found: Candidates, options: "DatasetOptions"
) -> tuple[Source | None, tuple[str, ...]]:
    """Find the table of images among those of a folder.

    Parameters
    ----------
    tree : FileTree
        The folder, on disk or in an archive.
    found : Candidates
        Its tables, one or more.
    options : DatasetOptions
        `columns`, `fold`, `skip_bad` and `bits` count.

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
    home, sets = found.home, found.sets
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
    match = PART.fullmatch(stem)
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
    return folder == home or name in USUAL or name.endswith("images") or part_code(name) is not None
