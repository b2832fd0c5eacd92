"""Tables as text: CSV with commas, semicolons or tabs, and JSON lines."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.tree import FileTree

#: Bytes of a line, and columns: 300 x 300 x 3 pixels as text fit; a file that is no table does not fill memory.
MAX_LINE = 16 << 20
MAX_COLUMNS = 1 << 19
_SAMPLE_LINES = 50
_SAMPLE_BYTES = 1 << 22
_DELIMITERS = (",", ";", "\t")
#: Pixels are handed over in pieces of so many bytes.
_PIECE_BYTES = 16 << 20
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class TableFile(Protocol):
    """One file of a table. Small, and cheap to send to a worker process."""

    @property
    def tree(self) -> FileTree:
        """What holds the file."""
        ...

    @property
    def path(self) -> str:
        """Path of the file within the tree."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns; ``"0"``, ``"1"`` and so on where the file has none."""
        ...

    @property
    def headed(self) -> bool:
        """Whether the file names its columns."""
        ...

    @property
    def encoded(self) -> tuple[int, ...]:
        """Columns that hold whole image files."""
        ...

    @property
    def where(self) -> str:
        """The file, for messages."""
        ...

    def texts(self, columns: Sequence[int]) -> tuple[list[list[str]], NDArray[np.int64]]:
        """Return the values of some columns as text, ``""`` where there is none, and the line of each row."""
        ...

    def class_names(self, column: int) -> tuple[str, ...] | None:
        """Names of the classes that a column's numbers stand for, where the file says so."""
        ...

    def sample(self) -> list[list[str]]:
        """Return the first rows as text; empty where a file cannot be looked into cheaply."""
        ...

    def numbers(self, columns: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Yield all rows of some columns, in pieces (n, columns): uint8 where all are whole, 0 to 255, else float64."""
        ...


@dataclass(frozen=True)
class CsvTable:
    """A CSV file; made by `open_csv`.

    Attributes
    ----------
    encoding : str
        ``utf-8-sig``, or ``utf-16`` where the file begins with its mark.
    delimiter : str
        Comma, semicolon or tab.
    """

    tree: FileTree
    path: str
    encoding: str
    delimiter: str
    headed: bool
    names: tuple[str, ...]
    encoded: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        """The file, for messages."""
        return self.tree.where(self.path)

    def class_names(self, column: int) -> tuple[str, ...] | None:
        """Say that text names no classes."""
        return None

    def texts(self, columns: Sequence[int]) -> tuple[list[list[str]], NDArray[np.int64]]:
        """Values of some columns, and the line of each row."""
        if len(self.names) > 64:
            return self._texts_of_many(columns)
        found: list[list[str]] = [[] for _ in columns]
        lines: list[int] = []
        for line, fields in self._records():
            lines.append(line)
            for own, column in zip(found, columns, strict=True):
                own.append(fields[column])
        return found, np.array(lines, np.int64)

    def _texts_of_many(self, columns: Sequence[int]) -> tuple[list[list[str]], NDArray[np.int64]]:
        # pandas looks at the other columns three times as fast, and does not count lines.
        found: list[list[str]] = [[] for _ in columns]
        order = sorted(set(columns))
        for piece in self._frames(order, str):
            for own, column in zip(found, columns, strict=True):
                own += [text.strip() for text in piece.iloc[:, order.index(column)].tolist()]
        count = len(found[0]) if found else 0
        return found, np.arange(count) + (2 if self.headed else 1)

    def sample(self) -> list[list[str]]:
        """Return the first rows."""
        found = _sample(self.tree, self.path, self.encoding, self.delimiter)[1 if self.headed else 0 :]
        return [[field.strip() for field in row] for row in found if len(row) == len(self.names)]

    def numbers(self, columns: Sequence[int]) -> Iterator[NDArray[Any]]:
        """All rows of some columns, in pieces."""
        order = sorted(columns)
        place = [order.index(column) for column in columns]
        plain = place == list(range(len(place)))
        kinds: tuple[type, ...] = (np.uint8, np.float64)
        done = 0
        for kind in kinds:
            seen = 0
            try:
                for piece in self._frames(order, kind):
                    values = piece.to_numpy()
                    if kind is np.float64 and not np.isfinite(values).all():
                        raise ValueError("a field is empty or no number")
                    if seen >= done:
                        yield values if plain else np.ascontiguousarray(values[:, place])
                        done += len(values)
                    seen += len(values)
                return
            except ValueError as error:  # pandas: a value that the type cannot hold
                if kind is np.float64:
                    self._refuse_value(order, error)

    def _refuse_value(self, columns: Sequence[int], error: Exception) -> None:
        for line, fields in self._records():
            for column in columns:
                if not _NUMBER.fullmatch(fields[column]):
                    name = self.names[column]
                    raise DataError(
                        f"{self.where}, line {line}, column {name!r:.40}: {fields[column]!r:.40} is no number"
                    )
        raise DataError(f"{self.where}: {error}") from error

    def _frames(self, columns: Sequence[int], kind: type) -> Iterator[Any]:
        import pandas
        from pandas.errors import ParserError

        rows = max(16, _PIECE_BYTES // (8 * len(self.names)))
        try:
            with (
                _opened(self.tree, self.path) as raw,
                io.TextIOWrapper(raw, encoding=self.encoding, newline="") as text,
                pandas.read_csv(
                    _Pieces(self._whole_records(text)),
                    sep=self.delimiter,
                    header=0 if self.headed else None,
                    usecols=list(columns),
                    dtype=kind,
                    keep_default_na=False,
                    chunksize=rows,
                    low_memory=False,
                ) as reader,
            ):
                yield from reader
        except (ParserError, OverflowError) as error:
            said = str(error).strip().removeprefix("Error tokenizing data. C error: ")
            raise DataError(f"{self.where}: {said[:200]}") from error
        except UnicodeError as error:
            raise _not_text(self.where, error) from error
        except OSError as error:
            raise DataError(f"{self.where}: {error.strerror or error}") from error

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row's line and fields, blank lines and the header left out."""
        header = self.headed
        for line, fields in _records(self.tree, self.path, self.encoding, self.delimiter):
            if header:
                header = False
                continue
            self._refuse_count(line, len(fields))
            yield line, [field.strip() for field in fields]

    def _whole_records(self, text: io.TextIOBase) -> Iterator[str]:
        """Yield the file's text by records of one number of fields each: pandas drops what a row has too many."""
        lines = _lines(text, self.where)
        number = 0
        for line in lines:
            record = [line]
            if '"' in line:
                try:
                    count = len(next(csv.reader(_kept(record, lines), delimiter=self.delimiter, strict=True)))
                except csv.Error as error:
                    raise DataError(f"{self.where}, line {number + 1}: not CSV ({error})") from error
            else:
                count = line.count(self.delimiter) + 1 if line.strip("\r\n") else len(self.names)
            number += len(record)
            self._refuse_count(number, count)
            yield "".join(record)

    def _refuse_count(self, line: int, count: int) -> None:
        if count != len(self.names):
            raise DataError(
                f"{self.where}, line {line}: {count} fields, {len(self.names)} columns; quote a field "
                f"that holds a {_spoken(self.delimiter)}"
            )


def open_csv(tree: FileTree, path: str) -> CsvTable:
    """Find out how a CSV file is written: its encoding, delimiter, and whether it names its columns.

    Raises
    ------
    DataError
        It is empty, neither UTF-8 nor UTF-16, or has one column.
    """
    where = tree.where(path)
    with _opened(tree, path) as raw:
        head = raw.read(4)
    if head[:2] == b"PK":
        raise DataError(f"{where}: a spreadsheet or zip file; save it as CSV")
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    first: list[str] = []
    shapes: dict[str, set[int]] = {}
    headers: dict[str, list[str]] = {}
    delimiters = ("\t",) if path.lower().endswith((".tsv", ".tab")) else _DELIMITERS
    broken: DataError | None = None
    for delimiter in delimiters:
        try:
            sample = _sample(tree, path, encoding, delimiter)
        except DataError as error:
            broken = error
            continue
        if not sample:
            raise DataError(f"{where}: empty")
        shapes[delimiter] = {len(fields) for fields in sample}
        headers[delimiter] = sample[0]
    # One number of fields in all rows speaks for a delimiter; then their number.
    fitting = [own for own in shapes if shapes[own] != {1}]
    fitting.sort(key=lambda own: (len(shapes[own]) > 1, -len(headers[own])))
    if not fitting:
        if broken is not None:
            raise broken
        raise DataError(f"{where}: one column; a table of images needs columns for image and label")
    delimiter = fitting[0]
    first = [field.strip() for field in headers[delimiter]]
    if len(first) > MAX_COLUMNS:
        raise DataError(f"{where}: {len(first):,} columns; at most {MAX_COLUMNS:,} are read")
    headed = _is_header(first)
    names = tuple(first) if headed else tuple(map(str, range(len(first))))
    return CsvTable(tree, path, encoding, delimiter, headed, names)


def _is_header(first: Sequence[str]) -> bool:
    """Whether a first row names columns. One of numbers, or one that names an image file, is data."""
    from convtrials.data.paths import image_endings

    numbers = [bool(_NUMBER.fullmatch(field)) for field in first]
    if len(first) > 3:
        # pandas names columns 0, 1, 2 where nobody else does, and repeated zeros 0, 0.1, 0.2.
        for counted in (
            [str(n) for n in range(len(first))],
            ["0", *(f"0.{n}" for n in range(1, len(first)))],
        ):
            for ends in (slice(1, None), slice(None, -1)):
                shifted = [str(n) for n in range(len(first) - 1)]
                if list(first) == counted or (list(first[ends]) == shifted and not all(numbers)):
                    return True
    if all(numbers):
        return False
    if len(first) > 16 and sum(not one for one in numbers) == 1:
        return False  # a label in words, and pixels
    return not any(
        f".{field.rpartition('.')[2].lower()}" in image_endings() for field in first if "." in field
    )


def _sample(tree: FileTree, path: str, encoding: str, delimiter: str) -> list[list[str]]:
    found: list[list[str]] = []
    size = 0
    for _, fields in _records(tree, path, encoding, delimiter):
        found.append(fields)
        size += sum(map(len, fields)) + len(fields)
        if len(found) == _SAMPLE_LINES or size > _SAMPLE_BYTES:
            break
    return found


def _records(tree: FileTree, path: str, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    where = tree.where(path)
    with _opened(tree, path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
        reader = csv.reader(_lines(text, where), delimiter=delimiter, strict=True)
        try:
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
        except csv.Error as error:
            raise DataError(f"{where}, line {reader.line_num}: not CSV ({error})") from error
        except UnicodeError as error:
            raise _not_text(where, error) from error
        except OSError as error:
            raise DataError(f"{where}: {error.strerror or error}") from error


def _lines(text: io.TextIOBase, where: str) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DataError(f"{where}: a line of more than {MAX_LINE >> 20} MiB; not a table of images")
        yield line


def _kept(record: list[str], lines: Iterator[str]) -> Iterator[str]:
    """Yield a record's first line, then the following ones, each put into the record as well."""
    yield record[0]
    for line in lines:
        record.append(line)
        yield line


class _Pieces:
    """Text that comes in pieces, as a file that pandas reads."""

    def __init__(self, pieces: Iterator[str]):
        self._pieces = pieces

    def read(self, size: int = -1) -> str:
        """Return the next piece, whatever its size; ``""`` at the end."""
        found: list[str] = []
        length = 0
        for piece in self._pieces:
            found.append(piece)
            length += len(piece)
            if 0 <= size <= length:
                break
        return "".join(found)

    def __iter__(self) -> Iterator[str]:
        return self._pieces


def _opened(tree: FileTree, path: str) -> BinaryIO:
    try:
        file = tree.open(path)
    except OSError as error:
        raise DataError(f"{tree.where(path)}: {error.strerror or error}") from error
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, file), 1 << 18))


