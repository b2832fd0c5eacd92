"""A folder of class folders, whole or already split into train, val and test."""

import os
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.paths import count_entries, descend, entries, image_endings
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.images import UnreadableImageError, decode_image, header_shape
from convtrials.data.sources.split_folders import split_folders

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
    other_files : tuple of str
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
    other_files: tuple[str, ...]
    parts: tuple[int, ...]
    empty: tuple[str, ...]


@dataclass
class FolderSource:
    """Images in folders named after their classes.

    ``folder/CLASS/any/depth/image.png``, or ``folder/{train,val,test}/CLASS/...`` as the split-folders package
    writes it (other names: `convtrials.data.sources.split_folders`). A split that is absent is taken from train.

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
            count, folders = count_entries(place)
            time = os.stat(place).st_mtime_ns
            digest.update(f"{place}\0{time}\0{count}\n".encode(errors="surrogateescape"))
            pending += [(f"{place}/{name}", depth + 1) for name in descend(folders, place, depth)]
        return digest.hexdigest()

    def contents(self) -> Contents:
        """Walk the folder; nothing is opened."""
        _, top = entries(str(self.folder))
        parts = split_folders(self.folder, top)
        homes = parts or [("", 255)]
        found = {prefix: entries(str(self.folder / prefix))[1] for prefix, _ in homes}
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
        other_files = [name for name in entries(str(self.folder))[0]]
        for prefix, code in homes:
            if prefix:
                other_files += [f"{prefix}/{name}" for name in entries(str(self.folder / prefix))[0]]
            for name in sorted(found[prefix]):
                relative = f"{prefix}/{name}" if prefix else name
                images, others = self._files(relative)
                other_files += others
                paths += images
                labels += [class_names.index(name)] * len(images)
                codes += [code] * len(images)
                if not images:
                    empty.append(relative)
        codes_there = tuple(code for _, code in parts)
        return Contents(class_names, paths, labels, codes, tuple(other_files), codes_there, tuple(empty))

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
        left_alone = len(contents.other_files)
        return Listing(contents.class_names, labels, None, split, self._paths, left_alone=left_alone)

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

    def _files(self, relative: str) -> tuple[list[str], list[str]]:
        endings = image_endings()
        images: list[str] = []
        others: list[str] = []
        pending = [(relative, 1)]
        while pending:
            place, depth = pending.pop()
            names, folders = entries(f"{self.location}/{place}")
            for name in names:
                kind = images if os.path.splitext(name)[1].lower() in endings else others
                kind.append(f"{place}/{name}")
            pending += [(f"{place}/{name}", depth + 1) for name in descend(folders, place, depth)]
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
