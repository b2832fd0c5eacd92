"""Which column of a table is for what: as `--columns` says, else by the names that people use."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isqrt

from convtrials.core.errors import DataError

#: ``--columns split=-``: no column is for this.
NONE = "-"

#: Names by role, in lower case without spaces, dots, hyphens and underscores.
_USUAL = {
    "image": (
        "image", "img", "imagename", "imgname", "imageid", "imgid", "imagepath", "imgpath", "imagefile",
        "imagefilename", "file", "filename", "filepath", "path", "idcode", "isicid", "picture", "photo",
    ),
    "label": (
        "label", "labels", "class", "classes", "classname", "classlabel", "classid", "category", "categoryid", "target",
        "species", "breed", "diagnosis", "dx", "emotion", "y",
    ),
    "split": ("split", "subset", "partition", "set", "usage"),
    "group": (
        "group", "groups", "groupid", "patient", "patientid", "subject", "subjectid", "writer", "writerid", "person",
        "personid", "lesionid", "camera", "cameraid",
    ),
    "fold": ("fold", "folds", "kfold"),
    # A column "weight" may well be kilograms: that one is used where it is named.
    "weight": ("sampleweight", "sampleweights"),
}  # fmt: skip
#: Only where no better one is there.
_WEAK = {"image": ("id",)}
_PIXEL = re.compile(
    r"(?:pixels?|px|p|x|v|f|feature|attr|attribute)?[ _.]?\d+(?:x\d+)?(?:\.\d+)?", re.IGNORECASE
)
#: What pandas calls columns without names; zeros that repeat are numbered.
_COUNTED = re.compile(r"\d+(\.\d+)?")
#: Fewer numbers than this are no image.
_FEWEST_PIXELS = 16


@dataclass(frozen=True)
class Roles:
    """Positions of a table's columns by what they are for.

    Attributes
    ----------
    image : int or None
        Path of the image, or the image file itself.
    pixels : tuple of int
        Columns of one pixel each, in order; empty where `image` is there.
    label, split, group, fold, weight : int or None
    one_hot : tuple of int
        Columns of 0 and 1, one for each class, in place of `label`.
    label_is_open : bool
        Of pixels without names: the values must say whether the label is the first column or the last.
    """

    image: int | None = None
    pixels: tuple[int, ...] = ()
    label: int | None = None
    one_hot: tuple[int, ...] = ()
    split: int | None = None
    group: int | None = None
    fold: int | None = None
    weight: int | None = None
    label_is_open: bool = False

    @property
    def usable(self) -> bool:
        """Whether there are images and labels."""
        return bool((self.image is not None or self.pixels) and (self.label is not None or self.one_hot))


def find_roles(
    where: str,
    names: Sequence[str],
    wanted: Mapping[str, str],
    *,
    headed: bool = True,
    encoded: Sequence[int] = (),
    sample: Sequence[Sequence[str]] = (),
) -> Roles:
    """Find the columns of a table.

    Parameters
    ----------
    where : str
        The table, for messages.
    names : sequence of str
        Of its columns.
    wanted : mapping
        Role to column name, which come first; `NONE` for no column.
    headed : bool
        Whether the file has names; else they are positions.
    encoded : sequence of int
        Columns of whole image files.
    sample : sequence of rows
        The first rows, which may show paths where there are no names.

    Raises
    ------
    DataError
        A column that is wanted is not there, or two may be meant. What is missing is not refused here.
    """
    given = {role: _named(where, names, role, name) for role, name in wanted.items() if name != NONE}
    off = {role for role, name in wanted.items() if name == NONE}
    used = set(given.values())
    if len(used) < len(given):
        raise DataError(f"{where}: --columns names one column for two roles")
    found: dict[str, int | None] = dict(given)
    plain = [_plain(name) for name in names]
    if "image" not in found and "image" not in off and encoded:
        free = [column for column in encoded if column not in used]
        _refuse_two(where, names, "image", free)
        if free:
            found["image"] = free[0]
            used.add(free[0])
    for role in _USUAL:
        if role in found or role in off or not headed:
            continue
        candidates = [place for place, name in enumerate(plain) if name in _USUAL[role] and place not in used]
        if not candidates:
            candidates = [p for p, name in enumerate(plain) if name in _WEAK.get(role, ()) and p not in used]
        _refuse_two(where, names, role, candidates)
        if candidates:
            found[role] = candidates[0]
            used.add(candidates[0])
    rest = tuple(place for place in range(len(names)) if place not in used)
    if not headed or all(_COUNTED.fullmatch(name) for name in names):
        return _without_names(found, names, rest, sample)
    pixels: tuple[int, ...] = ()
    if "image" not in given and (found.get("image") is None or found["image"] not in encoded):
        pixels = tuple(place for place in rest if _PIXEL.fullmatch(names[place].strip()))
        if len(pixels) < _FEWEST_PIXELS:
            pixels = ()
        elif "image" in found:
            del found["image"]  # an id next to pixels
    return _roles(found, pixels)


def _without_names(
    found: dict[str, int | None], names: Sequence[str], rest: tuple[int, ...], sample: Sequence[Sequence[str]]
) -> Roles:
    """Columns of a file without names: pixels, or a path and the other one."""
    if found.get("image") is None:
        if len(rest) >= _FEWEST_PIXELS:
            if found.get("label") is not None:
                return _roles(found, rest)
            if not _is_image(len(rest) - 1):
                return _roles(found, rest)  # as they are handed in, without labels
            return replace(_roles(found, rest), label=rest[0], label_is_open=True)
        paths = [place for place in rest if sample and all(_is_path(row[place]) for row in sample)]
        if len(paths) == 1:
            found["image"] = paths[0]
            rest = tuple(place for place in rest if place != paths[0])
    if found.get("label") is None and found.get("image") is not None and len(rest) == 1:
        found["label"] = rest[0]
    return _roles(found, ())


def _roles(found: Mapping[str, int | None], pixels: tuple[int, ...]) -> Roles:
    return Roles(
        found.get("image"),
        pixels,
        found.get("label"),
        (),
        found.get("split"),
        found.get("group"),
        found.get("fold"),
        found.get("weight"),
    )


def _is_image(pixels: int) -> bool:
    """Whether so many numbers are a square, grey or in colour."""
    return any(isqrt(pixels // channels) ** 2 * channels == pixels for channels in (1, 3))


def _is_path(text: str) -> bool:
    from convtrials.data.paths import image_endings

    return f".{text.strip().rpartition('.')[2].lower()}" in image_endings()


def _plain(name: str) -> str:
    return re.sub(r"[\s_.\-]+", "", name.strip().lower())


def _named(where: str, names: Sequence[str], role: str, name: str) -> int:
    exact = [place for place, own in enumerate(names) if own == name]
    places = exact or [place for place, own in enumerate(names) if own.lower() == name.lower()]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(f"{where}: {len(places)} columns are named {name!r:.40}; rename one")
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise DataError(f"{where}: no column {name!r:.40} for {role}; {hint}{listed(names)}")


def _refuse_two(where: str, names: Sequence[str], role: str, places: Sequence[int]) -> None:
    if len(places) > 1:
        shown = " and ".join(names[place] for place in places[:5])
        raise DataError(
            f"{where}: {shown} may each be the {role}; choose with --columns {role}={names[places[0]]} (in Python: "
            f"columns={{{role!r}: {names[places[0]]!r}}})"
        )


def listed(names: Sequence[str]) -> str:
    """Say which columns there are."""
    shown = ", ".join(name[:40] for name in names[:12])
    return f"columns: {shown}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def refuse_incomplete(where: str, names: Sequence[str], roles: Roles) -> None:
    """Raise where images or labels are missing."""
    for role, there in (
        ("image", roles.image is not None or bool(roles.pixels)),
        ("label", roles.label is not None or bool(roles.one_hot)),
    ):
        if not there:
            what = "images (paths or pixels)" if role == "image" else "labels"
            raise DataError(
                f"{where}: no column of {what} found by its name; name it with --columns {role}=NAME (in Python: "
                f"columns={{{role!r}: NAME}}); {listed(names)}"
            )
