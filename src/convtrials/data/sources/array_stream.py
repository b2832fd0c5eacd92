"""Arrays that lie in streams: rows read in bounded memory from within gzip and zip, and the members of an ``.npz``."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError

#: More bytes than this of labels, names or groups are refused.
MAX_SMALL_BYTES = 1 << 30
_PIECE_BYTES = 16 << 20


@dataclass(frozen=True)
class Member:
    """An array in a file of its own (``.npy``), or in an ``.npz``.

    Parameters
    ----------
    path : Path
        The file.
    name : str or None
        Of the member within an ``.npz``.
    """

    path: Path
    name: str | None = None

    @property
    def what(self) -> str:
        """For messages."""
        return str(self.path) if self.name is None else f"{self.path}, {self.name.removesuffix('.npy')}"

    def open(self) -> BinaryIO:
        """Open the array's bytes as a seekable stream."""
        try:
            if self.name is None:
                return open(self.path, "rb")
            return cast(BinaryIO, zipfile.ZipFile(self.path).open(self.name))
        except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.what}: cannot be opened ({error!s:.80})") from error


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


def read_small(member: Member) -> NDArray[Any]:
    """Read a whole member of bounded size: labels, names, groups."""
    what = member.what
    with member.open() as stream:
        shape, order, dtype = npy_header(stream, what)
        if not dtype.itemsize:
            raise DataError(f"{what}: type {dtype}, values of no bytes; nothing is in it")
        # Zeros count as one: an array of no values may not announce axes beyond all bounds either.
        size = dtype.itemsize * prod(max(1, length) for length in shape)
        if size > MAX_SMALL_BYTES:
            raise DataError(f"{what}: {size} bytes announced, more than the {MAX_SMALL_BYTES} allowed")
        size = dtype.itemsize * prod(shape)
        try:
            data = read_fully(stream, size)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{what}: damaged ({error})") from error
    if len(data) < size:
        raise DataError(f"{what}: ends early")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order else "C")


def read_one(member: Member) -> Any:
    """Read a member that holds a single value."""
    values = read_small(member).ravel()
    if len(values) != 1:
        raise DataError(f"{member.what}: {len(values)} values; one is supported")
    return values[0]


def npy_header(stream: BinaryIO, what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, whether in Fortran order, and type; the stream then stands at the first value."""
    try:
        version = np.lib.format.read_magic(stream)
        reader = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, order, dtype = reader(stream)
    except Exception as error:  # the header is parsed as Python, which raises many kinds on damaged ones
        raise DataError(f"{what}: not a NumPy array ({error!s:.80})") from error
    if dtype.hasobject:
        raise DataError(
            f"{what}: holds Python objects (pickle), which are not read; save numbers, or strings with .astype(str)"
        )
    if any(length < 0 for length in shape):
        raise DataError(f"{what}: impossible shape {shape}")
    return shape, order and len(shape) > 1, dtype
