"""Rows of an array that lies in a stream: read in bounded memory, also from within gzip and zip."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError


class RowStream:
    """Rows ``start:stop`` of a C-ordered array behind a seekable stream.

    A compressed stream seeks forward by reading on and backward by starting again, so that reading in order
    costs one decompression and no more memory than one request.

    Parameters
    ----------
    what : str
        Where the rows come from, for messages.
    opener : callable
        Opens the stream, positioned anywhere.
    offset : int
        Bytes before the first row.
    shape : tuple of int
        The array's shape; the first axis counts rows.
    dtype : numpy.dtype
        Of the stored values.
    """

    def __init__(
        self,
        what: str,
        opener: Callable[[], BinaryIO],
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ):
        self.what, self.shape, self.dtype = what, shape, dtype
        self._opener, self._offset = opener, offset
        self._row = prod(shape[1:]) * dtype.itemsize
        self._stream: BinaryIO | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop``, shape (stop - start, ...)."""
        if self._stream is None:
            self._stream = self._opener()
        wanted = (stop - start) * self._row
        try:
            self._stream.seek(self._offset + start * self._row)
            data = read_fully(self._stream, wanted)
        except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(f"{self.what}: damaged ({error})") from error
        if len(data) < wanted:
            raise DataError(f"{self.what}: ends early, {self.shape[0]} rows were announced")
        return np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])

    def at_once(self, size: int) -> int:
        """How many rows, at least one, fit into so many bytes."""
        return max(1, size // max(1, self._row))

    def close(self) -> None:
        """Close the stream; a later read opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def read_across(
    streams: Sequence[RowStream], start: int, stop: int
) -> Iterator[tuple[NDArray[Any], RowStream]]:
    """Yield the pieces of rows ``start:stop`` of streams laid end to end, each with its stream."""
    first = 0
    for stream in streams:
        low, high = max(start - first, 0), min(stop - first, len(stream))
        if low < high:
            yield stream.read(low, high), stream
        first += len(stream)


def read_fully(stream: BinaryIO, wanted: int, piece: int = 1 << 20) -> bytearray:
    """Read ``wanted`` bytes, or what there is; memory grows with what arrives, not with what was announced."""
    data = bytearray()
    while len(data) < wanted:
        part = stream.read(min(piece, wanted - len(data)))
        if not part:
            break
        data += part
    return data
