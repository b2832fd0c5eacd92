"""A dataset's split written out as folders, as the split-folders package writes them."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.files import WINDOWS, move_folder, staged_folder
from convtrials.core.names import merged_names, windows_refuses
from convtrials.core.progress import Task, progress_task
from convtrials.data.groups import complete_listing
from convtrials.data.hashes import hash_images
from convtrials.data.open import one_source
from convtrials.data.options import DatasetOptions
from convtrials.data.pack import bad_images_message
from convtrials.data.parallel import blocks, pool_for
from convtrials.data.paths import typed_path
from convtrials.data.pixel_scale import find_scale
from convtrials.data.selection import choose_rows, only_classes, refuse_one_class, split_rows
from convtrials.data.sources.base import Listing, Source
from convtrials.data.sources.find import find_source
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import UnreadableImageError
from convtrials.data.sources.joined import JoinedSource
from convtrials.data.sources.tree import DiskTree
from convtrials.data.split import SPLITS

#: What a file system without hard links answers, or one that is not the source's.
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EMLINK, errno.EINVAL}


def write_split(
    source: str | Path | None,
    out: str | Path,
    *,
    train: str | Path | None = None,
    link: bool = False,
    **options: Any,
) -> dict[str, int]:
    """Write ``out/{train,val,test}/CLASS/file``, the same split that `load_dataset` makes.

    Files of a folder are copied; images of other sources are written as PNG. Everything is written next to `out`
    and put in place by one rename, so that `out` is whole or absent.

    Parameters
    ----------
    source, train : str or Path
        As for `convtrials.data.open.load_dataset`.
    out : str or Path
        A folder that does not exist, or is empty.
    link : bool
        Hard links instead of copies (folders only; same file system).
    **options
        As for `convtrials.data.open.load_dataset`. With ``skip_bad=True`` every image is decoded first and the
        unreadable are left out; without it files are copied unread.

    Returns
    -------
    dict
        Images in each split.

    Raises
    ------
    DataError
        Where `out` holds something, lies within the source, or cannot be written.
    """
    wanted = DatasetOptions.make(options)
    found = find_source(one_source(source, train), wanted)
    target = typed_path(out).resolve()
    _refuse_target(found, target)
    listing = only_classes(complete_listing(found.scan(), found, wanted), wanted.classes)
    if link and (listing.paths is None or not _on_disk(found)):
        raise DataError(f"{found.location}: holds no image files to link to; leave --link out")
    refuse_one_class(found.location, listing)
    rows = choose_rows(listing, wanted.samples_per_class)
    frame = Frame(listing.native_shape)
    if listing.paths is None:  # images are drawn, on the scale that a pack has
        with pool_for(found, len(rows)) as pool:
            frame = replace(frame, scale=find_scale(found, listing, rows, wanted, pool)[0])
    if wanted.skip_bad:
        bad = hash_images(found, listing, frame).bad
        rows = rows[~np.isin(rows, [item.index for item in bad])]
        if not len(rows):
            raise DataError(bad_images_message(found, bad))
    split = split_rows(listing, rows, wanted.ratios, wanted.split_seed)
    for name in listing.class_names:
        why = windows_refuses(name) if WINDOWS else None
        if Path(name).name != name or name.startswith(".") or why:
            raise DataError(
                f"{found.location}: class name {name!r} cannot be a folder's name{f': {why}' if why else ''}"
            )
    try:
        with (
            staged_folder(target) as building,
            progress_task(f"write {target.name}", len(rows)) as progress,
        ):
            _write(found, listing, rows, split, building, link, frame, progress)
            move_folder(building, target)
    except OSError as error:
        raise DataError(f"{error.filename or target}: cannot be written: {error.strerror}") from error
    return {name: int((split == code).sum()) for code, name in enumerate(SPLITS)}


def _refuse_target(source: Source, target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: exists and is not empty; nothing is overwritten, choose another folder")
    for location in getattr(source, "locations", (source.location,)):
        if Path(location) == target or Path(location) in target.parents:
            raise DataError(
                f"{target}: lies within the source, which would then contain itself; choose another folder"
            )


def _write(
    source: Any,
    listing: Listing,
    rows: NDArray[np.int64],
    split: NDArray[np.uint8],
    building: Path,
    link: bool,
    frame: Frame,
    progress: Task,
) -> None:
    for part in SPLITS:
        for name in listing.class_names:
            if (split == SPLITS.index(part)).any():
                (building / part / name).mkdir(parents=True, exist_ok=True)
        _refuse_merged(building / part, [n for n in listing.class_names if (building / part / n).is_dir()])
    targets = [
        building / SPLITS[code] / listing.class_names[listing.labels[row]]
        for row, code in zip(rows, split, strict=True)
    ]
    if listing.paths is not None:
        for row, folder in zip(rows.tolist(), targets, strict=True):
            # A class folder's own folders are kept, so that a/1.png and b/1.png stay two files.
            target = _unused(folder.joinpath(*source.name_in_class(row).split("/")))
            tree, path = source.file_of(row)
            _place(tree, path, target, link)
            progress.advance()
    else:
        _draw(source, frame, rows, targets, progress)


def _on_disk(source: Any) -> bool:
    """Whether every image is a file of its own on disk."""
    parts = source.sources.values() if isinstance(source, JoinedSource) else [source]
    return all(isinstance(getattr(part, "tree", None), DiskTree) for part in parts)


def _unused(target: Path) -> Path:
    """Return a file's place, or one like it: two spellings of a class may hold files of one name."""
    number = 1
    found = target
    while found.exists():
        number += 1
        found = target.with_stem(f"{target.stem}-{number}")
    return found


