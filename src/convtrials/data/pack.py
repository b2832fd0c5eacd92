"""From a source to a pack: decode everything once, in parallel and in bounded memory."""

import contextlib
import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.files import flush, replace_file, write_json
from convtrials.core.progress import progress_task
from convtrials.data.groups import complete_listing
from convtrials.data.hashes import content_fingerprint, pack_key
from convtrials.data.options import DatasetOptions
from convtrials.data.parallel import WorkerPool, blocks, pool_for, reading_order
from convtrials.data.pixel_scale import find_scale
from convtrials.data.selection import (
    choose_rows,
    choose_shape,
    drawn_splits,
    only_classes,
    read_headers,
    refuse_one_class,
    refuse_untrained,
    source_images,
    split_rows,
)
from convtrials.data.sources.base import BadImage, Listing, Source
from convtrials.data.sources.frame import Frame, PixelScale
from convtrials.data.split import SPLITS
from convtrials.data.store import FORMAT, building_folder, publish

#: Images that all end below this are probably of fewer than 8 bits.
_BRIGHT = 64


@dataclass(frozen=True)
class BlockDecoder:
    """Decodes rows of a source into their places in the file of images; returns what was bad."""

    source: Source
    file: Path
    frame: Frame

    def __call__(self, task: tuple[NDArray[np.int64], NDArray[np.int64]]) -> list[BadImage]:
        """Decode the listing's `rows` to their places in the file, ``(places, rows)``."""
        places, rows = task
        # Opened for each block: pages of a closed map leave this process, so that memory stays bounded.
        images = np.lib.format.open_memmap(self.file, mode="r+")
        bad: list[BadImage] = []
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
            start, stop = int(rows[run[0]]), int(rows[run[-1]]) + 1
            pixels, failed = self.source.read(start, stop, self.frame)
            images[places[run]] = pixels
            bad += failed
        return bad


def build_pack(source: Source, options: DatasetOptions, *, workers: int | None = None) -> Path:
    """Decode a source and put its pack in place.

    Parameters
    ----------
    source : Source
        Where the images are.
    options : DatasetOptions
    workers : int or None
        Processes that decode; None: one a processor.

    Returns
    -------
    Path
        The pack's folder.

    Raises
    ------
    DataError
        Where the source is no dataset, or images are bad and `skip_bad` is off.
    """
    listing = only_classes(complete_listing(source.scan(), source, options), options.classes)
    refuse_one_class(source.location, listing)
    rows = choose_rows(listing, options.samples_per_class)
    if not len(rows):
        raise DataError(f"{source.location}: holds no images")
    with building_folder() as folder, pool_for(source, len(rows), workers) as pool:
        headers = read_headers(source, listing, rows, options, pool)
        shape = choose_shape(source, listing, options, headers)
        scale, notes = find_scale(source, listing, rows, options, pool, headers)
        listing = replace(listing, notes=(*listing.notes, *notes))
        frame = options.frame(shape, scale)
        bad = _decode(source, listing, rows, frame, folder / "images.npy", pool)
        if bad:
            if not options.skip_bad:
                raise DataError(bad_images_message(source, bad))
            rows = _leave_out(rows, bad, folder / "images.npy")
        at_source = source_images(listing, rows, headers)
        manifest = _write_rest(source, listing, rows, frame, options, bad, folder, at_source)
        return publish(folder, manifest["key"])


def bad_images_message(source: Source, bad: Sequence[BadImage]) -> str:
    """Say which files are bad and what to do."""
    first = "; ".join(f"{item.path}: {item.reason}" for item in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    return (
        f"{source.location}: {len(bad)} file(s) cannot be read as images: {first}{more}\n"
        "Remove or replace them, or leave them out with --skip-bad (all are named in the pack's manifest)."
    )


def _decode(
    source: Source,
    listing: Listing,
    rows: NDArray[np.int64],
    frame: Frame,
    file: Path,
    pool: WorkerPool,
) -> list[BadImage]:
    shape = frame.shape
    assert shape is not None
    # An array source reads a block at its own size before it shrinks it.
    widest = max(int(np.prod(shape)), int(np.prod(listing.native_shape or (0,))))
    _reserve(file, (len(rows), *shape))
    bad: list[BadImage] = []
    with progress_task(f"pack {source.name}", len(rows)) as progress:
        order = reading_order(source, rows)
        tasks = [(order[first : first + len(own)], own) for first, own in blocks(rows[order], widest)]
        for (_, own), failed in pool.map(BlockDecoder(source, file, frame), tasks):
            bad += failed
            progress.advance(len(own))
            if bad:
                progress.show(f"{len(bad)} bad")
    return sorted(bad, key=lambda item: item.index)


def _reserve(file: Path, shape: tuple[int, ...]) -> None:
    images = open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    del images
    if hasattr(os, "posix_fallocate"):
        # Claimed now: on a full disk this fails, where a write to the map later would kill the process.
        with open(file, "r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
    elif shutil.disk_usage(file.parent).free < file.stat().st_size:  # or what others leave of it meanwhile
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))


