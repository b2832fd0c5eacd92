"""Tables that name image files, or hold whole image files in a column."""

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.extent import Extent
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.image_files import ImageFiles
from convtrials.data.sources.images import (
    Header,
    UnreadableImageError,
    decode_image,
    largest_value,
    read_header,
)
from convtrials.data.sources.table import TABLE_OPTIONS, Places, Rows, Table, listing_of, read_rows
from convtrials.data.sources.table_frame import FrameRows, FrameTable
from convtrials.data.sources.table_parquet import EncodedRows, ParquetTable
from convtrials.data.sources.table_paths import LinkedTree, image_folders, locate
from convtrials.data.sources.table_pixels import table_stamp
from convtrials.data.sources.tree import FileTree

_CODE_WORDS = {
    0: ("train", "train_images", "training"),
    1: ("val", "valid", "validation", "dev"),
    2: ("test", "test_images", "testing"),
    255: (),
}


@dataclass
class PathTableSource(ImageFiles):
    """Images in files that a table names, with their labels.

    A path is relative to the table's folder or to a folder within it (``images``, ``train``, ...), with or without
    ending; on disk it may be absolute. Each image counts once: further rows of it must agree.

    Parameters
    ----------
    tree : FileTree
        What holds table and images.
    table : Table
        With an `image` among its roles.
    place : str
        The table's file, or the folder of several; within the tree.
    skip_bad : bool
        Leave rows out whose file is missing.
    """

    tree: FileTree
    table: Table
    place: str = ""
    skip_bad: bool = False
    takes: ClassVar[frozenset[str]] = TABLE_OPTIONS
    name: str = field(init=False)
    location: str = field(init=False)
    _paths: tuple[str, ...] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.location = self.tree.where(self.place)
        self.name = posixpath.basename(self.place) if self.place else self.tree.name

    def stamp(self) -> str:
        """Sizes and times of the tables, times of the folders with images."""
        if not isinstance(self.tree, LinkedTree):
            return table_stamp(self.table)
        digest = blake2b(table_stamp(self.table).encode(errors="surrogateescape"), digest_size=16)
        for file, code in zip(self.table.files, self.table.codes, strict=True):
            (values,), _ = file.texts([self.table.roles.image])  # type: ignore[list-item]
            home = posixpath.dirname(file.path)
            for place in image_folders(self.tree, home, values, where=file.where, first=_CODE_WORDS[code]):
                time = os.stat(self.tree.where(place)).st_mtime_ns
                digest.update(f"{place}\0{time}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def scan(self) -> Listing:
        """Find the files, and list those with a label; opens none."""
        rows = read_rows(self.table)
        notes: list[str] = []
        paths = self._located(rows, notes)
        labelled = rows.labelled.codes >= 0
        missing = [row for row, path in enumerate(paths) if path is None and labelled[row]]
        if missing:
            notes.append(self._missing(rows, missing))
        there = np.array([path is not None for path in paths]) & labelled
        keep, again = _once(paths, rows, np.flatnonzero(there))
        if again:
            notes.append(f"{again:,} further row(s) of an image that is listed already are left out")
        if not len(keep):
            raise DataError(f"{self.table.where}: no row with an image and a label")
        self._paths = tuple(str(paths[row]) for row in keep.tolist())
        return listing_of(rows, keep, native_shape=None, paths=self._paths, notes=notes)

    def name_in_class(self, index: int) -> str:
        """Path of one image, as one that can be written below a class's folder: folders of a table are no classes."""
        path = self.path_of(index).replace(":", "")
        return "/".join(part for part in path.split("/") if part not in ("", ".."))

    def _located(self, rows: Rows, notes: list[str]) -> list[str | None]:
        found: list[str | None] = []
        unnamed = outside = 0
        for file, code, count in zip(self.table.files, self.table.codes, rows.place.counts, strict=True):
            values = rows.images[len(found) : len(found) + count]
            home = posixpath.dirname(file.path)
            own = locate(self.tree, home, values, where=file.where, first=_CODE_WORDS[code])
            found += own.paths
            unnamed, outside = unnamed + own.unnamed, outside + own.outside
        if unnamed:
            notes.append(f"{unnamed:,} image(s) in the same folders are named by no row, and are left alone")
        if outside:
            notes.append(f"{outside:,} image(s) lie outside the table's folder")
        return found

    def _missing(self, rows: Rows, missing: Sequence[int]) -> str:
        shown = ", ".join(f"{rows.images[row] or 'no path'!s:.80}" for row in missing[:3])
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        if not self.skip_bad:
            raise DataError(
                f"{self.table.where}: {len(missing):,} of {len(rows.images):,} rows name an image that is not there: "
                f"{shown}{more} (first in {rows.place(missing[0])})\n"
                "Paths are relative to the table's folder, or to images/, train/ and other folders in it; leave such "
                "rows out with --skip-bad."
            )
        return f"{len(missing):,} row(s) whose image is not there are left out: {shown}{more}"


def _once(paths: Sequence[str | None], rows: Rows, keep: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Keep the first row of each image; refuse rows of one image that differ."""
    first: dict[str, int] = {}
    kept: list[int] = []
    for row in keep.tolist():
        path = str(paths[row])
        if path not in first:
            first[path] = row
            kept.append(row)
            continue
        _refuse_difference(path, rows, first[path], row)
    return np.array(kept, np.int64), len(keep) - len(kept)


def _refuse_difference(path: str, rows: Rows, one: int, two: int) -> None:
    names, codes = rows.labelled.names, rows.labelled.codes
    place: Places = rows.place
    both = f"{place(one)} and {place(two).rpartition(', ')[2]}: {path:.80}"
    if codes[one] != codes[two]:
        raise DataError(
            f"{both} is {names[codes[one]]} and {names[codes[two]]}; one class for each image is supported"
        )
    for what, values in (("split", rows.split), ("group", rows.groups), ("weight", rows.weights)):
        if values is not None and values[one] != values[two]:
            raise DataError(f"{both} differs in its {what}; keep one row")


@dataclass
class EncodedTableSource:
    """Image files that lie within a Parquet file, one in each row.

    Parameters
    ----------
    tree : FileTree
        What holds the table.
    table : Table
        Whose files are Parquet.
    place : str
        The table's file, or the folder of several; within the tree.
    """

    tree: FileTree
    table: Table
    place: str = ""
    takes: ClassVar[frozenset[str]] = TABLE_OPTIONS
    name: str = field(init=False)
    location: str = field(init=False)
    _rows: NDArray[np.int64] | None = field(default=None, init=False, repr=False)
    _readers: "list[tuple[int, EncodedRows | FrameRows]]" = field(
        default_factory=list, init=False, repr=False
    )

    def __post_init__(self) -> None:
        self.location = self.tree.where(self.place)
        self.name = posixpath.basename(self.place) if self.place else self.tree.name
        column = self.table.roles.image
        first = 0
        for file in self.table.files:
            assert isinstance(file, ParquetTable | FrameTable)
            assert column is not None
            self._readers.append((first, file.encoded_rows(column)))
            first += file.row_count

    @property
    def in_order(self) -> bool:
        """Whether one process must read from front to back."""
        return any(reader.in_order for _, reader in self._readers)

    def stamp(self) -> str:
        """Sizes and times of the files."""
        return table_stamp(self.table)

    def scan(self) -> Listing:
        """Read labels; no image is decoded."""
        rows = read_rows(self.table)
        self._rows = np.flatnonzero(rows.labelled.codes >= 0)
        return listing_of(rows, self._rows, native_shape=None)

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Decode rows ``start:stop``; a bad one leaves zeros."""
        assert frame.shape is not None
        images = np.zeros((stop - start, *frame.shape), np.uint8)
        bad: list[BadImage] = []
        for index in range(start, stop):
            try:
                images[index - start] = self.native(index, frame)
            except UnreadableImageError as error:
                bad.append(BadImage(index, self.path_of(index), str(error)))
        return images, bad

    def native(self, index: int, frame: Frame) -> NDArray[np.uint8]:
        """Decode one image; raises `UnreadableImageError`."""
        data = self._at(index)[0]
        if not data:
            raise UnreadableImageError("no image in this row")
        return decode_image(data, frame)

    def path_of(self, index: int) -> str:
        """Name an image for messages: its row, and the path that the file gives it."""
        name = self._at(index)[1]
        return f"row {int(self._listed()[index]) + 1}" + (f" ({name:.80})" if name else "")

    def extent(self, start: int, stop: int) -> Extent:
        """Largest values of the images that have more than 8 bits."""
        every = Extent()
        for index in range(start, stop):
            found = largest_value(self._at(index)[0] or b"")
            if found is not None:
                kind, value = found
                own = Extent(floats=value) if kind == "floats" else Extent(**{kind: int(value)})
                every = every.joined(own)
        return every

    def wide(self, index: int) -> bool:
        """Whether an image has more than 8 bits."""
        return any(header.wide for header in self.headers(index, index + 1))

    def headers(self, start: int, stop: int) -> set[Header]:
        """Distinct headers of images ``start:stop``; unreadable ones are left out."""
        headers = set()
        for index in range(start, stop):
            try:
                headers.add(read_header(BytesIO(self._at(index)[0] or b"")))
            except UnreadableImageError:
                continue  # decoding will say what is wrong with it
        return headers

    def _at(self, index: int) -> tuple[bytes | None, str]:
        row = int(self._listed()[index])
        first, reader = next(pair for pair in reversed(self._readers) if pair[0] <= row)
        return reader.at(row - first)

    def _listed(self) -> NDArray[np.int64]:
        if self._rows is None:
            self.scan()
        assert self._rows is not None
        return self._rows


def table_source(
    tree: FileTree, table: Table, place: str, *, skip_bad: bool, transposed: bool, bits: int | None
) -> Any:
    """Return the source that a table is: of pixels, of image files within, or of paths."""
    from convtrials.data.sources.table_pixels import PixelTableSource

    if table.roles.pixels:
        return PixelTableSource(tree, table, place, transposed, bits)
    if table.roles.image is not None and table.roles.image in table.files[0].encoded:
        return EncodedTableSource(tree, table, place)
    return PathTableSource(tree, table, place, skip_bad)
