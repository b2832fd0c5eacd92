"""Sources of one file per image: reading, decoding and measuring files of a listing."""

import numpy as np
from numpy.typing import NDArray

from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import UnreadableImageError, decode_image, header_shape
from convtrials.data.sources.tree import FileTree


class ImageFiles:
    """What sources of one file per image share; each has a `tree`, and a `scan` that sets `_paths`."""

    tree: FileTree
    _paths: tuple[str, ...] | None

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

    def native(self, index: int, frame: Frame) -> NDArray[np.uint8]:
        """Decode one file at its own size, shape (H, W, C); raises `UnreadableImageError`."""
        return decode_image(self.tree.read(self.path_of(index)), frame.as_it_is())

    def path_of(self, index: int) -> str:
        """Relative path of one image."""
        return self._listed()[index]

    def header_shapes(self, start: int, stop: int) -> set[tuple[int, int, int]]:
        """(H, W, C) of files ``start:stop`` by their headers; unreadable ones are left out."""
        shapes = set()
        for path in self._listed()[start:stop]:
            try:
                with self.tree.open(path) as file:
                    shapes.add(header_shape(file))
            except (UnreadableImageError, OSError):
                continue  # decoding will say what is wrong with it
        return shapes

    def _listed(self) -> tuple[str, ...]:
        if self._paths is None:
            self.scan()
        assert self._paths is not None
        return self._paths
