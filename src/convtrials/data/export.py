"""A dataset's split written out as folders, as the split-folders package writes them."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.files import staged_folder
from convtrials.core.progress import Task, progress_task
from convtrials.data.dataset import DEFAULT_RATIOS, SPLITS
from convtrials.data.hashes import hash_images
from convtrials.data.pack import bad_images_message
from convtrials.data.parallel import blocks
from convtrials.data.paths import typed_path
from convtrials.data.selection import choose_rows, only_classes, split_rows
from convtrials.data.sources.base import Listing, Source
from convtrials.data.sources.find import find_source
from convtrials.data.sources.folder import FolderSource
from convtrials.data.split import check_ratios


def write_split(
    source: str | Path,
    out: str | Path,
    *,
    ratios: Sequence[float] = DEFAULT_RATIOS,
    split_seed: int = 0,
    samples_per_class: int | None = None,
    classes: Sequence[str] | None = None,
    link: bool = False,
    skip_bad: bool = False,
) -> dict[str, int]:
    """Write ``out/{train,val,test}/CLASS/file``, the same split that `load_dataset` makes.

    Files of a folder are copied; images of other sources are written as PNG. Everything is written next to `out`
    and put in place by one rename, so that `out` is whole or absent.

    Parameters
    ----------
    source : str or Path
        As for `convtrials.data.open.load_dataset`.
    out : str or Path
        A folder that does not exist, or is empty.
    ratios, split_seed, samples_per_class, classes
        As for `convtrials.data.open.load_dataset`.
    link : bool
        Hard links instead of copies (folders only; same file system).
    skip_bad : bool
        Decode every image first and leave the unreadable out; without it files are copied unread.

    Returns
    -------
    dict
        Images in each split.

    Raises
    ------
    DataError
        Where `out` holds something, lies within the source, or cannot be written.
    """
    found = find_source(source, samples_per_class=samples_per_class)
    target = typed_path(out).resolve()
    _refuse_target(found, target)
    listing = only_classes(found.scan(), classes)
    if link and listing.paths is None:
        raise DataError(f"{found.location}: holds no image files to link to; leave --link out")
    rows = choose_rows(listing, samples_per_class)
    if skip_bad:
        bad = hash_images(found, listing).bad
        rows = rows[~np.isin(rows, [item.index for item in bad])]
        if not len(rows):
            raise DataError(bad_images_message(found, bad))
    split = split_rows(listing, rows, check_ratios(ratios), split_seed)
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
            _place(Path(source.location) / path, folder.joinpath(*path.split("/")[above:]), link)
            progress.advance()
    else:
        _draw(source, listing, rows, targets, progress)


def _place(file: Path, target: Path, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        os.link(file, target)
    else:
        shutil.copy2(file, target)


def _draw(
    source: Source, listing: Listing, rows: NDArray[np.int64], targets: list[Path], progress: Task
) -> None:
    from PIL import Image

    shape = listing.native_shape
    assert shape is not None
    for first, own in blocks(rows, int(np.prod(shape))):
        start, stop = int(own[0]), int(own[-1]) + 1
        if stop - start == len(own):
            images = source.read(start, stop, shape)[0]
        else:
            images = np.concatenate([source.read(int(row), int(row) + 1, shape)[0] for row in own])
        for place, image in enumerate(images):
            picture = Image.fromarray(image[..., 0] if shape[2] == 1 else image)
            picture.save(targets[first + place] / f"{int(rows[first + place]):07d}.png")
            progress.advance()
