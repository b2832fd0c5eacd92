"""What lies in one folder: images, other files, folders to walk on into."""

import os

from convtrials.core.errors import DataError

#: Left behind by file managers, nobody's data.
CLUTTER = frozenset({"Thumbs.db", "desktop.ini", "__MACOSX"})
MAX_DEPTH = 8


def entries(place: str) -> tuple[list[str], list[str]]:
    """Names of files (in the system's order) and of folders (sorted) in a folder, clutter left out."""
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(place) as found:
            for entry in found:
                name = entry.name
                if name[0] == "." or name in CLUTTER:
                    continue
                if entry.is_dir():
                    folders.append(name)
                elif entry.is_file() or entry.is_symlink():
                    files.append(name)  # a dangling link is an unreadable image, not nothing
    except OSError as error:
        raise DataError(f"{place}: {error.strerror}") from error
    return files, sorted(folders)


def count_entries(place: str) -> tuple[int, list[str]]:
    """Number of everything in a folder, and the names of its folders, sorted."""
    # `entries` without names of files: this is nearly all the work of opening a packed folder again.
    count, folders = 0, []
    try:
        with os.scandir(place) as found:
            for entry in found:
                count += 1
                if entry.is_dir() and entry.name[0] != "." and entry.name not in CLUTTER:
                    folders.append(entry.name)
    except OSError as error:
        raise DataError(f"{place}: {error.strerror}") from error
    return count, sorted(folders)


def descend(folders: list[str], place: str, depth: int) -> list[str]:
    """Return the folders to walk on into, or refuse to go deeper than `MAX_DEPTH`."""
    if folders and depth >= MAX_DEPTH:
        raise DataError(f"{place}: folders nest deeper than {MAX_DEPTH} (a link that leads back?)")
    return folders
