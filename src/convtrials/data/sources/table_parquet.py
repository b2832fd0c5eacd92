"""Parquet files, as Hugging Face and pandas write them: columns, names of classes, and image files within."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.table_csv import MAX_COLUMNS
from convtrials.data.sources.tree import FileTree

_SAMPLE_ROWS = 50
_BATCH_ROWS = 4096
_STREAM_ROWS = 256
_PIECE_BYTES = 4 << 20
#: Parts of a file up to so many bytes are read whole, by several processes; larger ones by one, front to back.
MAX_PART_BYTES = 64 << 20


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file; made by `open_parquet`.

    Attributes
    ----------
    encoded : tuple of int
        Columns of bytes, or of Hugging Face's ``{bytes, path}``.
    classes : dict
        Names of classes by column, from Hugging Face's description of it.
    parts : tuple of (int, int)
        Rows and bytes of each row group.
    """

    tree: FileTree
    path: str
    names: tuple[str, ...]
    encoded: tuple[int, ...]
    classes: dict[int, tuple[str, ...]]
    parts: tuple[tuple[int, int], ...]
    headed: bool = True

    @property
    def where(self) -> str:
        """The file, for messages."""
        return self.tree.where(self.path)

    def class_names(self, column: int) -> tuple[str, ...] | None:
        """Names of the classes that a column's numbers stand for."""
        return self.classes.get(column)

    def texts(self, columns: Sequence[int]) -> tuple[list[list[str]], NDArray[np.int64]]:
        """Values of some columns as text, and the number of each row, from 1."""
        found: list[list[str]] = [[] for _ in columns]
        names = [self.names[column] for column in columns]
        for batch in self._batches(names, _BATCH_ROWS):
            for own, name in zip(found, names, strict=True):
                own += _texts(batch.column(name), f"{self.where}, column {name}")
        return found, np.arange(1, 1 + self.row_count)

    def sample(self) -> list[list[str]]:
        """Return the first rows of columns that are numbers or text."""
        if len(self.names) > 1000:
            return []
        with _reading(self.where), _opened(self.tree, self.path) as file:
            small = [name for name in self.names if _is_plain(file.schema_arrow.field(name).type)]
            for batch in file.iter_batches(batch_size=_SAMPLE_ROWS, columns=small):
                columns = {name: _texts(batch.column(name), f"{self.where}, column {name}") for name in small}
                # What is no text is no mark of a class either.
                return [
                    [columns[name][row] if name in columns else "..." for name in self.names]
                    for row in range(batch.num_rows)
                ]
        return []

    def numbers(self, columns: Sequence[int]) -> Iterator[NDArray[Any]]:
        """All rows of some columns, in pieces."""
        names = [self.names[column] for column in columns]
        for batch in self._batches(names, max(16, _PIECE_BYTES // (8 * len(names)))):
            kinds = {str(field.type) for field in batch.schema}
            try:
                values = np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in names], 1)
                yield values if kinds == {"uint8"} else narrowed(values.astype(np.float64))
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"{self.where}: columns of pixels hold {', '.join(sorted(kinds)[:4])}"
                ) from error

    def encoded_rows(self, column: int) -> "EncodedRows":
        """Image files of a column, by position."""
        return EncodedRows(self, column)

    @property
    def row_count(self) -> int:
        """Rows of the file."""
        return sum(rows for rows, _ in self.parts)

    def _batches(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        with _reading(self.where), _opened(self.tree, self.path) as file:
            yield from file.iter_batches(batch_size=rows, columns=list(dict.fromkeys(names)))


def narrowed(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return numbers as uint8 where all are whole and from 0 to 255."""
    with np.errstate(invalid="ignore"):
        small = values.astype(np.uint8)
    return small if np.array_equal(small, values) else values


def open_parquet(tree: FileTree, path: str) -> ParquetTable:
    """Read the schema of a Parquet file.

    Raises
    ------
    DataError
        pyarrow is missing, or it is no Parquet file.
    """
    where = tree.where(path)
    with _reading(where), _opened(tree, path) as file:
        schema, meta = file.schema_arrow, file.metadata
        if len(schema.names) > MAX_COLUMNS or len(set(schema.names)) < len(schema.names):
            raise DataError(f"{where}: too many columns, or two of one name")
        groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
        parts = tuple((group.num_rows, group.total_byte_size) for group in groups)
    names = tuple(schema.names)
    encoded = tuple(place for place, name in enumerate(names) if _is_encoded(schema.field(name).type))
    return ParquetTable(tree, path, names, encoded, _classes(schema, names), parts)


def _classes(schema: Any, names: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Names of classes in the description that Hugging Face's library writes into the schema."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = described["info"]["features"]
        found = {}
        for name, feature in features.items():
            if name in names and isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
                found[names.index(name)] = tuple(str(one) for one in feature["names"])
        return found
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}


def _is_plain(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_string(kind)
        or types.is_large_string(kind) or types.is_null(kind)
    )  # fmt: skip


def _is_encoded(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(part.name == "bytes" and _is_bytes(part.type) for part in kind)
    return _is_bytes(kind)


def _is_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _texts(column: Any, what: str) -> list[str]:
    if not _is_plain(column.type):
        raise DataError(
            f"{what}: type {str(column.type)[:60]}; numbers or text, one value for each image, are read"
        )
    try:
        values = column.to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(f"{what}: text that is not UTF-8 (byte 0x{error.object[error.start]:02x})") from error
    return ["" if value is None or value != value else str(value).strip() for value in values]


class _Opened:
    """A Parquet file over a tree's stream; both are closed."""

    def __init__(self, stream: Any):
        import pyarrow.parquet

        self._stream = stream
        self.file = pyarrow.parquet.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)

    def __enter__(self) -> Any:
        return self.file

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self._stream.close()


def _opened(tree: FileTree, path: str) -> _Opened:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"{tree.where(path)}: reading Parquet needs pyarrow: pip install 'convtrials[parquet]'"
        ) from error
    stream = tree.open(path)
    try:
        return _Opened(stream)
    except BaseException:
        stream.close()
        raise


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn pyarrow's errors into one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # pyarrow raises Python's own kinds as well on damaged files
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{where}: cannot be read as Parquet ({text[:200]})") from error


