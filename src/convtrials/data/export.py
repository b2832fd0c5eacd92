"""A dataset's split written out as folders, as the split-folders package writes them."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.files import staged_folder
from convtrials.core.progress import Task, progress_task
from convtrials.data.hashes import hash_images
from convtrials.data.open import one_source
from convtrials.data.options import DatasetOptions
from convtrials.data.pack import bad_images_message
from convtrials.data.parallel import blocks
from convtrials.data.paths import typed_path
from convtrials.data.selection import choose_rows, only_classes, split_rows
from convtrials.data.sources.base import Listing, Source
from convtrials.data.sources.find import find_source
from convtrials.data.sources.folder import FolderSource
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.tree import DiskTree
from convtrials.data.split import SPLITS


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
    listing = only_classes(found.scan(), wanted.classes)
    tree = getattr(found, "tree", None)
    if link and not isinstance(tree, DiskTree):
        raise DataError(f"{found.location}: holds no image files to link to; leave --link out")
    rows = choose_rows(listing, wanted.samples_per_class)
    if wanted.skip_bad:
        bad = hash_images(found, listing).bad
        rows = rows[~np.isin(rows, [item.index for item in bad])]
        if not len(rows):
            raise DataError(bad_images_message(found, bad))
    split = split_rows(listing, rows, wanted.ratios, wanted.split_seed)
    for name in listing.class_names:
        if Path(name).name != name or name.startswith("."):
            raise DataError(f"{found.location}: class name {name!r} cannot be a folder's name")
    try:
        with (
            staged_folder(target) as building,
            progress_task(f"write {target.name}", len(rows)) as progress,
        ):
            _write(found, listing, rows, split, building, link, progress)
            os.replace(building, target)
    except OSError as error:
        raise DataError(f"{error.filename or target}: cannot be written: {error.strerror}") from error
    return {name: int((split == code).sum()) for code, name in enumerate(SPLITS)}


def _refuse_target(source: Source, target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: exists and is not empty; nothing is overwritten, choose another folder")
    if Path(source.location) == target or Path(source.location) in target.parents:
        raise DataError(
            f"{target}: lies within the source, which would then contain itself; choose another folder"
        )


def _write(
    source: Source,
    listing: Listing,
    rows: NDArray[np.int64],
    split: NDArray[np.uint8],
    building: Path,
    link: bool,
    progress: Task,
) -> None:
    for part in SPLITS:
        for name in listing.class_names:
            if (split == SPLITS.index(part)).any():
                (building / part / name).mkdir(parents=True, exist_ok=True)
    targets = [
        building / SPLITS[code] / listing.class_names[listing.labels[row]]
        for row, code in zip(rows, split, strict=True)
    ]
    if listing.paths is not None:
        # A class folder's own folders are kept, so that a/1.png and b/1.png stay two files.
        above = 2 if isinstance(source, FolderSource) and source.contents().parts else 1
        for row, folder in zip(rows.tolist(), targets, strict=True):
            path = listing.paths[row]
            _place(source, path, folder.joinpath(*path.split("/")[above:]), link)
            progress.advance()
    else:
        _draw(source, listing, rows, targets, progress)


def _place(source: Any, path: str, target: Path, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(source.tree, DiskTree):
        target.write_bytes(source.tree.read(path))
    elif link:
        os.link(source.tree.where(path), target)
    else:
        shutil.copy2(source.tree.where(path), target)


def _draw(
    source: Source, listing: Listing, rows: NDArray[np.int64], targets: list[Path], progress: Task
) -> None:
    from PIL import Image

    shape = listing.native_shape
    assert shape is not None
    for first, own in blocks(rows, int(np.prod(shape))):
        start, stop = int(own[0]), int(own[-1]) + 1
        if stop - start == len(own):
            images = source.read(start, stop, Frame(shape))[0]
        else:
            images = np.concatenate([source.read(int(row), int(row) + 1, Frame(shape))[0] for row in own])
        for place, image in enumerate(images):
            picture = Image.fromarray(image[..., 0] if shape[2] == 1 else image)
            picture.save(targets[first + place] / f"{int(rows[first + place]):07d}.png")
            progress.advance()
