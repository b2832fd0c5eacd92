"""Splits that each have a source of their own: one to train on, one to test on, one to validate on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.class_names import composed, likeness, shortened
from convtrials.data.sources.base import BadImage, Listing, Source
from convtrials.data.sources.extent import Extent, HasExtent
from convtrials.data.sources.folder import FolderSource
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.image_files import ImageFiles
from convtrials.data.sources.images import Header
from convtrials.data.sources.split_folders import split_folder_name
from convtrials.data.sources.tree import FileTree
from convtrials.data.split import SPLITS, UNASSIGNED


@dataclass
class JoinedSource:
    """Images of several sources, one for each split; classes are matched by name.

    A split that no source is given for is cut from the images to train on.

    Parameters
    ----------
    sources : dict of int to Source
        By split code, ascending: 0 train, and 1 val or 2 test or both.

    Raises
    ------
    DataError
        Two of them are the same place, or one lies within another.
    """

    sources: dict[int, Source]
    name: str = field(init=False)
    location: str = field(init=False)
    _ends: dict[int, int] | None = field(default=None, init=False, repr=False)
    _native: dict[int, tuple[int, int, int] | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        _refuse_overlaps(self.sources)
        train = self.sources[0]
        self.location = train.location
        above = Path(train.location).parent.name
        self.name = above if above and split_folder_name(train.name) else train.name
        self.in_order = any(getattr(source, "in_order", False) for source in self.sources.values())

    @property
    def takes(self) -> frozenset[str]:
        """What any of the sources heeds; each has been asked by itself."""
        return frozenset[str]().union(*(source.takes for source in self.sources.values()))

    def stamp(self) -> str:
        """Stamps of all."""
        stamps = "\n".join(f"{code}:{source.stamp()}" for code, source in self.sources.items())
        return blake2b(stamps.encode(errors="surrogateescape"), digest_size=16).hexdigest()

    @property
    def locations(self) -> tuple[str, ...]:
        """Of all sources."""
        return tuple(source.location for source in self.sources.values())

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was noticed where the sources were looked for."""
        return tuple(
            f"{SPLITS[code]}: {remark}"
            for code, source in self.sources.items()
            for remark in getattr(source, "remarks", ())
        )

    def scan(self) -> Listing:
        """List the images of all, those to train on first.

        Raises
        ------
        DataError
            A source is split itself, or has a class that the images to train on lack.
        """
        listings = {0: self._listed(0, ())}
        classes = listings[0].class_names
        for code in self.sources:
            if code:
                listings[code] = self._listed(code, classes)
        labels = [
            listing.labels if code == 0 else self._matched(code, listing, classes)
            for code, listing in listings.items()
        ]
        bounds = np.cumsum([len(own) for own in labels])
        self._ends = dict(zip(listings, bounds.tolist(), strict=True))
        self._native = {code: listing.native_shape for code, listing in listings.items()}
        open_code = 0 if len(listings) == 3 else UNASSIGNED
        codes = [
            np.full(len(own), code or open_code, np.uint8) for code, own in zip(listings, labels, strict=True)
        ]
        shapes = {listing.native_shape for listing in listings.values()}
        return Listing(
            class_names=classes,
            labels=np.concatenate(labels),
            native_shape=shapes.pop() if len(shapes) == 1 else None,
            split=np.concatenate(codes),
            paths=_joined_paths(listings),
            weights=_joined_weights(listings),
            left_alone=sum(listing.left_alone for listing in listings.values()),
            **_joined_groups(listings),
        )

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Return images ``start:stop`` of all, laid end to end."""
        pieces, bad = [], []
        for code, low, high, first in self._across(start, stop):
            images, failed = self.sources[code].read(low, high, frame)
            pieces.append(images)
            bad += [
                BadImage(first + item.index, f"{SPLITS[code]}/{item.path}", item.reason) for item in failed
            ]
        return np.concatenate(pieces), bad

    def native(self, index: int, frame: Frame) -> NDArray[np.uint8]:
        """Return one image at its own size, shape (H, W, C); raises `UnreadableImageError`."""
        code, own = self._place(index)
        source: Any = self.sources[code]
        if hasattr(source, "native"):
            image: NDArray[np.uint8] = source.native(own, frame)
            return image
        shape = self._native[code]
        assert shape is not None  # a source of arrays
        return source.read(own, own + 1, Frame(shape, scale=frame.scale))[0][0]  # type: ignore[no-any-return]

    def headers(self, start: int, stop: int) -> set[Header]:
        """Distinct headers of images ``start:stop``; unreadable ones are left out."""
        headers: set[Header] = set()
        for code, low, high, _ in self._across(start, stop):
            native, source = self._native[code], self.sources[code]
            # Whether arrays have more than 8 bits, their extent says.
            headers |= {Header(*native, True)} if native is not None else source.headers(low, high)  # type: ignore[attr-defined]
        return headers

    def extent(self, start: int, stop: int) -> Extent:
        """Largest values of images ``start:stop`` of more than 8 bits."""
        extent = Extent()
        for code, low, high, _ in self._across(start, stop):
            source = self.sources[code]
            if isinstance(source, HasExtent):
                extent = extent.joined(source.extent(low, high))
        return extent

    def wide(self, index: int) -> bool:
        """Whether an image has more than 8 bits; a table's numbers may have."""
        code, own = self._place(index)
        source = self.sources[code]
        return source.wide(own) if isinstance(source, HasExtent) else "bits" in source.takes

    def position(self, index: int) -> int:
        """Where one image lies among the others, of its source and of all: they are best read in this order."""
        code, own = self._place(index)
        source: Any = self.sources[code]
        return (code << 56) + int(source.position(own) if hasattr(source, "position") else own)

    def path_of(self, index: int) -> str:
        """Where one image came from: its split, and the path or number in that source."""
        code, own = self._place(index)
        source: Any = self.sources[code]
        return f"{SPLITS[code]}/{source.path_of(own) if hasattr(source, 'path_of') else own}"

    def file_of(self, index: int) -> tuple[FileTree, str]:
        """Tree and relative path of one image, of sources of files."""
        code, own = self._place(index)
        source: Any = self.sources[code]
        found: tuple[FileTree, str] = source.file_of(own)
        return found

    def name_in_class(self, index: int) -> str:
        """Path of one image below its class's folder, of sources of files."""
        code, own = self._place(index)
        source: Any = self.sources[code]
        return str(source.name_in_class(own))

    def other_files(self) -> tuple[str, ...]:
        """Files of all that are no images of a class."""
        return tuple(
            f"{SPLITS[code]}/{path}"
            for code, source in self.sources.items()
            if isinstance(source, ImageFiles)
            for path in source.other_files()
        )

    def _listed(self, code: int, classes: tuple[str, ...]) -> Listing:
        source = self.sources[code]
        if isinstance(source, FolderSource) and classes:
            source.known = classes  # one class is enough for a test, and says which folders are classes
        listing = source.scan()
        if listing.split is not None:
            raise DataError(
                f"{source.location}: is split itself, and was given as the images of {SPLITS[code]}; name the folder "
                "or file of that split, or this alone without --train, --val and --test"
            )
        return listing

    def _matched(self, code: int, listing: Listing, classes: tuple[str, ...]) -> NDArray[np.int64]:
        """Labels of another source as places in the classes of train."""
        place = {composed(name): label for label, name in enumerate(classes)}
        counts = np.bincount(listing.labels[listing.labels >= 0], minlength=len(listing.class_names))
        unknown = [
            name
            for name, count in zip(listing.class_names, counts, strict=True)
            if count and composed(name) not in place
        ]
        if unknown:
            raise DataError(
                f"{self.sources[code].location}: no images to train on for class {shortened(unknown)} "
                f"(classes of {self.location}: {shortened(classes)}){likeness(unknown, classes)}"
            )
        table = np.array([place.get(composed(name), -1) for name in listing.class_names], np.int64)
        return table[listing.labels]

    def _across(self, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield the pieces of ``start:stop``: split code, start and stop in its source, and where that begins."""
        first = 0
        for code, end in self._bounds().items():
            low, high = max(start, first), min(stop, end)
            if low < high:
                yield code, low - first, high - first, first
            first = end

    def _place(self, index: int) -> tuple[int, int]:
        code, own, _, _ = next(self._across(index, index + 1))
        return code, own

    def _bounds(self) -> dict[int, int]:
        if self._ends is None:
            self.scan()
        assert self._ends is not None
        return self._ends


def _refuse_overlaps(sources: dict[int, Source]) -> None:
    """Refuse images that would be in two splits."""
    for one, first in sources.items():
        for other, second in sources.items():
            here, there = Path(first.location), Path(second.location)
            if one < other and here == there:
                raise DataError(f"{here}: given for {SPLITS[one]} and for {SPLITS[other]}; name two places")
            if one != other and here in there.parents:
                raise DataError(
                    f"{there}: lies within {here}, so that images of {SPLITS[other]} would be in {SPLITS[one]} as well"
                )


def _joined_paths(listings: dict[int, Listing]) -> tuple[str, ...] | None:
    if any(listing.paths is None for listing in listings.values()):
        return None
    return tuple(f"{SPLITS[code]}/{path}" for code, own in listings.items() for path in own.paths or ())


def _joined_weights(listings: dict[int, Listing]) -> NDArray[np.float32] | None:
    if all(listing.weights is None for listing in listings.values()):
        return None
    return np.concatenate(
        [
            np.ones(len(own.labels), np.float32) if own.weights is None else own.weights
            for own in listings.values()
        ]
    )


def _joined_groups(listings: dict[int, Listing]) -> dict[str, Any]:
    """Groups by name, where all have groups of one kind; and the notes of all."""
    notes = [f"{SPLITS[code]}: {note}" for code, own in listings.items() for note in own.notes]
    grouped = [SPLITS[code] for code, own in listings.items() if own.groups is not None]
    kinds = {(own.group_kind, own.groups_are_sampled) for own in listings.values()}
    if not grouped:
        return {"notes": tuple(notes)}
    if len(grouped) < len(listings) or len(kinds) > 1:
        what = "they are not of one kind"
        if len(grouped) < len(listings):
            what = f"only the images of {' and '.join(grouped)} have them"
        return {"notes": (*notes, f"groups are left out: {what}")}
    names = tuple(dict.fromkeys(name for own in listings.values() for name in own.group_names))
    place = {name: number for number, name in enumerate(names)}
    codes = [
        np.array([place[name] for name in own.group_names], np.int32)[own.groups] for own in listings.values()
    ]
    kind, sampled = kinds.pop()
    shared = set.intersection(*({*np.unique(own).tolist()} for own in (codes[0], np.concatenate(codes[1:]))))
    if sampled and shared:
        first = shortened((names[one] for one in sorted(shared)), 3)
        notes.append(f"{len(shared)} {kind}(s) of train are in another split as well: {first}")
    return {
        "groups": np.concatenate(codes),
        "group_names": names,
        "group_kind": kind,
        "groups_are_sampled": sampled,
        "notes": tuple(notes),
    }
