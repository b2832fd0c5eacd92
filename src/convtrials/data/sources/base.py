"""What every source of images offers: a cheap stamp, a listing, and decoded images of a range."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.class_names import composed
from convtrials.data.sources.frame import Frame


@dataclass(frozen=True, eq=False)
class Listing:
    """Everything that a source knows of its images before any is decoded.

    Names of classes and groups are text: a file name of other bytes than UTF-8 is refused here, since pages, tables and
    JSON files could not hold it.

    Attributes
    ----------
    class_names : tuple of str
        One name a class, in label order; each once.
    labels : ndarray of int64, shape (N,)
        Class of each image.
    native_shape : tuple of int or None
        (H, W, C) where all images share it, else None.
    split : ndarray of uint8, shape (N,), or None
        0 train, 1 val, 2 test where the source comes split; 255 marks an image still to be assigned.
    paths : tuple of str or None
        Where each image came from, relative to the source, where there is one file per image.
    groups : ndarray of int32, shape (N,), or None
        Typeface or writer of each image.
    group_names, group_kind, groups_are_sampled
        As in `convtrials.data.dataset.Dataset`.
    weights : ndarray of float32, shape (N,), or None
        What each image counts in the training loss, where the source says so; 0 or more.
    left_alone : int
        Other files, which are no images by their names or places.
    notes : tuple of str
        What was assumed, and what was left out and why: a line each, for people.
    """

    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    native_shape: tuple[int, int, int] | None
    split: NDArray[np.uint8] | None = None
    paths: tuple[str, ...] | None = None
    groups: NDArray[np.int32] | None = None
    group_names: tuple[str, ...] = ()
    group_kind: str | None = None
    groups_are_sampled: bool = False
    weights: NDArray[np.float32] | None = None
    left_alone: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        spelled: dict[str, str] = {}
        for name in self.class_names:
            other = spelled.get(composed(name))
            if other is not None:
                same = "listed twice" if other == name else "two spellings of one name in Unicode"
                raise DataError(f"class name {name!r:.80}: {same}; each class needs a name of its own")
            spelled[composed(name)] = name
        for kind, names in (("class", self.class_names), ("group", self.group_names)):
            for name in names:
                try:
                    name.encode()
                except UnicodeEncodeError:
                    raise DataError(
                        f"{kind} name {name!a:.80}: not UTF-8 text; rename that folder, or the name in the file"
                    ) from None


@dataclass(frozen=True)
class BadImage:
    """A file that could not become an image."""

    index: int
    path: str
    reason: str


#: Options that say how a source is read, and mean nothing to some kinds of it.
READING = ("columns", "fold", "labels_from_names", "bits")


class Source(Protocol):
    """A place that images come from. Small, and cheap to send to a worker process."""

    name: str
    """Short name for people, such as ``glyphs`` or a folder's name."""

    location: str
    """What identifies the source between calls: a built-in name with its settings, or an absolute path."""

    @property
    def takes(self) -> frozenset[str]:
        """Which of `READING` this kind of source heeds; others are refused."""
        ...

    def stamp(self) -> str:
        """Say cheaply (folder times and counts, no file read) whether anything may have changed."""
        ...

    def scan(self) -> Listing:
        """List the images; decodes nothing where there is one file per image."""
        ...

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Return images ``start:stop`` of the listing's order as uint8 (n, H, W, C), and what failed.

        The frame has a shape. A failed image's place holds zeros.
        """
        ...
