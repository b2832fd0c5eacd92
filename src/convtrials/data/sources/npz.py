"""NumPy's arrays: images and labels, whole or in train, val and test, under the names that people use.

In one ``.npz``, in ``.npy`` files of a folder, or in ``.npz`` files of one array each, as KMNIST comes.
"""

import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.array_stream import (
    Member,
    RowStream,
    npy_header,
    read_across,
    read_one,
    read_small,
)
from convtrials.data.sources.arrays import (
    extent_of,
    image_layout,
    label_vector,
    name_classes,
    text_of,
    to_bytes,
)
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.extent import Extent
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import fit_images
from convtrials.data.split import SPLIT_WORDS, SPLITS

IMAGE_NAMES = ("images", "image", "x", "data", "imgs", "features")
LABEL_NAMES = ("labels", "label", "y", "targets", "target")
GROUP_NAMES = ("groups", "group", "writers", "writer")
CLASS_NAMES = ("class_names", "classes", "label_names", "names", "categories")
_FILE_NAME = re.compile(
    rf"(?:^|[-_.])(?P<part>{'|'.join(SPLIT_WORDS)})[-_.]"
    rf"(?P<kind>{'|'.join((*IMAGE_NAMES, *LABEL_NAMES, *GROUP_NAMES))})$"
)
_HELP = (
    "expected: images and labels, or x_train and y_train with x_test and y_test (x_val and y_val too, if you have "
    "them); optional class_names, groups"
)


