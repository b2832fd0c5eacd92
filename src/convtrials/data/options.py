"""The options of a dataset: one class, read by `load_dataset`, the command line and study files."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from convtrials.core.errors import DataError
from convtrials.data.sources.frame import EDGE, FITS, Fit, Frame, PixelScale, pad_colour
from convtrials.data.split import DEFAULT_RATIOS, check_ratios

#: What a column of a table may be for.
COLUMN_ROLES = ("image", "label", "split", "group", "fold", "weight")

MAX_SIDE = 4096


@dataclass(frozen=True)
class DatasetOptions:
    """What decides a dataset, apart from where its images are.

    Attributes
    ----------
    image_size : int or None
        Pixels per side, 1 to 4096. None: as the images are, where all share a size of at most 224, else 64.
    channels : int or None
        1 or 3. None: 1 where every image is grey, else 3.
    samples_per_class : int or None
        At most so many images of each class, the same ones each time.
    ratios : tuple of three floats
        Train, val, test shares of what the source leaves open; together 1.
    split_seed : int
        Another seed, another split.
    skip_bad : bool
        Leave unreadable files out and name them in the manifest, instead of stopping.
    classes : tuple of str or None
        Names of the classes to use, two or more; None: all.
    fit, pad : str
        How an image of another size is brought to this one: `convtrials.data.sources.frame.Frame`.
    bits : int or None
        Bits that images have, 1 to 32: white is ``2**bits - 1``. Below 8 of images of 8 bits, too. None: found over
        all images that are stored in more than 8.
    groups : str or None
        What each image came from (patient, writer, camera), for images in files: a regular expression whose group 1
        (or whole match) in the path names it, or a CSV file of path and group. Groups are kept whole within a split.
    labels_from_names : str or None
        Of images in folders that are no classes: a regular expression whose group 1, found in a path, names the class.
    columns : dict
        Of a table: which column is for what, by `COLUMN_ROLES`. Others are guessed from their names.
    fold : str or None
        Of a table with folds: the one that is the test split.
    val, test : str or None
        Where the images of a split are, if the source is only those to train on; kept as absolute paths.
    """

    image_size: int | None = None
    channels: int | None = None
    samples_per_class: int | None = None
    ratios: tuple[float, float, float] = DEFAULT_RATIOS
    split_seed: int = 0
    skip_bad: bool = False
    classes: tuple[str, ...] | None = None
    fit: Fit = "cover"
    pad: str = EDGE
    bits: int | None = None
    groups: str | None = None
    labels_from_names: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    fold: str | None = None
    val: str | None = None
    test: str | None = None

    @classmethod
    def make(cls, values: Mapping[str, Any]) -> "DatasetOptions":
        """Check plain values, as of a file or of keywords; None counts as not given.

        Raises
        ------
        OptionError
            With the key, and what is allowed.
        """
        given = {key: value for key, value in values.items() if value is not None}
        for key in given:
            if key not in OPTION_NAMES:
                raise OptionError(key, f"unknown key; allowed: {', '.join(OPTION_NAMES)}")
        made = cls(**{key: _CHECKS[key](key, value) for key, value in given.items()})
        if made.pad != EDGE and made.fit != "pad":
            raise OptionError("pad", f"{made.pad}: has no effect with fit {made.fit}; needed: fit pad")
        return made

    def document(self) -> dict[str, Any]:
        """Return keywords of `load_dataset`, plain values; of the younger options only those that were given.

        Packs made before there was an option keep their place in the index.
        """
        document: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _ALWAYS or value != _defaults()[one.name]:
                document[one.name] = list(value) if isinstance(value, tuple) else value
        return {key: dict(value) if isinstance(value, Mapping) else value for key, value in document.items()}

    def frame(self, shape: tuple[int, int, int] | None, scale: PixelScale) -> Frame:
        """Return what images are brought to."""
        return Frame(shape, self.fit, self.pad, scale)


class OptionError(DataError):
    """A value that an option cannot have."""

    def __init__(self, key: str, message: str):
        self.key, self.message = key, message
        super().__init__(f"{key}: {message}")


#: What the first packs had.
_ALWAYS = (
    "image_size", "channels", "samples_per_class", "ratios", "split_seed", "skip_bad",
)  # fmt: skip

#: Names of all options, in the order in which they are documented.
OPTION_NAMES = tuple(one.name for one in fields(DatasetOptions))


def _defaults() -> dict[str, Any]:
    plain = DatasetOptions()
    return {name: getattr(plain, name) for name in OPTION_NAMES}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(lowest: int, highest: int | None = None) -> Callable[[str, Any], int]:
    def check(key: str, value: Any) -> int:
        if not _is_whole(value) or value < lowest or (highest is not None and value > highest):
            upto = "on" if highest is None else f"to {highest}"
            raise OptionError(key, f"{value!r:.40}: must be a whole number from {lowest} {upto}")
        return int(value)

    return check


def _one_of(*allowed: Any) -> Callable[[str, Any], Any]:
    def check(key: str, value: Any) -> Any:
        if isinstance(value, bool) or value not in allowed:
            raise OptionError(key, f"{value!r:.40}: allowed are {', '.join(map(str, allowed))}")
        return value

    return check


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise OptionError(key, f"{value!r:.40}: must be true or false")
    return value


def _text(key: str, value: Any) -> str:
    # A path of any kind is named by its text.
    text = str(value) if hasattr(value, "__fspath__") else value
    if not isinstance(text, str) or not text:
        raise OptionError(key, f"{value!r:.40}: must be text")
    return text


def _path(key: str, value: Any) -> str:
    return os.path.abspath(os.path.expanduser(_text(key, value)))


def _shares(key: str, value: Any) -> tuple[float, float, float]:
    numbers = isinstance(value, list | tuple) and all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in value
    )
    if not numbers or len(value) != 3:
        raise OptionError(key, f"{value!r:.40}: must be three shares, such as [0.7, 0.15, 0.15]")
    try:
        return check_ratios(value)
    except DataError as error:
        raise OptionError(key, str(error).removeprefix("ratios ")) from None


def _names(key: str, value: Any) -> tuple[str, ...]:
    good = isinstance(value, list | tuple) and len(value) >= 2
    if not good or not all(isinstance(one, str) or _is_whole(one) for one in value):
        raise OptionError(
            key,
            f"{value!r:.40}: must be two names or more, such as [cat, dog]; quote those that YAML reads as yes and no",
        )
    return tuple(str(one) for one in value)


def _pad(key: str, value: Any) -> str:
    text = _text(key, value)
    try:
        pad_colour(text)
    except DataError as error:
        raise OptionError(key, str(error).removeprefix("pad: ")) from None
    return text


#: What compiling a pattern raises; of numbers and nesting beyond all bounds the last two.
_NO_PATTERN = (re.error, OverflowError, RecursionError)


def _groups(key: str, value: Any) -> str:
    text = _text(key, value)
    if is_table_name(text):
        return _path(key, text)
    try:
        re.compile(text)
    except _NO_PATTERN as error:
        raise OptionError(
            key, f"{text!r:.60}: neither a .csv file nor a regular expression ({error})"
        ) from None
    return text


def _label_pattern(key: str, value: Any) -> str:
    text = _text(key, value)
    try:
        groups = re.compile(text).groups
    except _NO_PATTERN as error:
        raise OptionError(key, f"{text!r:.60}: not a regular expression ({error})") from None
    if not groups:
        raise OptionError(
            key, f"{text!r:.60}: put what names the class in parentheses, such as '([a-z]+)[.]'"
        )
    return text


def is_table_name(text: str) -> bool:
    """Whether a text names a table by its ending."""
    return text.lower().endswith((".csv", ".tsv"))


def _columns(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise OptionError(key, f"{value!r:.40}: must name columns, such as {{label: breed, image: file}}")
    for role, name in value.items():
        if role not in COLUMN_ROLES:
            raise OptionError(key, f"{role!r:.40}: allowed are {', '.join(COLUMN_ROLES)}")
        if not isinstance(name, str) and not _is_whole(name):
            raise OptionError(key, f"{role}: {name!r:.40}: must be a column's name")
    return {str(role): str(name) for role, name in value.items()}


def _fold(key: str, value: Any) -> str:
    if not isinstance(value, str) and not _is_whole(value):
        raise OptionError(key, f"{value!r:.40}: must be a fold's name or number")
    return str(value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "image_size": _whole(1, MAX_SIDE),
    "channels": _one_of(1, 3),
    "samples_per_class": _whole(1),
    "ratios": _shares,
    "split_seed": _whole(0),
    "skip_bad": _switch,
    "classes": _names,
    "fit": _one_of(*FITS),
    "pad": _pad,
    "bits": _whole(1, 32),
    "groups": _groups,
    "labels_from_names": _label_pattern,
    "columns": _columns,
    "fold": _fold,
    "val": _path,
    "test": _path,
}
