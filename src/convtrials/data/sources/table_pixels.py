"""Tables of one pixel a column: what shape and scale the numbers have, and images read from front to back."""

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import fit_images, refuse_huge
from convtrials.data.sources.table import TABLE_OPTIONS, Rows, Table, listing_of, read_rows, settle_label
from convtrials.data.sources.table_frame import FrameTable
from convtrials.data.sources.tree import FileTree


@dataclass(frozen=True)
class PixelLayout:
    """How a row of numbers becomes an image.

    Attributes
    ----------
    side, channels : int
        Images are side x side x channels, rows from the top.
    planar : bool
        Whether a colour's pixels lie together (all red, all green, all blue), not a pixel's colours.
    white : float
        255 or 1.
    """

    side: int
    channels: int
    planar: bool
    white: float

    def images(self, rows: NDArray[Any], where: str) -> NDArray[np.uint8]:
        """Return rows (n, pixels) as uint8 (n, H, W, C)."""
        if rows.dtype != np.uint8 or self.white != 255:
            low, high = (float(rows.min()), float(rows.max())) if rows.size else (0.0, 0.0)
            if not (low >= 0 and high <= self.white):
                raise DataError(
                    f"{where}: pixels from {low:g} to {high:g}; whole numbers or decimals from 0 to 255, or decimals "
                    "from 0 to 1, are read, others with --bits (white is 2**bits - 1): undo any normalisation before"
                )
            rows = np.rint(rows.astype(np.float64) * (255.0 / self.white)).astype(np.uint8)
        shape = (len(rows), self.side, self.side, self.channels)
        if self.planar:
            planes = rows.reshape(len(rows), self.channels, self.side, self.side)
            return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return np.ascontiguousarray(rows.reshape(shape))


