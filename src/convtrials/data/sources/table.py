"""A table of images and labels, in one file or in one for each split: which columns are for what, and its rows."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.base import Listing
from convtrials.data.sources.idx_folder import MAX_MAPPING, parse_mapping
from convtrials.data.sources.table_columns import Roles, find_roles, refuse_incomplete
from convtrials.data.sources.table_csv import TableFile, open_csv, open_jsonl
from convtrials.data.sources.table_values import (
    Labelled,
    fold_splits,
    in_order,
    kind_of,
    one_hot_columns,
    read_groups,
    read_labels,
    read_one_hot,
    read_splits,
    read_weights,
    whole_numbers,
)
from convtrials.data.sources.tree import FileTree
from convtrials.data.split import UNASSIGNED

#: Options that say how a table is read.
TABLE_OPTIONS = frozenset({"columns", "fold", "bits"})


@dataclass(frozen=True)
class Table:
    """What is known of a table by its first lines.

    Attributes
    ----------
    files : tuple of TableFile
        With the same columns.
    codes : tuple of int
        Split of each file by its name, 255 where that says none.
    roles : Roles
    columns : dict
        Those that were named by `--columns`.
    fold : str or None
        The fold that is the test split.
    mapping : str or None
        Path in the tree of the file that names the classes: lines of label and ASCII code.
    notes : tuple of str
        What was found out so far.
    """

    files: tuple[TableFile, ...]
    codes: tuple[int, ...]
    roles: Roles
    columns: Mapping[str, str] = field(default_factory=dict)
    fold: str | None = None
    mapping: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.files[0].names

    @property
    def where(self) -> str:
        """The table, for messages."""
        return self.files[0].where

    def column(self, place: int) -> str:
        """Name a column for people."""
        return self.names[place] if self.files[0].headed else f"column {place}"

    def texts(self, columns: Sequence[int]) -> tuple[list[list[str]], "Places"]:
        """Values of some columns over all files, and where each row stands."""
        every: list[list[str]] = [[] for _ in columns]
        places = []
        for file in self.files:
            found, lines = file.texts(columns)
            for own, more in zip(every, found, strict=True):
                own += more
            places.append((file.where, lines))
        return every, Places(tuple(places))


@dataclass(frozen=True, eq=False)
class Places:
    """Where the rows of several files stand."""

    files: tuple[tuple[str, NDArray[np.int64]], ...]

    def __call__(self, row: int) -> str:
        """Name a row for messages."""
        for where, lines in self.files:
            if row < len(lines):
                return f"{where}, line {lines[row]}"
            row -= len(lines)
        raise IndexError(row)

    @property
    def counts(self) -> list[int]:
        """Rows of each file."""
        return [len(lines) for _, lines in self.files]


@dataclass(frozen=True, eq=False)
class Rows:
    """Everything of a table's rows but the images.

    Attributes
    ----------
    labelled : Labelled
        Rows without a label have -1.
    split, groups, weights
        As in `Listing`, over all rows; None where there are none.
    images : list of str
        Values of the column of paths; empty where there is none.
    place : Places
        Where each row stands.
    notes : tuple of str
    """

    labelled: Labelled
    split: NDArray[np.uint8] | None
    groups: NDArray[np.int32] | None
    group_names: tuple[str, ...]
    group_kind: str | None
    weights: NDArray[np.float32] | None
    images: list[str]
    place: Places
    notes: tuple[str, ...]


def open_file(tree: FileTree, path: str) -> TableFile:
    """Open a table by its ending; reads the first lines."""
    lower = path.lower()
    if lower.endswith(".parquet"):
        from convtrials.data.sources.table_parquet import open_parquet

        return open_parquet(tree, path)
    return open_jsonl(tree, path) if lower.endswith(".jsonl") else open_csv(tree, path)


def first_look(
    files: Sequence[TableFile], codes: Sequence[int], columns: Mapping[str, str], fold: str | None
) -> Table:
    """Find out which columns of a table are for what, from names and the first rows.

    Raises
    ------
    DataError
        Files differ in their columns, or two columns may be meant. What is missing is not refused here.
    """
    one = files[0]
    for other in files[1:]:
        if (other.names, other.headed) != (one.names, one.headed):
            raise DataError(f"{other.where}: other columns than {one.where}; splits of a table share them")
    sample = one.sample()
    roles = find_roles(one.where, one.names, columns, headed=one.headed, encoded=one.encoded, sample=sample)
    if (
        roles.label is None
        and roles.image is not None
        and one.headed
        and columns.get("label") is None
        and sample
    ):
        used = {roles.image, roles.split, roles.group, roles.fold, roles.weight}
        rest = [place for place in range(len(one.names)) if place not in used]
        roles = replace(roles, one_hot=one_hot_columns(sample, rest))
    return Table(tuple(files), tuple(codes), roles, columns, fold)


def read_rows(table: Table) -> Rows:
    """Read labels, splits, groups, weights and paths.

    Raises
    ------
    DataError
        With file and line.
    """
    refuse_incomplete(table.where, table.names, table.roles)
    table = settle_label(table)
    roles = table.roles
    labels = roles.one_hot or (roles.label,)
    wanted = [*labels]
    extra = {
        role: place
        for role in ("split", "group", "fold", "weight", "image")
        if (place := getattr(roles, role)) is not None
        and not (role == "image" and place in table.files[0].encoded)
    }
    wanted += extra.values()
    found, place = table.texts(wanted)
    values = dict(zip(extra, found[len(labels) :], strict=True))
    if not found[0]:
        raise DataError(f"{table.where}: no rows")
    labelled, notes = _labels(table, found[: len(labels)], place)
    notes = [*table.notes, *_said(table), *notes]
    split, more = _split(table, values, place)
    groups: NDArray[np.int32] | None = None
    group_names: tuple[str, ...] = ()
    kind: str | None = None
    if "group" in values:
        name = table.column(roles.group)  # type: ignore[arg-type]
        groups, group_names = read_groups(name, values["group"], place)
        kind = kind_of(name)
    weights = None
    if "weight" in values:
        weights = read_weights(table.column(roles.weight), values["weight"], place)  # type: ignore[arg-type]
    without = int((labelled.codes < 0).sum())
    if without == len(labelled.codes):
        raise DataError(f"{table.where}: no row has a label")
    if without:
        more.append(f"{without:,} row(s) without a label are left out")
    return Rows(
        labelled, split, groups, group_names, kind, weights, values.get("image", []), place, (*notes, *more)
    )


def listing_of(
    rows: Rows,
    keep: NDArray[np.int64],
    *,
    native_shape: tuple[int, int, int] | None,
    paths: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Listing:
    """Make a listing of the rows that are kept; classes and groups are those that occur in them."""
    class_names, labels = _occurring(rows.labelled.names, rows.labelled.codes[keep])
    groups, group_names = None, rows.group_names
    if rows.groups is not None:
        group_names, codes = _occurring(rows.group_names, rows.groups[keep].astype(np.int64))
        groups = codes.astype(np.int32)
    split = None if rows.split is None else rows.split[keep]
    if split is not None:
        fixed = set(split.tolist()) - {UNASSIGNED}
        if len(fixed) < 3:
            split = np.where(split == 0, UNASSIGNED, split).astype(
                np.uint8
            )  # what is absent is cut from train
        if not fixed - {0}:
            split = None
    return Listing(
        class_names,
        labels,
        native_shape,
        split,
        None if paths is None else tuple(paths),
        groups,
        group_names,
        rows.group_kind,
        rows.groups is not None,
        None if rows.weights is None else rows.weights[keep],
        notes=(*rows.notes, *notes),
    )


def _occurring(names: tuple[str, ...], codes: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    present, found = np.unique(codes, return_inverse=True)
    return tuple(names[code] for code in present), found.astype(np.int64)


def _labels(table: Table, found: list[list[str]], place: Places) -> tuple[Labelled, list[str]]:
    roles = table.roles
    if roles.one_hot:
        names = [table.names[column] for column in roles.one_hot]
        return read_one_hot(names, found, place), []
    texts = found[0]
    names_of = None if roles.label is None else table.files[0].class_names(roles.label)
    if names_of is not None:
        return _numbered(texts, dict(enumerate(names_of)), table.where, place), ["class names from the file"]
    if table.mapping is not None:
        tree = table.files[0].tree
        with tree.open(table.mapping) as file:
            mapping = parse_mapping(file.read(MAX_MAPPING + 1), tree.where(table.mapping))
        note = f"class names from {posixpath.basename(table.mapping)}"
        return _numbered(texts, mapping, tree.where(table.mapping), place), [note]
    labelled = read_labels(texts, place)
    if roles.pixels and all(name.isdigit() for name in labelled.names):
        stem = posixpath.splitext(posixpath.basename(table.files[0].path))[0]
        note = (
            "classes are numbers, as in the file; where they stand for characters, a file "
            f"'{stem}-mapping.txt' next to it names them, with lines 'label ASCII-code'"
        )
        return labelled, [note]
    return labelled, []


def _numbered(texts: Sequence[str], names: Mapping[int, str], where: str, place: Places) -> Labelled:
    """Name the classes that numbers stand for; -1 and nothing stand for none."""
    texts = whole_numbers(texts)
    order = sorted(names)
    known = {str(number): code for code, number in enumerate(order)}
    known |= {"": -1, "-1": -1}
    if len(set(names.values())) < len(names):
        raise DataError(f"{where}: two classes of one name")
    unknown = next((row for row, text in enumerate(texts) if text not in known), None)
    if unknown is not None:
        raise DataError(f"{place(unknown)}: label {texts[unknown]!r:.40} has no name in {where}")
    return Labelled(
        tuple(names[number] for number in order), np.array([known[text] for text in texts], np.int64)
    )


def _said(table: Table) -> list[str]:
    """Say which columns were guessed."""
    roles, given = table.roles, table.columns
    parts = []
    if roles.one_hot:
        shown = ", ".join(table.names[place] for place in roles.one_hot[:4])
        parts.append(f"label from {len(roles.one_hot)} columns of 0 and 1 ({shown}, ...)")
    elif "label" not in given and roles.label is not None:
        parts.append(f"label from {_quoted(table, roles.label)}")
    if "image" not in given:
        if roles.pixels:
            parts.append(f"images from {len(roles.pixels)} columns of pixels")
        elif roles.image is not None:
            parts.append(f"images from {_quoted(table, roles.image)}")
    for role in ("split", "group", "weight"):
        column = getattr(roles, role)
        if column is not None and role not in given and not (role == "split" and table.fold is not None):
            parts.append(f"{role} from {_quoted(table, column)}")
    notes = [", ".join(parts)] if parts else []
    if roles.fold is not None and table.fold is None:
        notes.append(
            f"{_quoted(table, roles.fold)} is not used; --fold NAME makes one of its folds the test split"
        )
    plain = [name for name in table.names if name.strip().lower() in ("weight", "weights")]
    if plain and roles.weight is None and "weight" not in given:
        notes.append(
            f"column '{plain[0]}' is not used; --columns weight={plain[0]} weighs images in training by it"
        )
    return notes


def _quoted(table: Table, column: int) -> str:
    return f"column '{table.names[column]}'"


def _split(
    table: Table, values: Mapping[str, list[str]], place: Places
) -> tuple[NDArray[np.uint8] | None, list[str]]:
    roles = table.roles
    if table.fold is not None:
        if "fold" not in values:
            raise DataError(
                f"{table.where}: --fold {table.fold:.40}, but no column of folds; --columns fold=NAME names it"
            )
        note = f"fold {table.fold:.40} of {_quoted(table, roles.fold)} is the test split"  # type: ignore[arg-type]
        return fold_splits(table.where, values["fold"], table.fold), [note]
    if "split" in values:
        split = read_splits(table.column(roles.split), values["split"], place)  # type: ignore[arg-type]
        return (split if (split != UNASSIGNED).any() else None), []
    if all(code == UNASSIGNED for code in table.codes):
        return None, []
    codes = [np.full(count, code, np.uint8) for count, code in zip(place.counts, table.codes, strict=True)]
    return np.concatenate(codes), []


def settle_label(table: Table) -> Table:
    """Decide whether the label of pixels without names is the first column or the last.

    Raises
    ------
    DataError
        The values of both, or of neither, look like labels.
    """
    if not table.roles.label_is_open:
        return table
    every = sorted({*table.roles.pixels})
    ends = (every[0], every[-1])
    found, _ = table.texts(ends)
    good = [column for column, texts in zip(ends, found, strict=True) if _look_like_labels(texts)]
    if len(good) != 1:
        which = "both" if good else "neither"
        raise DataError(
            f"{table.where}: no names of columns, and {which} of the first and the last hold what may be labels; say "
            f"which with --columns label={ends[0]} or --columns label={ends[1]}"
        )
    pixels = tuple(column for column in every if column != good[0])
    roles = replace(table.roles, label=good[0], pixels=pixels, label_is_open=False)
    end = "first" if good[0] == ends[0] else "last"
    return replace(
        table, roles=roles, notes=(*table.notes, f"no names of columns: the {end} one is the label")
    )


def _look_like_labels(texts: Sequence[str]) -> bool:
    """Whether values are words, or numbers that count on from 0 or 1, each occurring."""
    names = in_order(set(whole_numbers(texts)))
    if len(names) < 2 or len(names) > max(2, len(texts) // 2):
        return False
    if not all(name.isdigit() for name in names):
        return not any(_is_number(name) for name in names)
    numbers = [int(name) for name in names]
    # Of letters and signs some numbers may be missing (Sign-MNIST has no 9).
    return numbers[0] in (0, 1) and numbers[-1] - numbers[0] + 1 <= len(numbers) + 1 + len(numbers) // 10


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