@dataclass
class EncodedRows:
    """Image files that lie in a column, read by position.

    Row groups of moderate size are read whole and the last one kept; large ones are gone through in order.

    Parameters
    ----------
    table : ParquetTable
    column : int
        One of `table.encoded`.
    """

    table: ParquetTable
    column: int
    _start: int = field(default=0, init=False)
    _files: Any = field(default=None, init=False, repr=False)
    _names: Any = field(default=None, init=False, repr=False)
    _stream: Any = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": None, "_names": None, "_stream": None, "_start": 0}

    @property
    def in_order(self) -> bool:
        """Whether a row group is too large to be read for a few rows."""
        return any(size > MAX_PART_BYTES for _, size in self.table.parts)

    def at(self, row: int) -> tuple[bytes | None, str]:
        """Return the file at a row, and its name if it has one; None where the row holds none."""
        if self._files is None or not 0 <= row - self._start < len(self._files):
            self._load(row)
        place = row - self._start
        with _reading(self.table.where):
            name = None if self._names is None else self._names[place].as_py()
            return self._files[place].as_py(), str(name or "")

    def _load(self, row: int) -> None:
        name = self.table.names[self.column]
        with _reading(self.table.where):
            if not self.in_order:
                first = 0
                for number, (count, _) in enumerate(self.table.parts):
                    if row < first + count:
                        with _opened(self.table.tree, self.table.path) as file:
                            self._keep(first, file.read_row_group(number, columns=[name]).column(0))
                        return
                    first += count
                raise IndexError(row)
            if self._stream is None or row < self._start:
                self._stream = self.table._batches([name], _STREAM_ROWS)
                self._keep(0, next(self._stream).column(0))
            while row >= self._start + len(self._files):
                self._keep(self._start + len(self._files), next(self._stream).column(0))

    def _keep(self, first: int, column: Any) -> None:
        """Hold a piece of the column: its files, and its paths where it is a struct of both."""
        if hasattr(column, "chunks") and len(column.chunks) == 1:
            column = column.chunks[0]
        self._start, self._files, self._names = first, column, None
        kind = column.type
        if kind.num_fields:  # a struct; bytes have none
            names = [kind.field(number).name for number in range(kind.num_fields)]
            parts = dict(zip(names, column.flatten(), strict=True))
            self._files = parts["bytes"]
            self._names = parts.get("path")
