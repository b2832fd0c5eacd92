"""The built-in dataset ``emnist36``: EMNIST Balanced, digits and capitals, from NIST or from a local copy."""

import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.files import cache_folder
from convtrials.data.download import download
from convtrials.data.paths import typed_path
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.idx import read_idx
from convtrials.data.sources.images import fit_images
from convtrials.data.split import UNASSIGNED

URL = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
MD5 = "58c8d27c78d21e728a6bc7b3cc06412e"
#: NIST's archive has about 560 MB.
MAX_BYTES = 1_000_000_000
#: Names a local copy: the archive, or a folder with it or with the files of EMNIST Balanced.
VARIABLE = "CONVTRIALS_EMNIST"

CLASS_NAMES = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
#: EMNIST Balanced ends with 11 lower-case letters unlike their capitals: a b d e f g h n q r t.
BALANCED_CLASSES = 47
#: Images of one class in train and in test.
PER_CLASS = (2400, 400)

_ARCHIVE = "gzip.zip"
#: NIST's archive lists its few files within so many bytes at its end.
_TAIL_BYTES = 1 << 16
#: Of the archive; tables of its images (CSV) have the same beginning.
_MEMBER = re.compile(rb"emnist-balanced-(train|test)-(images|labels)-idx")
_PARTS = ("train", "test")
_IMAGE_SIZE = 28
#: Several times what the largest member unpacks to (88 MB).
_MEMBER_LIMIT = 400_000_000
_REMEDY = f"fetch that file by other means and name it: {VARIABLE}=/path/to/{_ARCHIVE}"


