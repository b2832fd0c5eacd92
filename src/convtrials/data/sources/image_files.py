"""Sources of one file per image: reading, decoding and measuring files of a listing."""

import os
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.extent import Extent
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import (
    Header,
    UnreadableImageError,
    decode_image,
    largest_value,
    png_bits,
    read_header,
)
from convtrials.data.sources.tree import FileTree

#: Formats of 8 bits; files of others are opened.
_ALWAYS_8_BITS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp"})
_PNG_HEAD = 32


class ImageFiles:
    """What sources of one file per image share; each has a `tree`, and a `scan` that sets `_paths`."""

    tree: FileTree
    _paths: tuple[str, ...] | None
    #: What was noticed where the source was looked for, such as a table that is not used: notes of the listing.
    remarks: tuple[str, ...] = ()

    @property
    def in_order(self) -> bool:
        """Whether the files are one compressed stream, to be read front to back by one process."""
        return self.tree.in_order

    def position(self, index: int) -> int:
        """Where an image lies in the stream, if it is one."""
        return self.tree.position(self.path_of(index))

    def scan(self) -> Listing:
        """List the images."""
        raise NotImplementedError

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Decode files ``start:stop``; a bad file leaves zeros."""
        assert frame.shape is not None
        images = np.zeros((stop - start, *frame.shape), np.uint8)
        bad: list[BadImage] = []
        for place, path in enumerate(self._listed()[start:stop]):
            try:
                images[place] = decode_image(self.tree.read(path), frame)
            except UnreadableImageError as error:
                bad.append(BadImage(start + place, path, str(error)))
        return images, bad

    def extent(self, start: int, stop: int) -> Extent:
        """Largest values of the files that have more than 8 bits."""
        largest = {"integers": -1.0, "floats": -1.0, "reduced": -1.0}
        for path in self._listed()[start:stop]:
            if not self._may_be_wide(path):
                continue
            with suppress(UnreadableImageError):
                found = largest_value(self.tree.read(path))
                if found is not None:
                    largest[found[0]] = max(largest[found[0]], found[1])
        return Extent(int(largest["integers"]), largest["floats"], int(largest["reduced"]))

    def wide(self, index: int) -> bool:
        """Whether a file has more than 8 bits."""
        return any(header.wide for header in self.headers(index, index + 1))

    def _may_be_wide(self, path: str) -> bool:
        """Whether a file may have more than 8 bits, by its ending or its first bytes."""
        ending = os.path.splitext(path)[1].lower()
        if ending in _ALWAYS_8_BITS:
            return False
        if ending != ".png":
            return True
        try:
            with self.tree.open(path) as file:
                return png_bits(file.read(_PNG_HEAD)) > 8
        except OSError:
            return False

    def native(self, index: int, frame: Frame) -> NDArray[np.uint8]:
        """Decode one file at its own size, shape (H, W, C); raises `UnreadableImageError`."""
        return decode_image(self.tree.read(self.path_of(index)), frame.as_it_is())

    def path_of(self, index: int) -> str:
        """Relative path of one image."""
        return self._listed()[index]

    def file_of(self, index: int) -> tuple[FileTree, str]:
        """Tree and relative path of one image."""
        return self.tree, self.path_of(index)

    def name_in_class(self, index: int) -> str:
        """Path of one image below its class's folder, where it lies in one."""
        return self.path_of(index)

    def other_files(self) -> tuple[str, ...]:
        """Files that are no images of a class, by name or place."""
        return ()

    def headers(self, start: int, stop: int) -> set[Header]:
        """Distinct headers of files ``start:stop``; unreadable ones are left out."""
        headers = set()
        for path in self._listed()[start:stop]:
            try:
                with self.tree.open(path) as file:
                    headers.add(read_header(file))
            except (UnreadableImageError, OSError):
                continue  # decoding will say what is wrong with it
        return headers

    def _listed(self) -> tuple[str, ...]:
        if self._paths is None:
            self.scan()
        assert self._paths is not None
        return self._paths
