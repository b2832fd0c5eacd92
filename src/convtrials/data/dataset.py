"""A dataset: images, labels, class names, a train/val/test split, and a fingerprint."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.from_arrays import dataset_fields
from convtrials.data.split import DEFAULT_RATIOS, SPLITS, SplitName

#: What a notebook shows of a dataset at most: classes by name, and examples, one per class, of so many pixels per side.
_NAMES, _EXAMPLES, _EXAMPLE_SIDE = 40, 12, 96


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled images, all of one size, and which of them are for what.

    Attributes
    ----------
    name : str
        A built-in name or the last part of a path.
    images : ndarray of uint8, shape (N, H, W, C)
        Usually memory-mapped. C is 1 or 3.
    labels : ndarray of int64, shape (N,)
        Indices into `class_names`.
    class_names : tuple of str
        One name a class.
    split : ndarray of uint8, shape (N,)
        0 train, 1 val, 2 test.
    fingerprint : str
        Hex digest of images, labels, class names, split and groups: equal fingerprints mean equal data.
    mean, std : tuple of float, length C
        Pixel mean and standard deviation of the training split, on the scale 0 to 1.
    groups : ndarray of int32, shape (N,), or None
        What each image came from (typeface, writer) where the source knows.
    group_names : tuple of str
        One name a group; empty where there are no groups.
    group_kind : str or None
        What a group is: ``"typeface"``, ``"writer"``.
    groups_are_sampled : bool
        True where groups are a sample of many (writers): they are then the unit of statistics and of splits.
        False for a fixed factor (typefaces).
    weights : ndarray of float32, shape (N,), or None
        What each image counts in the training loss, 0 or more; None: all the same.
    folder : Path or None
        The pack on disk; None for a dataset made in memory.
    manifest : dict
        The pack's manifest: source, counts, sizes, quarantined files, split seed and ratios.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    split: NDArray[np.uint8]
    fingerprint: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    groups: NDArray[np.int32] | None = None
    group_names: tuple[str, ...] = ()
    group_kind: str | None = None
    groups_are_sampled: bool = False
    weights: NDArray[np.float32] | None = None
    folder: Path | None = None
    manifest: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any,
        *,
        class_names: Sequence[str] | None = None,
        groups: Any = None,
        split: Any = None,
        name: str = "arrays",
        ratios: Sequence[float] = DEFAULT_RATIOS,
        seed: int = 0,
    ) -> "Dataset":
        """Make a dataset of images in memory.

        It trains and is studied as one from `convtrials.load_dataset`, in this process. Same images, labels, class
        names, split and groups give the same fingerprint as a pack of them.

        Parameters
        ----------
        images : array, shape (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3
            NumPy array, list or tensor; uint8, or other numbers that are exactly whole and within 0 to 255. A
            transparent fourth channel (last) is laid over white. Copied, unless it cannot be written to (as from
            ``np.load(..., mmap_mode="r")``).
        labels : array, shape (N,)
            Class numbers or names.
        class_names : sequence of str, optional
            In the order of the numbers; two or more. Otherwise the labels that occur, sorted, name themselves.
        groups : array, shape (N,), optional
            What each image came from (writer, person), as number or name: a drawn split keeps each group whole, and
            groups are the unit of statistics.
        split : array or dict, optional
            ``"train"``, ``"val"`` or ``"test"`` for each image, or positions of the images of each of the three.
            Otherwise it is drawn as for `convtrials.load_dataset`: stratified, groups kept whole.
        name : str
            For people: reports show it.
        ratios, seed
            Of a drawn split: train, val, test shares, together 1; another seed, another split.

        Raises
        ------
        DataError
            Lengths differ, pixels are on a scale that would have to be guessed, a label is out of range, there is
            one class, or a split, or a class in train, is empty.

        Examples
        --------
        >>> images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
        >>> data = Dataset.from_arrays(images, ["cat", "dog"] * 20)
        >>> data.class_names, data.counts()
        (('cat', 'dog'), {'train': 28, 'val': 6, 'test': 6})
        """
        return cls(**dataset_fields(images, labels, class_names, groups, split, name, ratios, seed))

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        folder: str | Path | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        workers: int | None = None,
        **options: Any,
    ) -> "Dataset":
        """Make a dataset of a pandas data frame: as of a table on disk, with a pack in the cache.

        Parameters
        ----------
        frame : pandas.DataFrame
            A row for each image: its path, its file as bytes, a Pillow picture, a ``uint8`` array, or a column for
            each pixel; and its label. Columns for split, group, fold and weight are optional.
        folder : str or Path, optional
            What paths are relative to; the current folder where none is given.
        columns : dict, optional
            Which column is for what: ``image``, ``label``, ``split``, ``group``, ``fold``, ``weight``. Others are
            guessed by their names; `Dataset.notes` says how.
        workers : int or None
            Processes that decode; None: one a processor.
        **options
            As for `convtrials.load_dataset`.

        Raises
        ------
        DataError
            A column is missing or may be meant in two ways, an image is not there, a value is none.

        Examples
        --------
        >>> import pandas
        >>> images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
        >>> frame = pandas.DataFrame({"image": list(images), "label": ["cat", "dog"] * 20})
        >>> Dataset.from_frame(frame).counts()
        {'train': 28, 'val': 6, 'test': 6}
        """
        # By its name: what packs a frame makes a `Dataset`, and so stands on this module.
        packer = import_module("convtrials.data.from_frame")
        made: Dataset = packer.frame_dataset(frame, folder, columns, workers, options)
        return made

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def indices(self, split: SplitName) -> NDArray[np.int64]:
        """Positions of the images of one split, ascending, shape (n,), int64."""
        if split not in SPLITS:
            raise DataError(f"split {split!r} does not exist: choose one of {', '.join(SPLITS)}")
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def counts(self) -> dict[str, int]:
        """Images in each split."""
        return {name: int((self.split == code).sum()) for code, name in enumerate(SPLITS)}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed when the source was read, and what was left out and why: a line each."""
        return tuple(self.manifest.get("notes", ()))

    def __repr__(self) -> str:
        return f"<Dataset {self._summary()}; {len(self.class_names)} classes>"

    def _summary(self) -> str:
        height, width, channels = self.image_shape
        parts = ", ".join(f"{count:,} {name}" for name, count in self.counts().items())
        colour = "grey" if channels == 1 else "colour"
        return f"{self.name}: {len(self):,} images of {height} x {width} pixels, {colour}; {parts}"

    def _repr_html_(self) -> str:
        """Show in a notebook: name, size, splits, classes with their counts, and an example of the first classes."""
        counts = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        named = [
            f"{_escaped(name)} <small>{count:,}</small>"
            for name, count in zip(self.class_names[:_NAMES], counts, strict=False)
        ]
        more = f" and {len(counts) - _NAMES} more" if len(counts) > _NAMES else ""
        return (
            f"<div>{_escaped(self._summary())}"
            f"<br>{len(counts)} classes: {', '.join(named)}{more}<br>{''.join(self._examples())}</div>"
        )

    def _examples(self) -> list[str]:
        first = [
            np.flatnonzero(self.labels == label)[:1] for label in range(len(self.class_names[:_EXAMPLES]))
        ]
        return [
            f'<img src="data:image/png;base64,{_png(self.images[place[0]])}" title="{_escaped(name)}" alt="" '
            'style="height:56px;margin:4px 4px 0 0;image-rendering:pixelated">'
            for name, place in zip(self.class_names, first, strict=False)
            if len(place)
        ]


def _png(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    picture = Image.fromarray(np.asarray(image[..., 0] if image.shape[2] == 1 else image))
    picture.thumbnail((_EXAMPLE_SIDE, _EXAMPLE_SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())