def _refuse_merged(folder: Path, names: list[str]) -> None:
    """Refuse classes whose folders are one folder here: their images would be one class, without a word."""
    merged = merged_names(folder, names) if names else []
    if merged:
        shown = ", ".join(map(repr, merged[:6]))
        raise DataError(
            f"{folder.parent.parent}: this file system keeps no folders of their own for the classes {shown}; "
            "choose a folder on one that keeps upper and lower case apart, or rename the classes"
        )


def _place(tree: Any, path: str, target: Path, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise DataError(f"{path}: would overwrite another image: {target}")
    if not isinstance(tree, DiskTree):
        target.write_bytes(tree.read(path))
    elif link:
        _link(tree.where(path), target)
    else:
        shutil.copy2(tree.where(path), target)


def _link(file: str, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise DataError(
                f"{file}: cannot be linked to from {target.parent.parent.parent.parent} ({error.strerror}); "
                "leave --link out, files are then copied"
            ) from error
        raise


def _draw(source: Any, frame: Frame, rows: NDArray[np.int64], targets: list[Path], progress: Task) -> None:
    from PIL import Image

    shape = frame.shape
    if shape is None:  # images of several sizes, from several sources or within a table
        _draw_each(source, frame, rows, targets, progress)
        return
    for first, own in blocks(rows, int(np.prod(shape))):
        start, stop = int(own[0]), int(own[-1]) + 1
        if stop - start == len(own):
            images = source.read(start, stop, frame)[0]
        else:
            images = np.concatenate([source.read(int(row), int(row) + 1, frame)[0] for row in own])
        for place, image in enumerate(images):
            picture = Image.fromarray(image[..., 0] if shape[2] == 1 else image)
            picture.save(targets[first + place] / f"{int(rows[first + place]):07d}.png")
            progress.advance()


def _draw_each(
    source: Any, frame: Frame, rows: NDArray[np.int64], targets: list[Path], progress: Task
) -> None:
    from PIL import Image

    for row, folder in zip(rows.tolist(), targets, strict=True):
        try:
            image = source.native(row, frame)
        except UnreadableImageError as error:
            raise DataError(
                f"{source.location}, {source.path_of(row)}: {error}; --skip-bad leaves it out"
            ) from error
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        picture.save(folder / f"{row:07d}.png")
        progress.advance()
