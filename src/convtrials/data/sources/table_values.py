"""What stands in a table's columns: labels, splits, folds, groups and weights, from text."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.split import SPLIT_WORDS, UNASSIGNED

#: Texts that stand for no label.
_MISSING = frozenset({"", "nan", "NaN", "NULL", "null", "<NA>"})
_SPLITS = {
    **SPLIT_WORDS, "training": 0, "tr": 0, "dev": 1, "testing": 2,
    # FER2013
    "publictest": 1, "privatetest": 2,
}  # fmt: skip
_FLOAT = re.compile(r"(-?\d+)\.0+")
_WHOLE = re.compile(r"0|-?[1-9]\d{0,15}")
_SEVERAL = re.compile(r"\s*[|;,]\s*")


#: Says where a row stands, for messages.
Place = Callable[[int], str]


@dataclass(frozen=True)
class Labelled:
    """Labels of a table's rows.

    Attributes
    ----------
    names : tuple of str
        Of classes, numbers by size and others in plain string order.
    codes : ndarray of int64, shape (N,)
        Into `names`; -1 where a row has none.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]


def whole_numbers(texts: Sequence[str]) -> list[str]:
    """Turn ``1.0`` into ``1`` where all values are such: whole numbers that a gap among them made floats."""
    distinct = set(texts) - _MISSING
    if distinct and all(_FLOAT.fullmatch(text) for text in distinct):
        return [found[1] if (found := _FLOAT.fullmatch(text)) else text for text in texts]
    return list(texts)


def read_labels(texts: Sequence[str], place: Place) -> Labelled:
    """Name classes by a column's text.

    Raises
    ------
    DataError
        A label names several classes.
    """
    texts = whole_numbers(texts)
    distinct = set(texts) - _MISSING
    _refuse_several(texts, distinct, place)
    names = in_order(distinct)
    codes = {name: code for code, name in enumerate(names)}
    return Labelled(names, np.array([codes.get(text, -1) for text in texts], np.int64))


def in_order(names: set[str]) -> tuple[str, ...]:
    """Sort names: whole numbers by size, others as text."""
    if all(_WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _refuse_several(texts: Sequence[str], distinct: set[str], place: Place) -> None:
    for text in sorted(distinct):
        parts = _SEVERAL.split(text)
        listed = text.startswith("[") and text.endswith("]")
        if listed or (len(parts) > 1 and any(part in distinct for part in parts)):
            row = texts.index(text)
            raise DataError(
                f"{place(row)}: label {text!r:.60} names several classes; one class for each image is supported"
            )


def read_one_hot(names: Sequence[str], columns: Sequence[Sequence[str]], place: Place) -> Labelled:
    """Read labels that are one column of 0 and 1 for each class, in their order, as the ISIC challenges have them.

    Raises
    ------
    DataError
        A row has several classes.
    """
    for name, own in zip(names, columns, strict=True):
        odd = next((row for row, text in enumerate(own) if _mark(text) not in ("0", "1")), None)
        if odd is not None:
            raise DataError(
                f"{place(odd)}, column {name}: {own[odd]!r:.40} among 0 and 1; name the label with --columns label=NAME"
            )
    marks = np.array([[_mark(text) == "1" for text in own] for own in columns], np.int64)
    several = np.flatnonzero(marks.sum(0) > 1)
    if len(several):
        row = int(several[0])
        both = [name for name, mark in zip(names, marks[:, row], strict=True) if mark]
        raise DataError(
            f"{place(row)}: {' and '.join(both[:4])} are 1; one class for each image is supported"
        )
    codes = np.where(marks.sum(0) == 1, marks.argmax(0), -1).astype(np.int64)
    return Labelled(tuple(names), codes)


def one_hot_columns(rows: Sequence[Sequence[str]], rest: Sequence[int]) -> tuple[int, ...]:
    """Find the columns, among `rest`, that hold 0 and 1 alone and, in most of these rows, together one 1."""
    marks = tuple(c for c in rest if all(_mark(row[c]) in ("0", "1") for row in rows))
    once = sum(sum(_mark(row[c]) == "1" for c in marks) == 1 for row in rows)
    return marks if len(marks) > 1 and 2 * once > len(rows) else ()


def _mark(text: str) -> str:
    found = _FLOAT.fullmatch(text)
    return found[1] if found else text or "0"


def read_splits(name: str, texts: Sequence[str], place: Place) -> NDArray[np.uint8]:
    """Codes of train, val and test, in the words that people use; no word leaves the row open.

    Raises
    ------
    DataError
        Another word, or a number.
    """
    words = {text: _SPLITS.get(re.sub(r"[\s_\-]", "", text).lower()) for text in set(texts)}
    for missing in _MISSING:
        words[missing] = UNASSIGNED
    for row, text in enumerate(texts):
        if words[text] is None:
            number = "which split a number means is unknown; " if text.replace(".", "").isdigit() else ""
            raise DataError(
                f"{place(row)}, column {name}: {text!r:.40} is no split; {number}write train, val or test "
                "(or --columns split=- to leave the column alone)"
            )
    return np.array([words[text] for text in texts], np.uint8)


def fold_splits(where: str, texts: Sequence[str], wanted: str) -> NDArray[np.uint8]:
    """One fold is the test split; the others are open, and become train and val."""
    texts = whole_numbers(texts)
    known = in_order(set(texts) - _MISSING)
    if wanted not in known:
        raise DataError(
            f"{where}: --fold {wanted:.40}: there is no such fold; there are {', '.join(known[:20])}"
        )
    return np.array([2 if text == wanted else UNASSIGNED for text in texts], np.uint8)


def read_weights(name: str, texts: Sequence[str], place: Place) -> NDArray[np.float32]:
    """Weights of rows, 0 or more.

    Raises
    ------
    DataError
        One is missing, negative or no number.
    """
    weights = np.empty(len(texts), np.float32)
    for row, text in enumerate(texts):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (0 <= value <= float(np.finfo(np.float32).max)):
            raise DataError(f"{place(row)}, column {name}: {text!r:.40}: a weight is a number of 0 or more")
        weights[row] = value
    return weights


def read_groups(name: str, texts: Sequence[str], place: Place) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes and names of groups.

    Raises
    ------
    DataError
        A row has none.
    """
    texts = whole_numbers(texts)
    for row, text in enumerate(texts):
        if text in _MISSING:
            raise DataError(
                f"{place(row)}, column {name}: no {kind_of(name)}; each image needs one (or --columns "
                "group=- to leave the column alone)"
            )
    names = in_order(set(texts))
    codes = {own: code for code, own in enumerate(names)}
    return np.array([codes[text] for text in texts], np.int32), names


def kind_of(name: str) -> str:
    """Say what the groups of a column are: its name in words, ``patient`` for ``patient_id``."""
    words = re.sub(r"[\s_\-]+", " ", name.strip().lower())
    word = re.sub(r"(?<=\w\w) ?ids?$", "", words).rstrip("s") or "group"
    return word if not word.isdigit() else "group"
