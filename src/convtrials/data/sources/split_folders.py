"""Which folders are splits, and which are classes."""

import os

from convtrials.core.errors import DataError
from convtrials.data.paths import image_endings
from convtrials.data.sources.tree import FileTree

#: Names of split folders, in any case, and their codes.
SPLIT_FOLDERS = {
    "train": 0,
    "training": 0,
    "val": 1,
    "valid": 1,
    "validation": 1,
    "test": 2,
    "testing": 2,
}
_KNOWN = "train or training; val, valid or validation; test or testing (in any case)"


def split_folders(tree: FileTree, top: list[str]) -> list[tuple[str, int]]:
    """Find the split folders among a source's outermost folders.

    Parameters
    ----------
    tree : FileTree
        The source.
    top : list of str
        Names of the folders in it.

    Returns
    -------
    list of (str, int)
        Name and code (0 train, 1 val, 2 test), by code; empty where the folders are classes.

    Raises
    ------
    DataError
        Where a folder next to train is no split, two mean the same split, or all look like splits by what is in
        them while none is named as training.
    """
    codes = {name: SPLIT_FOLDERS[name.lower()] for name in top if name.lower() in SPLIT_FOLDERS}
    training = [name for name, code in codes.items() if code == 0]
    # Classes may well be called "train" and "test": then they hold images, not folders.
    if not any(tree.entries(name)[1] for name in training):
        _refuse_lookalikes(tree, top)
        return []
    where = tree.location
    if len(codes) < len(top):
        other = min(set(top) - set(codes))
        raise DataError(
            f"{where}: next to {training[0]} there is {other}, which is neither val nor test; known are {_KNOWN}"
        )
    for code, part in enumerate(("training", "validation", "test")):
        same = sorted(name for name, own in codes.items() if own == code)
        if len(same) > 1:
            raise DataError(f"{where}: two {part} folders, {' and '.join(same)}; keep one")
    return sorted(codes.items(), key=lambda item: item[1])


def _refuse_lookalikes(tree: FileTree, top: list[str]) -> None:
    """Refuse folders that all hold the same two or more folders and no image: splits by other names."""
    if len(top) < 2:
        return
    endings = image_endings()
    inner: list[str] = []
    for name in top:
        files, folders = tree.entries(name)
        if len(folders) < 2 or (inner and folders != inner):
            return
        if any(os.path.splitext(file)[1].lower() in endings for file in files):
            return
        inner = folders
    shown = ", ".join(top[:3]) + (" ..." if len(top) > 3 else "")
    names = ", ".join(inner[:3]) + (" ..." if len(inner) > 3 else "")
    raise DataError(
        f"{tree.location}: {shown} all hold the same folders ({names}) and look like splits, not classes\n"
        f"Names of splits are {_KNOWN}; if these are classes, put their images directly into them."
    )