def _darkness(brightest: int) -> list[str]:
    """Note images of which none is bright: masks of 0 and 1, or 16 levels of grey stored as they are."""
    if not 0 < brightest < _BRIGHT:
        return []
    return [
        f"the brightest pixel of all is {brightest} of 255: --bits says so where fewer than 8 bits are used"
    ]


def _leave_out(rows: NDArray[np.int64], bad: Sequence[BadImage], file: Path) -> NDArray[np.int64]:
    keep = np.flatnonzero(~np.isin(rows, [item.index for item in bad]))
    if not len(keep):
        raise DataError(f"none of the {len(rows)} files can be read as an image; first: {bad[0].path}")
    shape = open_memmap(file, mode="r").shape
    kept = file.with_name("kept.npy")
    _reserve(kept, (len(keep), *shape[1:]))
    for first, own in blocks(keep, int(np.prod(shape[1:]))):
        open_memmap(kept, mode="r+")[first : first + len(own)] = open_memmap(file, mode="r")[own]
    replace_file(kept, file)
    return rows[keep]


def _write_rest(
    source: Source,
    listing: Listing,
    rows: NDArray[np.int64],
    frame: Frame,
    options: DatasetOptions,
    bad: Sequence[BadImage],
    folder: Path,
    at_source: dict[str, Any] | None,
) -> dict[str, Any]:
    labels = listing.labels[rows].astype(np.int64)
    groups = None if listing.groups is None else listing.groups[rows].astype(np.int32)
    split = split_rows(listing, rows, options.ratios, options.split_seed)
    refuse_untrained(source.location, listing, labels, split)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "split.npy", split)
    if groups is not None:
        np.save(folder / "groups.npy", groups)
    weights = None if listing.weights is None else listing.weights[rows].astype(np.float32)
    if weights is not None:
        np.save(folder / "weights.npy", weights)
    paths = None if listing.paths is None else [listing.paths[row] for row in rows]
    if paths is not None:
        write_json(folder / "paths.json", paths)
    images = np.load(folder / "images.npy", mmap_mode="r")
    content = content_fingerprint(images, labels, split, groups, listing, weights)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": source.name,
        "location": source.location,
        "fingerprint": content.digest,
        "count": len(rows),
        "shape": list(frame.shape or ()),
        "class_names": list(listing.class_names),
        "counts": {name: int((split == code).sum()) for code, name in enumerate(SPLITS)},
        "class_counts": [int(count) for count in np.bincount(labels, minlength=len(listing.class_names))],
        "mean": content.mean,
        "std": content.std,
        "split_by": "source" if listing.split is not None else "convtrials",
        "options": options.document(),
        "group_names": list(listing.group_names),
        "group_kind": listing.group_kind,
        "groups_are_sampled": listing.groups_are_sampled,
        "left_alone": listing.left_alone,
        "quarantined": [{"path": item.path, "reason": item.reason} for item in bad],
        "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }
    if frame.scale != PixelScale():
        manifest["pixel_scale"] = asdict(frame.scale)
    if at_source is not None:
        manifest["source_images"] = at_source
    if listing.split is not None and (drawn := drawn_splits(listing, rows, split)):
        manifest["drawn_splits"] = list(drawn)
    notes = [*listing.notes, *_darkness(content.brightest)]
    if notes:  # absent from older packs, which keep their keys
        manifest["notes"] = notes
    manifest["key"] = pack_key(manifest, paths)
    with contextlib.suppress(OSError):
        flush(folder / "images.npy")
    write_json(folder / "manifest.json", manifest)
    return manifest
