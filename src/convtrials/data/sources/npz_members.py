"""Members of an ``.npz``: opened as streams, headers checked."""

import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.rows import RowStream, read_fully

#: More bytes than this of labels, names or groups are refused.
MAX_SMALL_BYTES = 1 << 30
_PIECE_BYTES = 16 << 20


def read_small(path: Path, member: str) -> NDArray[Any]:
    """Read a whole member of bounded size: labels, names, groups."""
    what = f"{path}, {member[:-4]}"
    with open_member(path, member) as stream:
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


def read_one(path: Path, member: str) -> Any:
    """Read a member that holds a single value."""
    values = read_small(path, member).ravel()
    if len(values) != 1:
        raise DataError(f"{path}, {member[:-4]}: {len(values)} values; one is understood")
    return values[0]


def refuse_narrow(streams: Sequence[RowStream]) -> None:
    """Refuse uint16 images that hold 0 to 255: on the scale of uint16, 0 to 65535, they would be almost black."""
    most = 0
    for stream in streams:
        step = stream.at_once(_PIECE_BYTES)
        for start in range(0, len(stream) if stream.dtype == np.uint16 else 0, step):
            most = max(most, int(stream.read(start, min(start + step, len(stream))).max()))
            if most > 255:
                return  # within the first rows, unless something is amiss
    if most:
        raise DataError(
            f"{streams[0].what}: uint16 that ends at {most}; uint16 is read on the scale 0 to 65535, where this "
            "is almost black: save .astype(np.uint8)"
        )


def open_member(path: Path, member: str) -> BinaryIO:
    """Open a member of the archive as a seekable stream."""
    try:
        return cast(BinaryIO, zipfile.ZipFile(path).open(member))
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}, {member}: cannot be opened ({error})") from error


def npy_header(stream: BinaryIO, what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, whether in Fortran order, and type; the stream then stands at the first value."""
    try:
        version = np.lib.format.read_magic(stream)
        reader = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, order, dtype = reader(stream)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{what}: not a NumPy array ({error})") from error
    if dtype.hasobject:
        raise DataError(f"{what}: holds Python objects (pickle), which are not read; save numbers or strings")
    if any(length < 0 for length in shape):
        raise DataError(f"{what}: impossible shape {shape}")
    return shape, order and len(shape) > 1, dtype
