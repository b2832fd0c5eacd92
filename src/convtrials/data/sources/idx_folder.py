"""A directory of IDX files in EMNIST's layout: parts, labels, and a mapping that names the classes."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.array_stream import RowStream, read_across
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.idx import MAX_LABELS, idx_rows, read_idx
from convtrials.data.sources.images import fit_images, refuse_huge
from convtrials.data.split import SPLIT_WORDS, SPLITS

_PART = re.compile(
    r"(?P<stem>.*?)(?:^|[-_.])?(?P<part>train|val|valid|validation|test|t10k)[-_](?P<kind>images|labels)"
    r"[-_.]idx[13][-_.]ubyte(?P<gz>\.gz)?"
)
_CODES = {**SPLIT_WORDS, "t10k": 2}


#: A larger mapping file is none.
MAX_MAPPING = 1 << 20


@dataclass
class IdxSource:
    """A directory of EMNIST-layout IDX files.

    Files are named ``<stem>-<part>-images-idx3-ubyte[.gz]`` and ``...-labels-idx1-ubyte[.gz]``; part is train,
    val or test (MNIST's ``t10k`` is test). A part that is absent is taken from train. A mapping file
    (``*mapping.txt``: ``label ascii`` a line) names the classes, else labels name themselves.

    Parameters
    ----------
    folder : Path
        Where the files are.
    transposed : bool or None
        Whether images are stored transposed, as NIST stores EMNIST. None: yes, where a mapping file lies with
        the images or a name says ``emnist``; no for MNIST-like sets.

    Notes
    -----
    Layout: Cohen et al. 2017, "EMNIST: an extension of MNIST to handwritten letters", arXiv 1702.05373.
    """

    folder: Path
    transposed: bool | None = None
    takes: ClassVar[frozenset[str]] = frozenset()
    name: str = field(init=False)
    location: str = field(init=False)
    in_order = True  # one compressed stream a part: read by one process, front to back

    _images: list[RowStream] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder).resolve()
        # torchvision's MNIST/raw is MNIST.
        self.name = self.folder.parent.name if self.folder.name == "raw" else self.folder.name
        self.location = str(self.folder)
        if self.transposed is None:
            files = self._parts()
            self.transposed = _mapping_file(self.folder) is not None or any(
                "emnist" in path.name.lower() for path in files.values()
            )
        else:
            self.location += f"?transposed={self.transposed}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}  # open streams do not travel to other processes

    def stamp(self) -> str:
        """Names, sizes and times of the files."""
        files = [*self._parts().values()]
        mapping = _mapping_file(self.folder)
        if mapping:
            files.append(mapping)
        facts = [(path.name, path.stat()) for path in files]
        return ";".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in facts)

    def scan(self) -> Listing:
        """Read labels, mapping and image headers."""
        parts = self._parts()
        codes = sorted({code for code, _ in parts})
        labels = [read_idx(parts[code, "labels"], max_bytes=MAX_LABELS, axes=1) for code in codes]
        streams = self._streams()
        for code, own, images in zip(codes, labels, streams, strict=True):
            if len(images.shape) != 3 or len(own) != len(images):
                raise DataError(
                    f"{parts[code, 'images']}: holds shape {images.shape}, its labels {own.shape}; "
                    "images must be (N, height, width), labels (N,)"
                )
            refuse_huge(images.what, images.shape[1:])
            if images.shape[1:] != streams[0].shape[1:]:
                raise DataError(f"{parts[code, 'images']}: images of another size than the first file's")
        split = np.concatenate(
            [np.full(len(own), code, np.uint8) for code, own in zip(codes, labels, strict=True)]
        )
        if len(codes) < 3:
            split[split == 0] = 255  # what is absent is taken from train
        every = np.concatenate(labels).astype(np.int64)
        class_names, every = self._named(every)
        height, width = streams[0].shape[1:]
        native = (width, height, 1) if self.transposed else (height, width, 1)
        return Listing(class_names, every, native, split if len(codes) > 1 else None)

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Return images ``start:stop``, train first, then val, then test; none can be bad alone."""
        pieces = [rows for rows, _ in read_across(self._streams(), start, stop)]
        images = np.concatenate(pieces).astype(np.uint8, copy=False)
        if self.transposed:
            images = images.transpose(0, 2, 1)
        return fit_images(np.ascontiguousarray(images[..., None]), frame), []

    def _streams(self) -> list[RowStream]:
        if self._images is None:
            parts = self._parts()
            self._images = [idx_rows(parts[key]) for key in sorted(parts) if key[1] == "images"]
        return self._images

    def _parts(self) -> dict[tuple[int, str], Path]:
        found: dict[tuple[int, str], Path] = {}
        for path in idx_files(self.folder):
            match = _PART.fullmatch(path.name)
            assert match is not None
            key = _CODES[match["part"]], match["kind"]
            # The same file raw and compressed is one file; two different sets are not one dataset.
            if key in found and found[key].name.removesuffix(".gz") != path.name.removesuffix(".gz"):
                raise DataError(
                    f"{self.folder}: holds two sets, {found[key].name} and {path.name}; keep one per folder"
                )
            found.setdefault(key, path)
        for code, part in enumerate(SPLITS):
            kinds = {kind for own, kind in found if own == code}
            if kinds and kinds != {"images", "labels"}:
                raise DataError(
                    f"{self.folder}: the {part} files need images and labels, only {kinds.pop()} are here"
                )
        if (0, "images") not in found:
            raise DataError(f"{self.folder}: no training images (*-train-images-idx3-ubyte or .gz)")
        return found

    def _named(self, labels: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        mapping = _mapping_file(self.folder)
        present = [int(label) for label in np.unique(labels)]
        names = (
            read_mapping(mapping)
            if mapping
            else {label: str(label) for label in range(max(present, default=0) + 1)}
        )
        unnamed = [label for label in present if label not in names]
        if unnamed:
            raise DataError(f"{mapping}: no line for label {unnamed[0]}, which images have")
        # EMNIST Letters counts from 1: the names that the mapping has are the classes, in its order.
        order = sorted(names)
        position = np.zeros(order[-1] + 1, np.int64)
        position[order] = np.arange(len(order))
        return tuple(names[label] for label in order), position[labels]


def idx_files(folder: Path) -> list[Path]:
    """Files of a folder that are named as EMNIST names its IDX files, sorted."""
    return (
        sorted(path for path in Path(folder).iterdir() if _PART.fullmatch(path.name))
        if folder.is_dir()
        else []
    )


def idx_folder(folder: Path) -> Path | None:
    """Find the IDX files in a folder, or where torchvision puts them below it: ``MNIST/raw``, ``raw``.

    Raises
    ------
    DataError
        Several datasets lie below.
    """
    if idx_files(folder):
        return folder
    found = sorted({path for pattern in ("raw", "*/raw") for path in folder.glob(pattern) if idx_files(path)})
    if len(found) > 1:
        names = " and ".join(str(path.relative_to(folder)) for path in found)
        raise DataError(f"{folder}: holds {names}; give the path of one")
    return found[0] if found else None


def read_mapping(path: Path) -> dict[int, str]:
    """Read EMNIST's mapping: a line ``label ascii [ascii ...]``; the first character names the class.

    Returns
    -------
    dict
        Label to class name.
    """
    with open(path, "rb") as file:
        return parse_mapping(file.read(MAX_MAPPING + 1), str(path))


def parse_mapping(data: bytes, path: str) -> dict[int, str]:
    """Read the bytes of a mapping file, as `read_mapping` does; `path` is for messages."""
    names: dict[int, str] = {}
    if len(data) > MAX_MAPPING:
        raise DataError(f"{path}: too large for a mapping file")
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not all(item.isascii() and item.isdigit() and len(item) < 8 for item in fields):
            raise DataError(f"{path}, line {number}: {line[:40]!r} is not 'label ascii'")
        label, code = int(fields[0]), int(fields[1])
        if label > 255 or not 33 <= code <= 126 or label in names or chr(code) in names.values():
            raise DataError(
                f"{path}, line {number}: label 0-255 and printable ASCII expected, each once: {line!r}"
            )
        names[label] = chr(code)
    if not names:
        raise DataError(f"{path}: empty mapping")
    return names


def _mapping_file(folder: Path) -> Path | None:
    found = sorted(folder.glob("*mapping.txt"))
    if len(found) > 1:
        raise DataError(f"{folder}: two mapping files, {found[0].name} and {found[1].name}; keep one")
    return found[0] if found else None
