"""A folder of class folders, whole or already split into train, val and test."""

import os
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.images import UnreadableImageError, decode_image, header_shape

#: Files with these endings are taken for images; others are left alone and named by ``convtrials data check``.
IMAGE_ENDINGS = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".gif", ".webp", ".avif", ".bmp", ".dib",
    ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm", ".tga", ".pcx", ".ico", ".sgi", ".xbm", ".qoi",
})  # fmt: skip
#: Left behind by file managers, nobody's data.
CLUTTER = frozenset({"Thumbs.db", "desktop.ini", "__MACOSX"})
#: Names of split folders and their codes.
SPLIT_FOLDERS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
MAX_DEPTH = 8
MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class Contents:
    """What lies in a folder source.

    Attributes
    ----------
    class_names : tuple of str
        Names of class folders, in plain string order (as torchvision's ``ImageFolder`` has them).
    paths, labels, codes : parallel lists
        Relative path, class and split code of every image file; codes are 255 where the folder has no splits.
    strangers : tuple of str
        Files that are no images by their names.
    parts : tuple of int
        Codes of the split folders that are there; empty for a plain folder of class folders.
    empty : tuple of str
        Class folders without any image, relative.
    """

    class_names: tuple[str, ...]
    paths: list[str]
    labels: list[int]
    codes: list[int]
    strangers: tuple[str, ...]
    parts: tuple[int, ...]
    empty: tuple[str, ...]


