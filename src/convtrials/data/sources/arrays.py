"""Images and labels that come as arrays, from an ``.npz`` or from memory: what is supported, and as what."""

from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.class_names import composed
from convtrials.data.sources.extent import Extent
from convtrials.data.sources.frame import PixelScale
from convtrials.data.sources.images import refuse_huge

#: Rows of fewer pixels than this, squared, are no images.
_LEAST_SIDE = 8


def image_layout(
    what: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[tuple[int, int, int], bool]:
    """Say what stored images are.

    Returns
    -------
    (H, W, C), channels_first
        C is 1 or 3; a fourth channel, transparency, is not counted.
    """
    layout, first = _layout(what, shape, dtype)
    refuse_huge(what, layout[:2])
    return layout, first


def _layout(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[tuple[int, int, int], bool]:
    if dtype.kind not in "uibf":
        raise DataError(f"{what}: type {dtype}; images are numbers, best uint8")
    if len(shape) == 2 and (side := isqrt(shape[1])) ** 2 == shape[1] and side >= _LEAST_SIDE:
        return (side, side, 1), False
    if len(shape) == 3 and min(shape[1:]) > 0:
        return (shape[1], shape[2], 1), False
    if len(shape) == 4 and min(shape[1:]) > 0:
        if shape[3] in (1, 3):
            return (shape[1], shape[2], shape[3]), False
        if shape[1] in (1, 3):
            return (shape[2], shape[3], shape[1]), True
        if shape[3] == 4:
            return (shape[1], shape[2], 3), False
    raise DataError(
        f"{what}: shape {shape}; (N, H, W), (N, H, W, 1, 3 or 4), (N, 1 or 3, H, W) and (N, side * side) are "
        "supported; reshape rows of colour images yourself, their order is not known"
    )


def to_bytes(values: NDArray[Any], what: str, scale: PixelScale) -> NDArray[np.uint8]:
    """Bring images of any layout to uint8 (n, H, W, C), C 1 or 3, so that white becomes 255."""
    return laid_out(_scaled(values, what, scale), what)


def extent_of(values: NDArray[Any]) -> Extent:
    """Say how far the values of stored images reach."""
    if values.dtype in (np.uint8, np.bool_) or not values.size:
        return Extent()
    if values.dtype.kind == "f":
        return Extent(floats=float(values.max()))
    return Extent(integers=max(0, int(values.max())))


def laid_out(values: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """Bring images on the scale 0 to 255 to uint8 (n, H, W, C), C 1 or 3."""
    if values.ndim == 2:
        side = isqrt(values.shape[1])
        values = values.reshape(-1, side, side, 1)
    elif values.ndim == 3:
        values = values[..., None]
    elif image_layout(what, values.shape, values.dtype)[1]:
        values = values.transpose(0, 2, 3, 1)
    if values.shape[3] == 4:
        # Transparency over white, as for files.
        alpha = values[..., 3:].astype(np.uint32)
        values = (values[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return np.ascontiguousarray(values, dtype=np.uint8)


def _scaled(values: NDArray[Any], what: str, scale: PixelScale) -> NDArray[Any]:
    if not values.size or (values.dtype == np.uint8 and scale.bytes == 255):
        return values
    if values.dtype == np.bool_:
        return values * np.uint8(255)
    low, high = values.min(), values.max()
    kind = values.dtype.kind
    full: float = scale.floats if kind == "f" else scale.bytes if values.dtype == np.uint8 else scale.integers
    if not (low >= 0 and high <= full):
        raise DataError(f"{what}: values {low:g} to {high:g}; 0 to {full:g} are supported")
    if kind == "f":
        return np.rint(values * (255.0 / full))
    return (values.astype(np.uint64) * 255 + np.uint64(full) // 2) // np.uint64(full)


def label_vector(labels: NDArray[Any], count: int, what: str) -> NDArray[Any]:
    """Return the labels of `count` images as (N,) integers or strings; (N, 1) and one-hot rows are supported too."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all():
        labels = labels.argmax(1)
    if labels.ndim != 1:
        raise DataError(f"{what}: shape {labels.shape}; (N,), (N, 1) or one-hot (N, classes) is supported")
    if len(labels) != count:
        raise DataError(f"{what}: {len(labels)} labels for {count} images")
    if labels.dtype.kind == "f":
        broken = labels[labels != np.rint(labels)]  # NaN is unequal to itself
        if len(broken):
            raise DataError(f"{what}: {labels.dtype} with {broken[0]:g}; integers or strings are supported")
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iubUS":
        raise DataError(f"{what}: type {labels.dtype}; integers or strings are supported")
    return labels


def name_classes(
    labels: NDArray[Any], names: Sequence[Any] | None, what: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return class names and the label of each image as an index into them.

    Parameters
    ----------
    labels : ndarray, shape (N,)
        From `label_vector`.
    names : sequence or None
        Names of the classes in the order of their numbers. None: the labels that occur, sorted, name themselves.
    what : str
        Where the names are, for messages.
    """
    values, codes = np.unique(labels, return_inverse=True)
    if names is None:
        return _one_spelling([text_of(value) for value in values], codes)
    texts = tuple(text_of(name) for name in names)
    if len(set(texts)) < len(texts):
        raise DataError(f"{what}: a name is listed twice")
    if labels.dtype.kind in "US":
        unknown = sorted({text_of(value) for value in values} - set(texts))
        if unknown:
            raise DataError(f"{what}: lacks {unknown[0]!r}, which is a label")
        number = {name: label for label, name in enumerate(texts)}
        place = np.array([number[text_of(value)] for value in values], np.int64)
        return texts, place[codes]
    if len(values) and (values[0] < 0 or values[-1] >= len(texts)):
        raise DataError(f"{what}: {len(texts)} names for labels {values[0]} to {values[-1]}")
    return texts, labels.astype(np.int64)


def _one_spelling(texts: list[str], codes: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Make two spellings of one name in Unicode one class."""
    if len({composed(text) for text in texts}) == len(texts):
        return tuple(texts), codes.astype(np.int64)
    names, place = np.unique([composed(text) for text in texts], return_inverse=True)
    return tuple(names.tolist()), place[codes].astype(np.int64)


def text_of(value: Any) -> str:
    """Return a name as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
