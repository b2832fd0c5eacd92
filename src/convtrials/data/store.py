"""Packs on disk: where they lie, how they are opened, checked and put in place."""

import errno
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from convtrials.core.errors import DataError
from convtrials.core.files import cache_folder, read_json, write_json
from convtrials.data.dataset import Dataset

#: Goes up when older packs can no longer be read.
FORMAT = 1
_BUILDING = ".building-"
_NO_WRITING = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
}


def packs_folder() -> Path:
    """Where packs are kept."""
    return cache_folder() / "packs"


@contextmanager
def plain_disk_errors() -> Iterator[None]:
    """Turn a full disk, a missing permission or a source that cannot be read into one line that says what to do."""
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else None
        if place is not None and not _of_cache(Path(place)):
            raise DataError(f"{place}: cannot be read: {error.strerror}") from error
        if error.errno not in _NO_WRITING:
            raise
        what = "" if place is None else f"{place}: "
        raise DataError(
            f"cannot write the pack below {cache_folder()}: {what}{error.strerror}; make room there, or set "
            "CONVTRIALS_CACHE to a folder that can be written"
        ) from error


def _of_cache(path: Path) -> bool:
    """Whether a path lies in the cache, or is a folder on the way to it."""
    cache = Path(os.path.abspath(cache_folder()))
    path = Path(os.path.abspath(path))
    return path == cache or cache in path.parents or path in cache.parents


@contextmanager
def building_folder() -> Iterator[Path]:
    """Yield a fresh folder next to the packs; it is removed at the end unless it was moved away."""
    packs = packs_folder()
    packs.mkdir(parents=True, exist_ok=True)
    _sweep(packs)
    folder = packs / f"{_BUILDING}{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(packs: Path) -> None:
    """Remove what killed processes of this machine left half built."""
    start = f"{_BUILDING}{socket.gethostname()}-"
    for left in packs.glob(f"{start}*"):
        pid = left.name.removeprefix(start).split("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def publish(built: Path, key: str) -> Path:
    """Put a finished pack in its place by one rename.

    Where an equal, sound pack stands already (another process was faster), that one stays.

    Parameters
    ----------
    built : Path
        The folder from `building_folder`, with its manifest.
    key : str
        The pack's key.

    Returns
    -------
    Path
        ``packs/<key>``.
    """
    target = packs_folder() / key
    for _ in range(10):
        try:
            os.rename(built, target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        standing = contents_digest(target, key)
        if standing is not None and standing == contents_digest(built, key):
            return target
        damaged = packs_folder() / f"{built.name}-replaced-{uuid.uuid4().hex[:8]}"
        try:
            os.rename(target, damaged)
        except FileNotFoundError:
            continue  # another process is replacing it too
        shutil.rmtree(damaged, ignore_errors=True)
    raise DataError(f"{target}: other processes keep replacing this pack")


def contents_digest(folder: Path, key: str) -> str | None:
    """Hash every file that a pack's manifest names; None where the pack is incomplete."""
    manifest = sound_manifest(folder, key)
    if manifest is None:
        return None
    digest = blake2b(json.dumps(manifest, sort_keys=True).encode(), digest_size=16)
    for name in sorted(manifest["files"]):
        with open(folder / name, "rb") as file:
            while piece := file.read(1 << 22):
                digest.update(piece)
    return digest.hexdigest()


def sound_manifest(folder: Path, key: str) -> dict[str, Any] | None:
    """Read a pack's manifest; None where it, or a file it names, is missing or of another size."""
    try:
        manifest = read_json(folder / "manifest.json")
        if manifest["format"] != FORMAT or manifest["key"] != key:
            return None
        for name, size in manifest["files"].items():
            if Path(name).name != name or os.stat(folder / name).st_size != size:
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(manifest)


def open_pack(folder: Path) -> Dataset | None:
    """Open a pack; None where it is damaged.

    Returns
    -------
    Dataset or None
        Images memory-mapped, read-only; the small arrays in memory.
    """
    manifest = sound_manifest(folder, folder.name)
    if manifest is None:
        return None
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False)
        split = np.load(folder / "split.npy", allow_pickle=False)
        grouped = "groups.npy" in manifest["files"]
        groups = np.load(folder / "groups.npy", allow_pickle=False) if grouped else None
        weighted = "weights.npy" in manifest["files"]
        weights = np.load(folder / "weights.npy", allow_pickle=False) if weighted else None
        if images.shape != (manifest["count"], *manifest["shape"]) or len(labels) != len(images) != len(
            split
        ):
            return None
        return Dataset(
            name=manifest["name"],
            images=images,
            labels=labels,
            class_names=tuple(manifest["class_names"]),
            split=split,
            fingerprint=manifest["fingerprint"],
            mean=tuple(manifest["mean"]),
            std=tuple(manifest["std"]),
            groups=groups,
            group_names=tuple(manifest["group_names"]),
            group_kind=manifest["group_kind"],
            groups_are_sampled=manifest["groups_are_sampled"],
            weights=weights,
            folder=folder,
            manifest=manifest,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def source_paths(dataset: Dataset) -> tuple[str, ...] | None:
    """Where each image came from, relative to the source; None where the source has no file an image.

    Kept in a file of its own, read only here, so that opening a large dataset stays fast.
    """
    if dataset.folder is None or "paths.json" not in dataset.manifest.get("files", {}):
        return None
    try:
        return tuple(read_json(dataset.folder / "paths.json"))
    except (OSError, ValueError) as error:
        raise DataError(f"{dataset.folder / 'paths.json'}: cannot be read ({error})") from error


def index_path(location: str, options: dict[str, Any]) -> Path:
    """Where the entry lies that leads from a source and options to its pack."""
    name = blake2b(
        json.dumps([FORMAT, location, options], sort_keys=True).encode(), digest_size=16
    ).hexdigest()
    return cache_folder() / "index" / f"{name}.json"


def look_up(entry: Path, stamp: str) -> Dataset | None:
    """Open the pack that an index entry names; None where the source changed or the pack is gone."""
    try:
        found = read_json(entry)
        if found["stamp"] != stamp or not str(found["key"]).isalnum():
            return None
        return open_pack(packs_folder() / found["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(entry: Path, stamp: str, key: str, location: str) -> None:
    """Write an index entry."""
    write_json(entry, {"stamp": stamp, "key": key, "location": location})
