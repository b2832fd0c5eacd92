"""IDX files, the format of MNIST and EMNIST: raw or gzip-compressed, with checked headers."""

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.array_stream import RowStream, read_fully

#: More bytes than this are refused: a header that announces them is wrong or hostile.
MAX_BYTES = 1 << 40
#: IDX's code of unsigned bytes, the only type that MNIST-like sets use.
UINT8_CODE = 0x08
#: More labels than this are refused: they are held in memory.
MAX_LABELS = 1 << 30


def read_idx(
    source: str | Path | BinaryIO, *, max_bytes: int = MAX_BYTES, axes: int | None = None
) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzip-compressed or raw.

    Parameters
    ----------
    source : str, Path or binary stream
        The file; a stream is read from where it stands and may hold gzip or raw bytes.
    max_bytes : int
        The most that the array may hold.
    axes : int or None
        How many axes it must have: 1 for labels, 3 for images. None: any.

    Returns
    -------
    ndarray of uint8
        Shape as the header says: (N,) for labels, (N, H, W) for images, in stored order (EMNIST stores images
        transposed; nothing is turned here).

    Raises
    ------
    DataError
        Where the header is not IDX, the type is not unsigned byte, the axes or a size are out of bounds (said
        before any value is read), or the data end early or go on after the last value.
    """
    what = str(source) if isinstance(source, str | Path) else str(getattr(source, "name", "IDX stream"))
    with _reading(what, source) as stream:
        shape = _read_header(stream, what, max_bytes)
        if axes not in (None, len(shape)):
            raise DataError(f"{what}: holds shape {shape}; {axes} axes expected (labels have 1, images 3)")
        size = prod(shape)
        data = read_fully(stream, size)
        if len(data) < size:
            raise DataError(f"{what}: ends after {len(data)} of {size} values")
        if stream.read(1):
            raise DataError(f"{what}: goes on after the {size} values that its header announces")
    return np.frombuffer(data, np.uint8).reshape(shape)


@contextmanager
def _reading(what: str, source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    try:
        if isinstance(source, str | Path):
            with _open(Path(source)) as stream:
                yield stream
        else:
            yield _unzipped(source)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{what}: cannot be read ({error})") from error


def _open(path: Path) -> BinaryIO:
    return _unzipped(open(path, "rb"))


def _unzipped(stream: BinaryIO) -> BinaryIO:
    # Known by content, not by name: EMNIST copies come with and without ".gz" for either form.
    peekable: Any = stream if hasattr(stream, "peek") else io.BufferedReader(cast(Any, stream))
    if peekable.peek(2)[:2] == b"\x1f\x8b":
        return cast(BinaryIO, _OwningGzip(peekable))
    return cast(BinaryIO, peekable)


class _OwningGzip(gzip.GzipFile):
    """A gzip stream that closes the file below it."""

    def __init__(self, below: Any):
        super().__init__(fileobj=below, mode="rb")
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()


def _read_header(stream: BinaryIO, what: str, max_bytes: int = MAX_BYTES) -> tuple[int, ...]:
    head = read_fully(stream, 4)
    if len(head) < 4 or head[0] or head[1]:
        raise DataError(f"{what}: not an IDX file (it starts with {bytes(head).hex() or 'nothing'})")
    if head[2] != UINT8_CODE:
        raise DataError(f"{what}: IDX type 0x{head[2]:02x}; only unsigned bytes (0x08) are read")
    if not 1 <= head[3] <= 4:
        raise DataError(f"{what}: {head[3]} axes; an IDX file of labels has 1, of images 3")
    sizes = read_fully(stream, 4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError(f"{what}: ends within its header")
    shape = struct.unpack(f">{head[3]}I", sizes)
    # Zeros count as one: an array of no values may not announce axes beyond all bounds either.
    total = prod(max(1, size) for size in shape)
    if total > max_bytes:
        raise DataError(f"{what}: its header announces {total} bytes, more than the {max_bytes} allowed")
    return shape


def idx_rows(path: Path) -> RowStream:
    """Open an IDX file for reading row by row, in bounded memory."""
    with _reading(str(path), path) as stream:
        shape = _read_header(stream, str(path))
    return RowStream(str(path), lambda: _open(path), 4 + 4 * len(shape), shape, np.dtype(np.uint8))