@dataclass
class ArraySource:
    """Images and labels in NumPy's arrays.

    Images are (N, H, W), (N, H, W, C), (N, C, H, W), C 1, 3 or (last) 4, or (N, side * side): uint8, bool, other
    integers, floats (for their range: `convtrials.data.pixel_scale`).

    Labels are integers, strings or one-hot rows. Groups count as a sample (writers), kept whole within a split, unless
    a member ``groups_are_sampled`` is false; a member ``group_kind`` names what they are. Pickled objects are refused.

    Parameters
    ----------
    path : Path
        The ``.npz`` file, or the folder. Arrays are streamed, so that they may be larger than memory.
    """

    path: Path
    takes: ClassVar[frozenset[str]] = frozenset({"bits"})
    name: str = field(init=False)
    location: str = field(init=False)
    _streams: list[RowStream] | None = field(default=None, init=False, repr=False)

    in_order = True  # compressed members: read by one process, front to back

    def __post_init__(self) -> None:
        self.path = Path(self.path).resolve()
        self.location = str(self.path)
        self.name = self.path.name if self.path.is_dir() else self.path.stem

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_streams": None}  # open streams do not travel to other processes

    def stamp(self) -> str:
        """Size and time of the files."""
        if self.path.is_file():
            return _stamp(self.path)
        return ";".join(f"{path.name}:{_stamp(path)}" for path in array_files(self.path))

    def scan(self) -> Listing:
        """Read labels, names and the headers of images."""
        parts = self._parts()
        streams = self._opened(parts)
        shapes = {image_layout(stream.what, stream.shape, stream.dtype)[0] for stream in streams}
        if len(shapes) > 1:
            raise DataError(
                f"{self.path}: images of {len(shapes)} sizes: {sorted(shapes)}; all must have one"
            )
        labels = [
            self._labels(parts[code]["labels"], len(stream)) for code, stream in self._pairs(parts, streams)
        ]
        split = np.concatenate([np.full(len(s), code, np.uint8) for code, s in self._pairs(parts, streams)])
        if len(parts) < 3:
            split[split == 0] = 255  # what is absent is taken from train
        class_names, codes = self._classes(np.concatenate(labels))
        groups, group_names, kind, sampled = self._groups(parts, streams)
        return Listing(
            class_names=class_names,
            labels=codes,
            notes=self._notes(streams),
            native_shape=next(iter(shapes)),
            split=split if len(parts) > 1 else None,
            groups=groups,
            group_names=group_names,
            group_kind=kind,
            groups_are_sampled=sampled,
        )

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Return images ``start:stop``, train first, then val, then test; none can be bad alone."""
        if self._streams is None:
            self._opened(self._parts())
        assert self._streams is not None
        pieces = [
            fit_images(to_bytes(rows, stream.what, frame.scale), frame)
            for rows, stream in read_across(self._streams, start, stop)
        ]
        return np.concatenate(pieces), []

    def extent(self, start: int, stop: int) -> Extent:
        """Largest values of images ``start:stop`` that are stored in more than 8 bits."""
        found = Extent()
        for rows, _ in read_across(self._opened(self._parts()), start, stop):
            found = found.joined(extent_of(rows))
        return found

    def wide(self, index: int) -> bool:
        """Whether an image's array has more than 8 bits."""
        first = 0
        for stream in self._opened(self._parts()):
            first += len(stream)
            if index < first:
                return stream.dtype not in (np.uint8, np.bool_)
        raise IndexError(index)

    def _opened(self, parts: dict[int, dict[str, Member]]) -> list[RowStream]:
        if self._streams is None:
            self._streams = [self._stream(parts[code]["images"]) for code in sorted(parts)]
        return self._streams

    @staticmethod
    def _pairs(parts: dict[int, dict[str, Member]], streams: list[RowStream]) -> list[tuple[int, RowStream]]:
        return list(zip(sorted(parts), streams, strict=True))

    def _notes(self, streams: list[RowStream]) -> tuple[str, ...]:
        flat = [stream for stream in streams if len(stream.shape) == 2]
        if not flat:
            return ()
        height, width, _ = image_layout(flat[0].what, flat[0].shape, flat[0].dtype)[0]
        return (f"rows of {flat[0].shape[1]} numbers are read as images of {height} x {width}, row by row",)

    def _members(self) -> dict[str, Member]:
        if self.path.is_file():
            return {name[:-4].lower(): Member(self.path, name) for name in _names_in(self.path)}
        found: dict[str, Member] = {}
        for path in array_files(self.path):
            member = Member(path)
            if path.suffix.lower() == ".npz":
                names = _names_in(path)
                if len(names) != 1:
                    raise DataError(f"{path}: holds {len(names)} arrays; in a folder of arrays, one each")
                member = Member(path, names[0])
            name = _plain_name(path.stem)
            if name in found:
                raise DataError(
                    f"{self.path}: {found[name].path.name} and {path.name} mean the same; keep one"
                )
            found[name] = member
        return found

    def _parts(self) -> dict[int, dict[str, Member]]:
        members = self._members()
        parts: dict[int, dict[str, Member]] = {}
        for kind, words in (("images", IMAGE_NAMES), ("labels", LABEL_NAMES), ("groups", GROUP_NAMES)):
            for member, original in members.items():
                for word in words:
                    code = _part_of(member, word)
                    if code is not None:
                        if kind in parts.setdefault(code, {}):
                            raise DataError(
                                f"{self.path}: {parts[code][kind].name} and {original.name} mean the same; keep one"
                            )
                        parts[code][kind] = original
        shown = ", ".join(sorted(members)) or "nothing"
        if -1 in parts and len(parts) > 1:
            raise DataError(f"{self.path}: holds both whole and split arrays ({shown}); {_HELP}")
        parts = {max(code, 0): kinds for code, kinds in parts.items()}
        for code, kinds in parts.items():
            for kind in ("images", "labels"):
                if kind not in kinds:
                    raise DataError(f"{self.path}: no {kind} for {SPLITS[code]}; it holds {shown}; {_HELP}")
        if 0 not in parts:
            raise DataError(f"{self.path}: no images and labels found; it holds {shown}; {_HELP}")
        return parts

    def _stream(self, member: Member) -> RowStream:
        with member.open() as stream:
            shape, order, dtype = npy_header(stream, member.what)
            offset = stream.tell()
        if order:
            raise DataError(f"{member.what}: stored in Fortran order; save np.ascontiguousarray(...) of it")
        rows = RowStream(member.what, member.open, offset, shape, dtype)
        image_layout(member.what, shape, dtype)
        return rows

    def _labels(self, member: Member, count: int) -> NDArray[Any]:
        return label_vector(read_small(member), count, member.what)

    def _classes(self, labels: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        members = self._members()
        named = next((members[name] for name in CLASS_NAMES if name in members), None)
        if named is None:
            return name_classes(labels, None, "")
        return name_classes(labels, read_small(named).ravel().tolist(), named.what)

    def _groups(
        self, parts: dict[int, dict[str, Member]], streams: list[RowStream]
    ) -> tuple[NDArray[np.int32] | None, tuple[str, ...], str | None, bool]:
        having = [kinds["groups"] for kinds in parts.values() if "groups" in kinds]
        if not having:
            return None, (), None, False
        if len(having) < len(parts):
            raise DataError(f"{having[0].what} is there, but not for every split")
        arrays = [read_small(parts[code]["groups"]).ravel() for code in sorted(parts)]
        for array, stream in zip(arrays, streams, strict=True):
            if len(array) != len(stream):
                raise DataError(f"{self.path}: {len(array)} groups for {len(stream)} images")
        values, codes = np.unique(np.concatenate(arrays), return_inverse=True)
        members = self._members()
        kind = "writer" if "writer" in having[0].what.lower() else "group"
        if "group_kind" in members:
            kind = text_of(read_one(members["group_kind"]))
        sampled = True
        if "groups_are_sampled" in members:
            sampled = bool(read_one(members["groups_are_sampled"]))
        return codes.astype(np.int32), tuple(text_of(value) for value in values), kind, sampled


def _part_of(member: str, word: str) -> int | None:
    """Code of the split that a member's name says; -1 for the whole, None where the word does not fit."""
    if member == word:
        return -1
    for part, code in SPLIT_WORDS.items():
        if member in (f"{word}_{part}", f"{part}_{word}", f"{word}{part}", f"{part}{word}"):
            return code
    return None


def array_files(folder: Path) -> list[Path]:
    """Arrays of a folder: its ``.npy`` files, and ``.npz`` files named as parts of one dataset, sorted."""
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix.lower() in (".npy", ".npz")
    ]
    return [
        path for path in found if path.suffix.lower() == ".npy" or _plain_name(path.stem) != path.stem.lower()
    ]


def _stamp(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _names_in(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if name.endswith(".npy")]
    except (OSError, ValueError, IndexError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not an .npz file ({error!s:.80})") from error


def _plain_name(stem: str) -> str:
    """Return what a file's name says it holds, without the dataset's own name: ``kmnist-train-imgs`` is train_imgs."""
    match = _FILE_NAME.search(stem.lower())
    return f"{match['part']}_{match['kind']}" if match else stem.lower()