def side_and_channels(where: str, pixels: int) -> tuple[int, int]:
    """Side and channels of images of so many numbers: a square, grey or of three colours.

    Raises
    ------
    DataError
        It is no square.
    """
    for channels in (1, 3):
        side = isqrt(pixels // channels)
        if side * side * channels == pixels:
            refuse_huge(where, (side, side))
            return side, channels
    raise DataError(
        f"{where}: {pixels:,} columns of pixels; square images are read: side x side, or 3 x side x side"
    )


@dataclass
class PixelTableSource:
    """Images whose pixels are the columns of a table.

    Parameters
    ----------
    tree : FileTree
        What holds the table.
    table : Table
        With `pixels` among its roles.
    place : str
        The table's file, or the folder of several; within the tree.
    transposed : bool
        Whether images are stored transposed, as NIST stores EMNIST.
    bits : int or None
        White is ``2**bits - 1``; None: 255, or 1 where no pixel is above it.
    """

    tree: FileTree
    table: Table
    place: str = ""
    transposed: bool = False
    bits: int | None = None
    takes: ClassVar[frozenset[str]] = TABLE_OPTIONS
    name: str = field(init=False)
    location: str = field(init=False)
    in_order = True  # text is read from front to back, by one process
    _rows: NDArray[np.int64] | None = field(default=None, init=False, repr=False)
    _layout: PixelLayout | None = field(default=None, init=False, repr=False)
    _reader: "_Reader | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.location = self.tree.where(self.place)
        self.name = posixpath.basename(self.place) if self.place else self.tree.name

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def stamp(self) -> str:
        """Sizes and times of the files."""
        return table_stamp(self.table)

    def scan(self) -> Listing:
        """Read labels, and as many pixels as say what is white."""
        self.table = settle_label(self.table)
        rows: Rows = read_rows(self.table)
        keep = np.flatnonzero(rows.labelled.codes >= 0)
        side, channels = side_and_channels(self.table.where, len(self.table.roles.pixels))
        white, binary, first = self._scale()
        if self.bits is not None:
            white, binary = float(2**self.bits - 1), False
        planar = channels == 3 and _is_planar(first, side)
        self._layout, self._rows = PixelLayout(side, channels, planar, white), keep
        notes = []
        if channels == 3:
            order = "all red, all green, all blue" if planar else "red, green, blue of each pixel"
            notes.append(
                f"{len(self.table.roles.pixels):,} pixels a row are {side} x {side} in colour, in the order {order}"
            )
        if binary:
            notes.append("pixels are 0 and 1; 1 is read as white")
        elif white == 1:
            notes.append("pixels are decimals up to 1, which is white")
        if self.transposed:
            notes.append("images are turned upright, since EMNIST's rows are columns")
        return listing_of(rows, keep, native_shape=(side, side, channels), notes=notes)

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Return images ``start:stop``; none can be bad alone."""
        if self._rows is None or self._layout is None:
            self.scan()
        assert self._rows is not None
        assert self._layout is not None
        if self._reader is None:
            self._reader = _Reader(self.table)
        images = self._layout.images(self._reader.rows(self._rows[start:stop]), self.table.where)
        if self.transposed:
            images = np.ascontiguousarray(images.transpose(0, 2, 1, 3))
        return fit_images(images, frame), []

    def _scale(self) -> tuple[float, bool, NDArray[Any]]:
        """What is white, whether all numbers are 0 and 1, and the first rows; reads on only until it is known."""
        first: NDArray[Any] | None = None
        highest, whole = 0.0, True
        for file in self.table.files:
            for piece in file.numbers(self.table.roles.pixels):
                first = piece if first is None else first
                whole = whole and (piece.dtype == np.uint8)
                highest = max(highest, float(piece.max()) if piece.size else 0.0)
                if highest > 1:
                    return 255.0, False, first
        if first is None or highest == 0:
            raise DataError(f"{self.table.where}: no pixel above 0")
        return 1.0, whole, first


def table_stamp(table: Table) -> str:
    """Sizes and times of a table's files, and of the file that names its classes."""
    tree = table.files[0].tree
    paths = [file.where for file in table.files] + ([tree.where(table.mapping)] if table.mapping else [])
    facts = [file.digest for file in table.files if isinstance(file, FrameTable)]
    for path in paths:
        if os.path.exists(path):
            stat = os.stat(path)
            facts.append(f"{path}:{stat.st_size}:{stat.st_mtime_ns}")
    return ";".join(facts) or table.files[0].tree.stamp()


def _is_planar(rows: NDArray[Any], side: int) -> bool:
    """Whether colours lie apart: images are smoother when they are put together in the right way."""
    sample = PixelLayout(side, 3, False, 255.0)
    values = rows[:64].astype(np.float64)
    scores = []
    for planar in (False, True):
        layout = replace(sample, planar=planar)
        images = (
            values.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
            if layout.planar
            else values.reshape(-1, side, side, 3)
        )
        scores.append(float(np.abs(np.diff(images, axis=1)).mean() + np.abs(np.diff(images, axis=2)).mean()))
    return side > 1 and scores[1] < scores[0]


@dataclass
class _Reader:
    """Rows of pixels over all files, in ascending order; a step back starts again."""

    table: Table
    _pieces: Iterator[NDArray[Any]] | None = None
    _piece: NDArray[Any] | None = None
    _start: int = 0

    def rows(self, wanted: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows at ascending positions, (n, pixels); uint8 where all are whole."""
        found: list[NDArray[Any]] = []
        done = 0
        while done < len(wanted):
            self._go_to(int(wanted[done]))
            assert self._piece is not None
            end = int(np.searchsorted(wanted, self._start + len(self._piece)))
            own = wanted[done:end] - self._start
            together = own[-1] - own[0] + 1 == len(own)
            found.append(self._piece[own[0] : own[-1] + 1] if together else self._piece[own])
            done = end
        return np.concatenate(found) if len(found) != 1 else found[0]

    def _go_to(self, row: int) -> None:
        if self._pieces is None or row < self._start:
            self._pieces, self._piece, self._start = self._every(), None, 0
        while self._piece is None or row >= self._start + len(self._piece):
            self._start += 0 if self._piece is None else len(self._piece)
            following = next(self._pieces, None)
            if following is None:
                raise DataError(f"{self.table.where}: ends early; it changed while it was read")
            self._piece = following

    def _every(self) -> Iterator[NDArray[Any]]:
        for file in self.table.files:
            yield from file.numbers(self.table.roles.pixels)
