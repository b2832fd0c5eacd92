"""A pandas data frame as a table: paths, image files, pictures or pixels in its cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.table_parquet import narrowed
from convtrials.data.sources.tree import FileTree

_PIECE_BYTES = 4 << 20
_SAMPLE_ROWS = 50


@dataclass(frozen=True, eq=False)
class FrameTable:
    """A data frame; made by `open_frame`.

    Attributes
    ----------
    frame : pandas.DataFrame
    encoded : tuple of int
        Columns of image files as bytes, of Hugging Face's ``{bytes, path}``, of pictures or of arrays.
    digest : str
        Hash of names and values.
    """

    tree: FileTree
    frame: Any = field(repr=False)
    names: tuple[str, ...]
    encoded: tuple[int, ...]
    path: str = "frame"
    headed: bool = True

    @property
    def where(self) -> str:
        """The frame, for messages."""
        return "data frame"

    @property
    def digest(self) -> str:
        """Hash of names and values."""
        digest = blake2b(repr(self.names).encode(), digest_size=16)
        for place in range(len(self.names)):
            column = self.frame.iloc[:, place]
            if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
                digest.update(np.ascontiguousarray(column.to_numpy()).data)
                continue
            for value in column:
                data = (
                    _file_of(value)[0]
                    if place in self.encoded
                    else str(value).encode(errors="surrogateescape")
                )
                digest.update(len(data or b"").to_bytes(8, "little") + (data or b""))
        return digest.hexdigest()

    def class_names(self, column: int) -> tuple[str, ...] | None:
        """Say that a frame's categories are text already."""
        return None

    def texts(self, columns: Sequence[int]) -> tuple[list[list[str]], NDArray[np.int64]]:
        """Values of some columns as text, and the position of each row, from 0."""
        found = []
        for place in columns:
            column = self.frame.iloc[:, place]
            odd = next((value for value in column if isinstance(value, list | tuple | dict | set)), None)
            if odd is not None:
                raise DataError(f"column {self.names[place]}: {odd!r:.60}; one value for each image is read")
            gone = column.isna()
            found.append(["" if no else str(value).strip() for value, no in zip(column, gone, strict=True)])
        return found, np.arange(len(self.frame))

    def sample(self) -> list[list[str]]:
        """Return the first rows as text."""
        head = self.frame.iloc[:_SAMPLE_ROWS]
        small = [place for place in range(len(self.names)) if place not in self.encoded]
        if len(small) > 1000:
            return []
        return [
            [str(row[place]) if place in small else "..." for place in range(len(self.names))]
            for row in head.itertuples(index=False, name=None)
        ]

    def numbers(self, columns: Sequence[int]) -> Iterator[NDArray[Any]]:
        """All rows of some columns, in pieces."""
        step = max(16, _PIECE_BYTES // (8 * len(columns)))
        for first in range(0, len(self.frame), step):
            values = self.frame.iloc[first : first + step, list(columns)].to_numpy()
            try:
                yield values if values.dtype == np.uint8 else narrowed(values.astype(np.float64))
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"data frame: columns of pixels hold {values.dtype}; numbers are needed"
                ) from error

    def encoded_rows(self, column: int) -> "FrameRows":
        """Image files of a column, by position."""
        return FrameRows(self.frame.iloc[:, column].tolist())

    @property
    def row_count(self) -> int:
        """Rows of the frame."""
        return len(self.frame)


@dataclass(frozen=True)
class FrameRows:
    """Image files that lie in a column of a data frame, read by position."""

    values: list[Any]
    in_order = True  # they are in this process

    def at(self, row: int) -> tuple[bytes | None, str]:
        """Return the file at a row, and its name if it has one; None where the row holds none."""
        return _file_of(self.values[row])


def open_frame(tree: FileTree, frame: Any) -> FrameTable:
    """Look at the first values of a data frame.

    Raises
    ------
    DataError
        It is none, or is empty, or two columns have one name.
    """
    if not (hasattr(frame, "columns") and hasattr(frame, "iloc")):
        raise DataError(f"{type(frame).__name__}: a pandas data frame is needed")
    names = tuple(str(name) for name in frame.columns)
    if not len(frame) or not names:
        raise DataError("data frame: no rows")
    if len(set(names)) < len(names):
        raise DataError("data frame: two columns of one name")
    encoded = []
    for place in range(len(names)):
        column = frame.iloc[:, place]
        if column.dtype == object:
            first = next((value for value in column if value is not None and value is not np.nan), None)
            if _holds_image(first):
                encoded.append(place)
    return FrameTable(tree, frame, names, tuple(encoded))


def _holds_image(value: Any) -> bool:
    from PIL import Image

    is_file = isinstance(value, dict) and isinstance(value.get("bytes"), bytes)
    is_array = isinstance(value, np.ndarray) and value.ndim in (2, 3)
    return isinstance(value, bytes | Image.Image) or is_file or is_array


def _file_of(value: Any) -> tuple[bytes | None, str]:
    """Bring a cell to the bytes of an image file: what is none yet is stored without loss."""
    from PIL import Image

    if isinstance(value, bytes):
        return value, ""
    if isinstance(value, dict):
        return value.get("bytes"), str(value.get("path") or "")
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8 or value.ndim not in (2, 3):
            raise DataError(
                f"data frame: an array of {value.dtype} {value.shape}; uint8 (H, W) or (H, W, C) is read"
            )
        value = Image.fromarray(value[..., 0] if value.ndim == 3 and value.shape[2] == 1 else value)
    if isinstance(value, Image.Image):
        file = BytesIO()
        # TIFF without compression keeps every mode that a picture may have.
        value.save(file, "TIFF")
        return file.getvalue(), ""
    return None, ""
