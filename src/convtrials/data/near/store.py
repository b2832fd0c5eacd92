"""Thumbnails of a whole source in a temporary file, so that memory does not grow with them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.near.thumbnails import SHIFTS, THUMBNAIL_BYTES, Thumbnails
from convtrials.data.rows import FileRows


class ThumbnailStore:
    """Thumbnails in a file, hashes in memory (73 bytes an image), by position in the listing.

    Parameters
    ----------
    file : Path
        To be written; about 1.2 kB an image.
    count : int
        Images of the listing.
    """

    def __init__(self, file: Path, count: int):
        self._path, self._count = file, count
        self._file = open(file, "wb", buffering=0)  # noqa: SIM115 (lives as long as the object)
        self._file.truncate(count * THUMBNAIL_BYTES)
        self._rows: FileRows | None = None
        self.hashes = np.zeros((count, len(SHIFTS)), np.uint64)
        self.flat = np.zeros(count, bool)

    def put(self, positions: NDArray[np.int64], thumbnails: Thumbnails) -> None:
        """Keep thumbnails of images at some positions."""
        self.hashes[positions], self.flat[positions] = thumbnails.hashes, thumbnails.flat
        breaks = np.flatnonzero(np.diff(positions) != 1) + 1
        try:
            for own in np.split(np.arange(len(positions)), breaks) if len(positions) else ():
                self._file.seek(int(positions[own[0]]) * THUMBNAIL_BYTES)
                left = memoryview(np.ascontiguousarray(thumbnails.pixels[own]).reshape(-1).data)
                while len(left):
                    left = left[self._file.write(left) :]
        except OSError as error:
            raise DataError(
                f"{self._path.parent}: thumbnails of {self._count:,} images "
                f"({self._count * THUMBNAIL_BYTES / 1e6:,.0f} MB) cannot be written: {error.strerror}; set TMPDIR to a "
                "folder with room, or look for equal pictures only with --no-near"
            ) from error

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return thumbnails at some positions, shape (n, `THUMBNAIL_BYTES`)."""
        if self._rows is None:
            self._rows = FileRows(str(self._path), 0, (self._count, THUMBNAIL_BYTES))
        return self._rows.read(positions)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._rows = None


@contextmanager
def thumbnail_store(count: int) -> Iterator[ThumbnailStore]:
    """Yield a store in the system's folder for temporary files; it is removed at the end."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="convtrials-thumbnails-", ignore_cleanup_errors=True)
    except OSError as error:
        raise DataError(
            f"no folder for temporary files can be written ({error.strerror}): set TMPDIR, or look for equal pictures "
            "only with --no-near"
        ) from error
    with folder as place:
        store = ThumbnailStore(Path(place) / "thumbnails", count)
        try:
            yield store
        finally:
            store.close()