class EmnistSource:
    """EMNIST Balanced without its 11 lower-case classes: 36 classes, 2,400 train and 400 test images each.

    The first use downloads NIST's archive into the cache, unless there is a local copy. Validation images are
    taken from train by the packer. NIST stores images transposed; here they are upright.

    Parameters
    ----------
    path : str, Path or None
        A local copy: NIST's ``gzip.zip``, or a folder that holds it, or the four ``emnist-balanced-*-ubyte``
        files, compressed or raw. None: what the environment variable ``CONVTRIALS_EMNIST`` names, else the
        download.
    url, md5 : str
        The archive's address and checksum.
    per_class : tuple of int or None
        Train and test images that every class must have; None checks nothing.

    Notes
    -----
    Cohen et al. 2017, "EMNIST: an extension of MNIST to handwritten letters", arXiv 1702.05373.
    """

    in_order = True  # compressed members: read by one process, once

    takes: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        url: str = URL,
        md5: str = MD5,
        per_class: tuple[int, int] | None = PER_CLASS,
    ):
        named = path if path is not None else os.environ.get(VARIABLE) or None
        self._asked_by = "" if path is not None else f"{VARIABLE}="
        self._path = None if named is None else typed_path(named, asked_by=self._asked_by).resolve()
        self._url, self._md5, self._per_class = url, md5, per_class
        self._images: NDArray[np.uint8] | None = None
        self.name = "emnist36"
        if path is not None:
            self.location = str(self._path)
        elif self._path is not None:
            self.location = f"emnist36?copy={self._path}"
        else:
            self.location = "emnist36" if md5 == MD5 else f"emnist36?md5={md5}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}  # 79 MB are faster read again than sent

    def stamp(self) -> str:
        """Sizes and times of a local copy; for the download its checksum: no disk, no network."""
        if self._path is None:
            return self._md5
        place = self._local_copy()
        files = [place] if place.is_file() else list(_files(place).values())
        facts = [(file.name, file.stat()) for file in files]
        return ";".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in facts)

    def scan(self) -> Listing:
        """Read the labels, after downloading the archive where that is needed."""
        kept = [labels[labels < len(CLASS_NAMES)] for labels in self._labels()]
        for part, labels, expected in zip(_PARTS, kept, self._per_class or (None, None), strict=True):
            self._check_counts(part, labels, expected)
        split = np.repeat(np.array([UNASSIGNED, 2], np.uint8), [len(labels) for labels in kept])
        return Listing(
            CLASS_NAMES, np.concatenate(kept).astype(np.int64), (_IMAGE_SIZE, _IMAGE_SIZE, 1), split=split
        )

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Return images ``start:stop``, upright, train first, then test; none can be bad alone."""
        if self._images is None:
            self._images = np.concatenate(
                [self._upright(part, labels) for part, labels in zip(_PARTS, self._labels(), strict=True)]
            )
        return fit_images(self._images[start:stop, ..., None], frame), []

    def _labels(self) -> list[NDArray[np.uint8]]:
        every = [self._member(part, "labels", 1) for part in _PARTS]
        for part, labels in zip(_PARTS, every, strict=True):
            if len(labels) and int(labels.max()) >= BALANCED_CLASSES:
                raise DataError(
                    f"{_member_name(part, 'labels', 1)}: labels 0 to {BALANCED_CLASSES - 1} expected"
                )
        return every

    def _upright(self, part: str, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        images = self._member(part, "images", 3)
        expected = (len(labels), _IMAGE_SIZE, _IMAGE_SIZE)
        if images.shape != expected:
            raise DataError(f"{_member_name(part, 'images', 3)}: shape {images.shape}, expected {expected}")
        return np.ascontiguousarray(images[labels < len(CLASS_NAMES)].transpose(0, 2, 1))

    def _check_counts(self, part: str, labels: NDArray[np.uint8], expected: int | None) -> None:
        counts = np.bincount(labels, minlength=len(CLASS_NAMES))
        wrong = np.flatnonzero(counts != expected)
        if expected is not None and len(wrong):
            raise DataError(
                f"{self._place()}: class {CLASS_NAMES[wrong[0]]} has {counts[wrong[0]]} {part} images, "
                f"EMNIST Balanced has {expected}.\nThe copy is damaged or of another dataset."
            )

    def _place(self) -> Path:
        """The archive or folder to read, downloaded first if need be."""
        if self._path is not None:
            return self._local_copy()
        target = cache_folder() / "downloads" / _archive_name(self._md5)
        return download(self._url, target, md5=self._md5, max_bytes=MAX_BYTES, remedy=_REMEDY)

    def _local_copy(self) -> Path:
        assert self._path is not None
        place = find_emnist(self._path)
        if place is None:
            what = "no EMNIST Balanced here" if self._path.exists() else "no such file or folder"
            raise DataError(
                f"{self._asked_by}{self._path}: {what}.\nExpected: NIST's {_ARCHIVE}, or a folder with it or "
                "with the four emnist-balanced-*-ubyte files, .gz or raw."
            )
        return place

    def _member(self, part: str, kind: str, axes: int) -> NDArray[np.uint8]:
        place, name = self._place(), _member_name(part, kind, axes)
        if place.is_dir():
            return read_idx(_files(place)[name], max_bytes=_MEMBER_LIMIT, axes=axes)
        try:
            return _from_archive(place, name, axes)
        except DataError as error:
            if self._path is not None:
                raise
            raise DataError(f"{error}\nRemove {place}: the same command then downloads it again.") from error


def find_emnist(path: Path) -> Path | None:
    """Find EMNIST Balanced at ``path``.

    Parameters
    ----------
    path : Path
        A zip file, or a folder. Only names are looked at.

    Returns
    -------
    Path or None
        The zip file, or the folder that holds the four files; None where there is neither.
    """
    path = Path(path)
    if path.is_file():
        return path if _holds_emnist(path) else None
    for folder in (path, path / "gzip"):
        if _files(folder):
            return folder
    return path / _ARCHIVE if (path / _ARCHIVE).is_file() else None


def _holds_emnist(path: Path) -> bool:
    """Whether a zip file is NIST's archive, or one like it, by the names at its end."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return _MEMBER.search(file.read(_TAIL_BYTES)) is not None


def _member_name(part: str, kind: str, axes: int) -> str:
    return f"emnist-balanced-{part}-{kind}-idx{axes}-ubyte"


def _archive_name(md5: str) -> str:
    return "emnist-gzip.zip" if md5 == MD5 else f"emnist-{md5}.zip"


def _files(folder: Path) -> dict[str, Path]:
    """The four files of a folder by plain name, compressed or raw; empty unless all are there."""
    found: dict[str, Path] = {}
    for part in _PARTS:
        for kind, axes in (("images", 3), ("labels", 1)):
            name = _member_name(part, kind, axes)
            present = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
            if not present:
                return {}
            found[name] = present[0]
    return found


def _from_archive(archive: Path, name: str, axes: int) -> NDArray[np.uint8]:
    """Read one member; the rest of the archive stays packed."""
    try:
        with zipfile.ZipFile(archive) as opened:
            inside = {info.filename: info for info in opened.infolist()}
            info = inside.get(f"gzip/{name}.gz") or inside.get(f"{name}.gz")
            if info is None:
                raise DataError(f"{archive}: holds no gzip/{name}.gz; it is not NIST's EMNIST archive")
            with opened.open(info) as member:
                return read_idx(cast(BinaryIO, member), max_bytes=_MEMBER_LIMIT, axes=axes)
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{archive}: {name} cannot be read ({error})") from error
