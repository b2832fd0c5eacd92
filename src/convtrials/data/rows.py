"""Images read by position: from an array, or from the file behind a memory map."""

from itertools import pairwise
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError


def rows_of(images: NDArray[np.uint8]) -> "ArrayRows | FileRows":
    """Choose how images are read.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        Memory-mapped or not.

    Returns
    -------
    ArrayRows or FileRows
        The file where a whole file-backed map is given, the array otherwise.
    """
    # Only a whole map (its base is the mmap itself) knows where in the file it starts, a slice does not; a
    # copy-on-write map may differ from its file.
    base: object = images.base
    if not (isinstance(images, np.memmap) and isinstance(base, mmap)):
        return ArrayRows(images)
    if images.filename is None or images.mode == "c" or not images.flags.c_contiguous:
        return ArrayRows(images)
    return FileRows(str(images.filename), images.offset, images.shape)


class ArrayRows:
    """Images of an array that is in memory already, or of a part of a map.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
    """

    def __init__(self, images: NDArray[np.uint8]):
        self._images = images

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a copy of the images at these positions, in their order, shape (B, H, W, C)."""
        return np.ascontiguousarray(self._images[positions])


class FileRows:
    """Images read from a file into a buffer of just their size.

    Pages touched through a memory map count as the process's memory until the system runs short of it; a buffer
    costs itself and no more. Not for several threads at once.

    Parameters
    ----------
    path : str
        The file.
    offset : int
        Bytes before the first image.
    shape : tuple of int
        (N, H, W, C) of the images, uint8, in C order.

    Raises
    ------
    DataError
        If the file cannot be opened or, while reading, ends before its last image.
    """

    def __init__(self, path: str, offset: int, shape: tuple[int, ...]):
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (lives as long as the object)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        self._offset = offset
        self._shape = shape[1:]
        self._bytes = int(np.prod(self._shape))

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at these positions, in their order, shape (B, H, W, C)."""
        # Read in the order of the file, whose neighbours come in one piece.
        order = np.argsort(positions, kind="stable")
        ascending = positions[order]
        found = np.empty((len(positions), self._bytes), dtype=np.uint8)
        breaks = np.flatnonzero(np.diff(ascending) != 1) + 1
        for start, end in pairwise([0, *breaks.tolist(), len(positions)]):
            self._fill(found[start:end], int(ascending[start]) if end > start else 0)
        if not np.array_equal(positions, ascending):
            shuffled = np.empty_like(found)
            shuffled[order] = found
            found = shuffled
        return found.reshape(len(positions), *self._shape)

    def _fill(self, rows: NDArray[np.uint8], first: int) -> None:
        """Read consecutive images; the system may hand over fewer bytes than it was asked for."""
        self._file.seek(self._offset + first * self._bytes)
        left = memoryview(rows.reshape(-1).data)
        while len(left):
            count = self._file.readinto(left)
            if not count:
                raise DataError(f"{self._file.name!s}: the file ends early; it changed after it was opened")
            left = left[count:]
