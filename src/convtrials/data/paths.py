"""Paths and folders: what is typed, what lies in a folder, and which files are images by their names."""

import os
from pathlib import Path

from convtrials.core.errors import DataError

#: Formats that Pillow knows by name but that are no pictures to learn from, or that it cannot decode by itself:
#: documents (PostScript would start another program), video, vector drawings, and containers of data.
_LEFT_ALONE = frozenset({"BUFR", "EPS", "FLI", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})
#: A Pillow built without them does not list their endings; such a file is then bad, with the reason, not left alone.
_ALWAYS = frozenset({".avif", ".webp", ".heic", ".heif"})
#: Left behind by file managers, systems and storage boxes; not data. What begins with a dot is left out as well, such
#: as ``.ipynb_checkpoints``, ``.git``, and the ``._x.jpg`` of macOS.
CLUTTER = frozenset(
    {
        *("Thumbs.db", "thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini", "Icon\r", "__MACOSX"),
        *("$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "System Volume Information", "lost+found"),
        *(
            "@eaDir",
            "@Recycle",
            "@Recently-Snapshot",
            "@tmp",
            "#recycle",
            "#snapshot",
            "__pycache__",
            "node_modules",
        ),
        *("Network Trash Folder", "Temporary Items", "TheVolumeSettingsFolder"),
    }
)
MAX_DEPTH = 8


def typed_path(given: str | Path, *, asked_by: str = "") -> Path:
    """Expand ``~`` in a path, and refuse one that no file can have.

    Parameters
    ----------
    given : str or Path
        As typed; whether anything is there is not asked.
    asked_by : str
        Where it was typed, for messages, such as ``"CONVTRIALS_EMNIST="``.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        The home folder is unknown, a name is too long, or a folder above may not be entered.
    """
    try:
        path = Path(given).expanduser()
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    except OSError as error:
        raise DataError(f"{asked_by}{given}: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:  # no such user; a null byte within
        raise DataError(f"{asked_by}{given}: not a path ({error})") from error
    return path


def image_endings() -> frozenset[str]:
    """Return the endings, lower-case with their dot, of files that count as images.

    Returns
    -------
    frozenset of str
        Other files are left alone, counted by packing, and named by ``convtrials data check``.
    """
    from PIL import Image

    # Loads every decoder, which takes a moment: asked for by walks over a folder, not by opening a pack.
    by_ending = Image.registered_extensions()
    # A multi-picture .mpo is opened as the JPEG that it begins with.
    decoded = (Image.OPEN.keys() | {"MPO"}) - _LEFT_ALONE
    return _ALWAYS | {ending for ending, kind in by_ending.items() if kind in decoded}


def is_clutter(name: str) -> bool:
    """Whether a file or folder is hidden, or was left behind by a file manager."""
    return name[0] == "." or name in CLUTTER


def entries(place: str) -> tuple[list[str], list[str]]:
    """Names of files (in the system's order) and of folders (sorted) in a folder, clutter left out."""
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(place) as found:
            for entry in found:
                name = entry.name
                if is_clutter(name):
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
                if entry.is_dir() and not is_clutter(entry.name):
                    folders.append(entry.name)
    except OSError as error:
        raise DataError(f"{place}: {error.strerror}") from error
    return count, sorted(folders)


def descend(folders: list[str], place: str, depth: int) -> list[str]:
    """Return the folders to walk on into, or refuse to go deeper than `MAX_DEPTH`."""
    if folders and depth >= MAX_DEPTH:
        raise DataError(f"{place}: folders nest deeper than {MAX_DEPTH} (a link to a parent folder?)")
    return folders
