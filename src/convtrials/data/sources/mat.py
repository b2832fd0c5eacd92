"""MATLAB's ``.mat`` files: EMNIST and MNIST as they are passed around, and SVHN."""

from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.parallel import in_another_process
from convtrials.data.sources.arrays import image_layout, label_vector, laid_out, name_classes
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import fit_images
from convtrials.data.split import UNASSIGNED

MAX_BYTES = 2 << 30
_HDF5 = b"MATLAB 7.3"


@dataclass(frozen=True)
class _Part:
    """Images and labels of a split: uint8 (n, H, W, C), integers (n,), and writers (n,) where they are known."""

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    writers: NDArray[Any] | None = None


@dataclass(frozen=True)
class _Content:
    parts: dict[int, _Part]
    names: dict[int, str] | None
    note: str


@dataclass
class MatSource:
    """A ``.mat`` file of version 5 to 7.

    Understood are EMNIST (a struct ``dataset`` with train, test and mapping, images stored transposed, writers as
    groups), MNIST (``data`` of pixels x N with ``label``), and SVHN (``X`` of height x width x 3 x N with ``y``).

    Parameters
    ----------
    path : Path
        The file, of at most 2 GiB; it is read as a whole.

    Notes
    -----
    EMNIST: Cohen et al. 2017, arXiv 1702.05373. SVHN: Netzer et al. 2011.
    """

    path: Path
    takes: ClassVar[frozenset[str]] = frozenset()
    name: str = field(init=False)
    location: str = field(init=False)
    _content: _Content | None = field(default=None, init=False, repr=False)

    in_order = True  # one file, read as a whole by one process

    def __post_init__(self) -> None:
        self.path = Path(self.path).resolve()
        self.name, self.location = self.path.stem, str(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_content": None}  # faster read again than sent

    def stamp(self) -> str:
        """Size and time of the file."""
        stat = self.path.stat()
        return f"{stat.st_size}:{stat.st_mtime_ns}"

    def scan(self) -> Listing:
        """Read the file."""
        content = self._read()
        codes = sorted(content.parts)
        labels = np.concatenate([content.parts[code].labels for code in codes])
        names, classes = self._classes(labels, content.names)
        split = np.concatenate([np.full(len(content.parts[code].labels), code, np.uint8) for code in codes])
        split[split == 0] = UNASSIGNED  # val is cut from train
        writers = [own for code in codes if (own := content.parts[code].writers) is not None]
        groups: NDArray[np.int32] | None = None
        group_names: tuple[str, ...] = ()
        if len(writers) == len(codes):
            values, places = np.unique(np.concatenate(writers), return_inverse=True)
            groups, group_names = places.astype(np.int32), tuple(str(value) for value in values)
        height, width, channels = content.parts[codes[0]].images.shape[1:]
        return Listing(
            class_names=names,
            labels=classes,
            native_shape=(height, width, channels),
            split=split if len(codes) > 1 else None,
            groups=groups,
            group_names=group_names,
            group_kind=None if groups is None else "writer",
            groups_are_sampled=groups is not None,
            notes=(content.note,),
        )

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Return images ``start:stop``, train first; none can be bad alone."""
        parts = self._read().parts
        pieces, first = [], 0
        for code in sorted(parts):
            own = parts[code].images
            pieces.append(own[max(start - first, 0) : max(stop - first, 0)])
            first += len(own)
        return fit_images(np.ascontiguousarray(np.concatenate(pieces)), frame), []

    def _classes(
        self, labels: NDArray[Any], names: dict[int, str] | None
    ) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        if names is None:
            return name_classes(labels, None, "")
        unnamed = sorted(set(labels.tolist()) - set(names))
        if unnamed:
            raise DataError(f"{self.path}: the mapping has no line for label {unnamed[0]}, which images have")
        order = sorted(names)
        return tuple(names[label] for label in order), np.searchsorted(order, labels).astype(np.int64)

    def _read(self) -> _Content:
        if self._content is None:
            values = self._load()
            if "dataset" in values and isinstance(values["dataset"], dict):
                self._content = self._emnist(values["dataset"])
            elif "X" in values and "y" in values:
                self._content = self._svhn(values["X"], values["y"])
            elif "data" in values and "label" in values:
                self._content = self._mnist(values["data"], values["label"])
            else:
                shown = ", ".join(sorted(values)) or "nothing"
                raise DataError(
                    f"{self.path}: holds {shown}; understood are dataset (EMNIST), data and label (MNIST), X and y "
                    "(SVHN); save others as .npz"
                )
        return self._content

    def _load(self) -> dict[str, Any]:
        if self.path.stat().st_size > MAX_BYTES:
            raise DataError(f"{self.path}: larger than {MAX_BYTES >> 30} GiB; save it as .npz")
        with open(self.path, "rb") as file:
            if file.read(len(_HDF5)) == _HDF5:
                raise DataError(f"{self.path}: version 7.3 (HDF5) is not read; save it with -v7, or as .npz")
        # Read once more by a process of its own before: on damaged files SciPy's reader may end the process it is in.
        try:
            problem = in_another_process(_problem_of, str(self.path))
        except DataError as error:
            raise DataError(f"{self.path}: not a .mat file that can be read (it ends the reader)") from error
        if problem is not None:
            raise DataError(f"{self.path}: not a .mat file that can be read ({problem})")
        from scipy.io import loadmat

        values = loadmat(self.path, simplify_cells=True)
        return {name: value for name, value in values.items() if not name.startswith("__")}

    def _emnist(self, dataset: dict[str, Any]) -> _Content:
        parts = {}
        for name, code in (("train", 0), ("test", 2)):
            part = dataset.get(name)
            if not isinstance(part, dict) or not {"images", "labels"} <= part.keys():
                raise DataError(f"{self.path}: dataset.{name} with images and labels is missing")
            images, labels = self._pixels(part["images"]), np.ravel(part["labels"])
            writers = np.ravel(part["writers"]) if "writers" in part else None
            if writers is not None and len(writers) != len(images):
                raise DataError(f"{self.path}: {len(writers)} writers for {len(images)} images in {name}")
            # Stored transposed, as NIST stores them.
            parts[code] = _Part(images.transpose(0, 2, 1, 3), self._labels(labels, len(images)), writers)
        names = None
        if "mapping" in dataset:
            rows = np.atleast_2d(dataset["mapping"]).astype(np.int64)
            if rows.shape[1] < 2 or not all(33 <= code <= 126 for code in rows[:, 1]):
                raise DataError(
                    f"{self.path}: dataset.mapping: rows of label and printable ASCII code are expected"
                )
            names = {int(label): chr(code) for label, code in rows[:, :2].tolist()}
        return _Content(parts, names, "EMNIST's layout: images are stored transposed and turned upright")

    def _mnist(self, data: Any, label: Any) -> _Content:
        data = np.asarray(data)
        count = np.size(label)
        rows = data.T if data.ndim == 2 and data.shape[1] == count != data.shape[0] else data
        return self._whole(self._pixels(rows), label, "data: a column of pixels for each image")

    def _svhn(self, images: Any, label: Any) -> _Content:
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[3] != np.size(label):
            raise DataError(
                f"{self.path}: X of shape {images.shape} for {np.size(label)} labels; height x width x 3 x N is "
                "understood"
            )
        return self._whole(
            self._pixels(images.transpose(3, 0, 1, 2)), label, "SVHN's layout; its class 10 is the 0"
        )

    def _whole(self, images: NDArray[np.uint8], labels: Any, note: str) -> _Content:
        return _Content({0: _Part(images, self._labels(np.ravel(labels), len(images)))}, None, note)

    def _pixels(self, values: Any) -> NDArray[np.uint8]:
        values = np.asarray(values)
        image_layout(str(self.path), values.shape, values.dtype)
        if values.dtype != np.uint8:
            low, high = (values.min(), values.max()) if values.size else (0, 0)
            if not (low >= 0 and high <= 255 and high > 1) or (values != np.rint(values)).any():
                raise DataError(
                    f"{self.path}: pixels from {low:g} to {high:g}; whole numbers, 0 to 255, are needed"
                )
        if values.ndim == 2:
            side = isqrt(values.shape[1])
            values = values.reshape(-1, side, side)
        return laid_out(values, str(self.path))

    def _labels(self, labels: NDArray[Any], count: int) -> NDArray[Any]:
        return label_vector(labels, count, f"{self.path}, labels")


def _problem_of(path: str) -> str | None:
    """Say why a file cannot be read; None where it can."""
    from scipy.io import loadmat

    try:
        loadmat(path, simplify_cells=True)
    except Exception as error:  # the reader raises many kinds on damaged files
        return f"{error!s:.80}" or type(error).__name__
    return None
