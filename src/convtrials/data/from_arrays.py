"""A dataset from arrays in memory: what is given, checked and brought to the form that a pack would have."""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.hashes import content_fingerprint
from convtrials.data.pixel_scale import USUAL_BITS
from convtrials.data.selection import refuse_untrained, split_rows
from convtrials.data.sources.arrays import image_layout, label_vector, laid_out, name_classes, text_of
from convtrials.data.sources.base import Listing
from convtrials.data.split import SPLITS, check_ratios


def dataset_fields(
    images: Any, labels: Any, class_names: Any, groups: Any, split: Any, name: str, ratios: Any, seed: int
) -> dict[str, Any]:
    """Return the fields of the dataset that `Dataset.from_arrays` documents."""
    shares = check_ratios(ratios)
    if not isinstance(name, str):
        raise DataError(f"name: {name!r:.60}; a text is needed")
    pixels = _pixels(images)
    listing = _listing(pixels, labels, class_names, groups, split)
    codes = split_rows(listing, np.arange(len(pixels)), shares, seed)
    for code, part in enumerate(SPLITS):
        if (split is not None or shares[code] > 0) and not (codes == code).any():
            raise DataError(f"split: no image in {part}; train, val and test each need one or more")
    refuse_untrained(name, listing, listing.labels, codes)
    content = content_fingerprint(pixels, listing.labels, codes, listing.groups, listing)
    return dict(
        name=name,
        images=pixels,
        labels=listing.labels,
        class_names=listing.class_names,
        split=codes,
        fingerprint=content.digest,
        mean=tuple(content.mean),
        std=tuple(content.std),
        groups=listing.groups,
        group_names=listing.group_names,
        group_kind=listing.group_kind,
        groups_are_sampled=listing.groups_are_sampled,
    )


def _listing(pixels: NDArray[np.uint8], labels: Any, class_names: Any, groups: Any, split: Any) -> Listing:
    count = len(pixels)
    if isinstance(class_names, str) or not isinstance(class_names, Iterable | None):
        raise DataError(f"class_names: {class_names!r:.60}; a list of names is needed")
    names = None if class_names is None else list(class_names)
    own = label_vector(_array(labels, "labels"), count, "labels")
    if own.dtype.kind == "i" and count and own.min() < 0:
        raise DataError(
            f"labels: {own.min()} given; 0 and above are allowed (leave images without a class out)"
        )
    classes, codes = name_classes(own, names, "class_names")
    if len(classes) < 2:
        raise DataError(f"labels: {len(classes)} class only; a classifier needs two or more")
    group_names: tuple[str, ...] = ()
    group_codes: NDArray[np.int32] | None = None
    if groups is not None:
        values, found = np.unique(_one_for_each(groups, count, "groups"), return_inverse=True)
        group_names, group_codes = tuple(text_of(value) for value in values), found.astype(np.int32)
    return Listing(
        class_names=classes,
        labels=codes,
        native_shape=cast(tuple[int, int, int], pixels.shape[1:]),
        split=None if split is None else _given_split(split, count),
        groups=group_codes,
        group_names=group_names,
        group_kind=None if groups is None else "group",
        groups_are_sampled=groups is not None,
    )


def _array(value: Any, what: str) -> NDArray[Any]:
    """Return a list, a tensor or a table's column as an array; strings among objects as strings."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        if callable(getattr(value, "numpy", None)):
            value = value.numpy()
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"{what}: rows of unequal shape; all must have the same") from error
    except TypeError as error:  # a tensor of bf16, a sparse one
        raise DataError(f"{what}: cannot be made a NumPy array ({error})") from error
    if array.dtype.kind in "OT":
        odd = [item for item in array.ravel().tolist() if not isinstance(item, str)]
        if odd:
            raise DataError(
                f"{what}: {odd[0]!r:.60} among them; numbers or strings, of one kind, are supported"
            )
        array = array.astype(np.str_)
    return array


def _pixels(images: Any) -> NDArray[np.uint8]:
    """Return images as a uint8 array that cannot be written to: from then on the fingerprint holds."""
    given = _array(images, "images")
    image_layout("images", given.shape, given.dtype)
    if not len(given):
        raise DataError("images: none given; each class needs images to train on")
    pixels = laid_out(_exact(given), "images")
    if _writable(pixels):
        pixels = pixels.copy() if np.shares_memory(pixels, given) else pixels
        pixels.flags.writeable = False
    return pixels


def _writable(array: NDArray[Any]) -> bool:
    """Whether the array can be written to, itself or by what it is a view of."""
    base = array.base
    return array.flags.writeable or (isinstance(base, np.ndarray) and _writable(base))


def _exact(values: NDArray[Any]) -> NDArray[Any]:
    """Refuse pixels whose scale would have to be guessed."""
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values * np.uint8(255)
    if kind == "f" and not np.isfinite(values).all():
        raise DataError("images: NaN or infinity among the pixels; uint8, 0 to 255, is needed")
    low, high = values.min(), values.max()
    if kind == "f" and (low < 0 or not 1 < high <= 255 or (values != np.rint(values)).any()):
        raise DataError(
            f"images: {values.dtype} from {low:g} to {high:g}; uint8, 0 to 255, is needed: where 1 is white, "
            "(images * 255).round().astype('uint8'); undo any normalisation before"
        )
    if values.dtype == np.uint16:
        white = next(2**bits - 1 for bits in USUAL_BITS if high < 2**bits)
        scaled = "images" if white == 255 else f"(images / {white} * 255).round()"
        raise DataError(
            f"images: uint16 from {low} to {high}; uint8, 0 to 255, is needed: where {white} is white, "
            f"{scaled}.astype('uint8')"
        )
    if low < 0 or high > 255:
        raise DataError(f"images: {values.dtype} from {low} to {high}; integers must be 0 to 255")
    return values


def _one_for_each(values: Any, count: int, what: str) -> NDArray[Any]:
    array = _array(values, what)
    if array.shape != (count,):
        raise DataError(f"{what}: shape {array.shape} for {count} images; one value for each is needed")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError(f"{what}: NaN among the values; one value for each image is needed")
    return array


def _given_split(split: Any, count: int) -> NDArray[np.uint8]:
    """Return codes, from a name for each image or from positions for each name."""
    if not isinstance(split, dict):
        names = _one_for_each(split, count, "split")
        unknown = sorted({repr(value) for value in names.tolist() if value not in SPLITS})
        if unknown:
            raise DataError(f"split: {unknown[0]:.60} is none of {', '.join(SPLITS)}")
        return np.array([SPLITS.index(value) for value in names.tolist()], np.uint8)
    codes = np.full(count, 255, np.uint8)
    for name, positions in split.items():
        if name not in SPLITS:
            raise DataError(f"split: {name!r:.60} is none of {', '.join(SPLITS)}")
        places = _array(positions, f"split, {name}")
        if places.size and (places.dtype.kind not in "iu" or places.ndim != 1):
            raise DataError(
                f"split, {name}: {places.dtype} {places.shape}; positions, integers (n,), are needed"
            )
        places = places.astype(np.int64)
        if places.size and not (places.min() >= 0 and places.max() < count):
            raise DataError(
                f"split, {name}: positions {places.min()} to {places.max()}; 0 to {count - 1} exist"
            )
        if len(np.unique(places)) < len(places) or (codes[places] != 255).any():
            raise DataError(f"split, {name}: an image is listed twice; each belongs to one split")
        codes[places] = SPLITS.index(name)
    if (codes == 255).any():
        raise DataError(f"split: {int((codes == 255).sum())} images are in none; each belongs to one split")
    return codes