@dataclass
class FolderSource:
    """Images in folders named after their classes.

    ``folder/CLASS/any/depth/image.png``, or ``folder/{train,val,test}/CLASS/...`` as the split-folders package
    writes it (``valid`` and ``validation`` mean val). A split that is absent is taken from train.

    Parameters
    ----------
    folder : Path
        The outermost folder.
    """

    folder: Path
    name: str = field(init=False)
    location: str = field(init=False)
    _paths: tuple[str, ...] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder).resolve()
        self.name, self.location = self.folder.name, str(self.folder)

    def stamp(self) -> str:
        """Time of change and number of entries of every folder; no file is opened."""
        digest = blake2b(digest_size=16)
        pending = [(str(self.folder), 0)]
        while pending:
            place, depth = pending.pop()
            count, folders = _count(place)
            time = os.stat(place).st_mtime_ns
            digest.update(f"{place}\0{time}\0{count}\n".encode(errors="surrogateescape"))
            pending += [(f"{place}/{name}", depth + 1) for name in _descend(folders, place, depth)]
        return digest.hexdigest()

    def contents(self) -> Contents:
        """Walk the folder; nothing is opened."""
        _, top = _entries(str(self.folder))
        parts = self._split_folders(top)
        homes = parts or [("", 255)]
        found = {prefix: _entries(str(self.folder / prefix))[1] for prefix, _ in homes}
        class_names = tuple(sorted({name for names in found.values() for name in names}))
        if not class_names:
            raise DataError(
                f"{self.folder}: no class folders; expected {self.folder.name}/CLASS/image.png or "
                f"{self.folder.name}/train/CLASS/image.png"
            )
        paths: list[str] = []
        labels: list[int] = []
        codes: list[int] = []
        empty: list[str] = []
        strangers = [name for name in _entries(str(self.folder))[0]]
        for prefix, code in homes:
            if prefix:
                strangers += [f"{prefix}/{name}" for name in _entries(str(self.folder / prefix))[0]]
            for name in sorted(found[prefix]):
                relative = f"{prefix}/{name}" if prefix else name
                images, others = self._files(relative)
                strangers += others
                paths += images
                labels += [class_names.index(name)] * len(images)
                codes += [code] * len(images)
                if not images:
                    empty.append(relative)
        codes_there = tuple(code for _, code in parts)
        return Contents(class_names, paths, labels, codes, tuple(strangers), codes_there, tuple(empty))

    def scan(self) -> Listing:
        """List the images; opens none."""
        contents = self.contents()
        counts = Counter(contents.labels)
        nothing = [name for label, name in enumerate(contents.class_names) if not counts[label]]
        if nothing:
            raise DataError(
                f"{self.folder}: no image in class {', '.join(nothing[:5])}{' ...' if len(nothing) > 5 else ''}; "
                "add images or remove the folder (see: convtrials data check)"
            )
        return self.listing(contents)

    def listing(self, contents: Contents) -> Listing:
        """Turn a walk's findings into a listing, empty classes and all."""
        self._paths = tuple(contents.paths)
        split = None
        if len(contents.parts) > 1:
            split = np.array(contents.codes, np.uint8)
            if len(set(contents.parts)) < 3:
                split[split == 0] = 255  # what is absent is taken from train
        labels = np.array(contents.labels, np.int64)
        return Listing(contents.class_names, labels, None, split, self._paths)

    def read(
        self, start: int, stop: int, shape: tuple[int, int, int]
    ) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Decode files ``start:stop``; a bad file leaves zeros."""
        images = np.zeros((stop - start, *shape), np.uint8)
        bad: list[BadImage] = []
        for place, path in enumerate(self._listed()[start:stop]):
            try:
                images[place] = decode_image(read_bytes(f"{self.location}/{path}"), shape)
            except UnreadableImageError as error:
                bad.append(BadImage(start + place, path, str(error)))
        return images, bad

    def native(self, index: int) -> NDArray[np.uint8]:
        """Decode one file as it is, shape (H, W, C); raises `UnreadableImageError`."""
        return decode_image(read_bytes(f"{self.location}/{self._listed()[index]}"), None)

    def path_of(self, index: int) -> str:
        """Relative path of one image."""
        return self._listed()[index]

    def header_shapes(self, start: int, stop: int) -> set[tuple[int, int, int]]:
        """(H, W, C) of files ``start:stop`` by their headers; unreadable ones are left out."""
        shapes = set()
        for path in self._listed()[start:stop]:
            try:
                shapes.add(header_shape(f"{self.location}/{path}"))
            except UnreadableImageError:
                continue  # decoding will say what is wrong with it
        return shapes

    def _listed(self) -> tuple[str, ...]:
        if self._paths is None:
            self.scan()
        assert self._paths is not None
        return self._paths

    def _split_folders(self, top: list[str]) -> list[tuple[str, int]]:
        parts = sorted(
            ((name, SPLIT_FOLDERS[name]) for name in top if name in SPLIT_FOLDERS), key=lambda p: p[1]
        )
        if "train" not in top or not _entries(str(self.folder / "train"))[1]:
            return []  # classes may well be called "train" and "test": then they hold images, not folders
        if len(parts) < len(top):
            others = sorted(set(top) - set(SPLIT_FOLDERS))
            raise DataError(
                f"{self.folder}: beside train there is {others[0]}, which is neither val nor test"
            )
        codes = [code for _, code in parts]
        if len(set(codes)) < len(codes):
            raise DataError(f"{self.folder}: two validation folders; keep one of val, valid, validation")
        return parts

    def _files(self, relative: str) -> tuple[list[str], list[str]]:
        images: list[str] = []
        others: list[str] = []
        pending = [(relative, 1)]
        while pending:
            place, depth = pending.pop()
            names, folders = _entries(f"{self.location}/{place}")
            for name in names:
                kind = images if os.path.splitext(name)[1].lower() in IMAGE_ENDINGS else others
                kind.append(f"{place}/{name}")
            pending += [(f"{place}/{name}", depth + 1) for name in _descend(folders, place, depth)]
        return sorted(images), sorted(others)


def read_bytes(path: str) -> bytes:
    """Read a whole file in as few system calls as there can be."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            data = os.read(handle, 1 << 16)
            if len(data) < 1 << 16:
                return data
            pieces, size = [data], len(data)
            while piece := os.read(handle, 1 << 20):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_FILE_BYTES:
                    raise UnreadableImageError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
            return b"".join(pieces)
        finally:
            os.close(handle)
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error


def _entries(place: str) -> tuple[list[str], list[str]]:
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
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


def _count(place: str) -> tuple[int, list[str]]:
    # `_entries` without names of files: this is nearly all the work of opening a packed folder again.
    count, folders = 0, []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                count += 1
                if entry.is_dir() and entry.name[0] != "." and entry.name not in CLUTTER:
                    folders.append(entry.name)
    except OSError as error:
        raise DataError(f"{place}: {error.strerror}") from error
    return count, sorted(folders)


def _descend(folders: list[str], place: str, depth: int) -> list[str]:
    if folders and depth >= MAX_DEPTH:
        raise DataError(f"{place}: folders nest deeper than {MAX_DEPTH} (a link that leads back?)")
    return folders