def _not_text(where: str, error: UnicodeError) -> DataError:
    byte = ""
    if isinstance(error, UnicodeDecodeError):
        byte = f" (byte 0x{error.object[error.start]:02x})"
    return DataError(
        f"{where}: not UTF-8 text{byte}; save it as UTF-8 (a file does not say which other encoding it has)"
    )


def _spoken(delimiter: str) -> str:
    return {",": "comma", ";": "semicolon", "\t": "tab"}[delimiter]


@dataclass(frozen=True)
class JsonLines:
    """A file of one JSON object a line, as Hugging Face's ``metadata.jsonl``; made by `open_jsonl`."""

    tree: FileTree
    path: str
    names: tuple[str, ...]
    headed: bool = True
    encoded: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        """The file, for messages."""
        return self.tree.where(self.path)

    def class_names(self, column: int) -> tuple[str, ...] | None:
        """Say that text names no classes."""
        return None

    def texts(self, columns: Sequence[int]) -> tuple[list[list[str]], NDArray[np.int64]]:
        """Values of some keys, and the line of each row."""
        found: list[list[str]] = [[] for _ in columns]
        lines: list[int] = []
        for line, values in _objects(self.tree, self.path):
            lines.append(line)
            for own, column in zip(found, columns, strict=True):
                value = values.get(self.names[column])
                if isinstance(value, list | dict):
                    raise DataError(
                        f"{self.where}, line {line}: {self.names[column]} is a {type(value).__name__}; one value for "
                        "each image is needed (several labels of one image are not supported)"
                    )
                own.append("" if value is None else str(value).strip())
        return found, np.array(lines, np.int64)

    def sample(self) -> list[list[str]]:
        """Return the first rows."""
        return []  # keys have names; nothing is found out by values

    def numbers(self, columns: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Pixels are not read from JSON."""
        raise DataError(f"{self.where}: pixels as JSON are not read; save them as CSV, Parquet or .npz")


def open_jsonl(tree: FileTree, path: str) -> JsonLines:
    """Read the keys of a file of JSON lines: those of the first ones."""
    names: dict[str, None] = {}
    for line, values in _objects(tree, path):
        names.update(dict.fromkeys(values))
        if line >= _SAMPLE_LINES or len(names) > 1000:
            break
    if not names:
        raise DataError(f"{tree.where(path)}: empty")
    return JsonLines(tree, path, tuple(names))


def _objects(tree: FileTree, path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    where = tree.where(path)
    with _opened(tree, path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig") as text:
        try:
            for number, line in enumerate(_lines(text, where), 1):
                if not line.strip():
                    continue
                values = json.loads(line)
                if not isinstance(values, dict):
                    raise DataError(f"{where}, line {number}: one JSON object a line is needed")
                yield number, values
        except UnicodeError as error:
            raise _not_text(where, error) from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is no JSONDecodeError
            raise DataError(f"{where}, line {number}: not JSON ({error!s:.80})") from error
        except OSError as error:
            raise DataError(f"{where}: {error.strerror or error}") from error
