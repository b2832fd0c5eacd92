"""What each image came from (patient, writer, camera), found in its path or in a table of path and group."""

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convtrials.core.errors import DataError
from convtrials.data.options import DatasetOptions, is_table_name
from convtrials.data.patterns import found_in_paths
from convtrials.data.sources.base import Listing, Source


def complete_listing(listing: Listing, source: Source, options: DatasetOptions) -> Listing:
    """Add to a source's listing what options say of it: groups, and what was noticed where it was looked for.

    Parameters
    ----------
    listing : Listing
        As scanned.
    source : Source
        Whose listing it is.
    options : DatasetOptions
        `groups` counts.

    Returns
    -------
    Listing

    Raises
    ------
    DataError
        Images have no files, or one has no group.
    """
    notes = (*listing.notes, *getattr(source, "remarks", ()))
    if options.groups is None:
        return replace(listing, notes=notes)
    if listing.paths is None:
        raise DataError(f"groups: {source.location}: its images are no files with paths")
    if listing.groups is not None and "group" in options.columns:
        raise DataError("groups: given twice, by --groups and by --columns group=...; keep one")
    if is_table_name(options.groups):
        texts, kind = _from_table(Path(options.groups), listing.paths)
    else:
        texts, kind = _from_paths(options.groups, listing.paths)
    names, codes = np.unique(np.array(texts), return_inverse=True)
    return replace(
        listing,
        groups=codes.astype(np.int32),
        group_names=tuple(str(name) for name in names),
        group_kind=kind,
        groups_are_sampled=True,
        notes=notes,
    )


def groups_stamp(options: DatasetOptions) -> str:
    """Say cheaply whether a table of groups changed; empty where there is none."""
    if options.groups is None or not is_table_name(options.groups):
        return ""
    try:
        stat = os.stat(options.groups)
    except OSError as error:
        raise DataError(f"groups: {options.groups}: {error.strerror}") from error
    return f";{stat.st_size}:{stat.st_mtime_ns}"


def _from_paths(pattern: str, paths: Sequence[str]) -> tuple[list[str], str]:
    found = found_in_paths("groups", pattern, paths)
    without = [path for path, text in zip(paths, found, strict=True) if not text]
    if without:
        raise DataError(
            f"groups: {pattern!r:.80} names no group in {len(without):,} of {len(paths):,} paths, such as "
            f"{without[0]}; each image needs one"
        )
    by_number = {number: name for name, number in re.compile(pattern).groupindex.items()}
    return [str(text) for text in found], by_number.get(1, "group")


def _from_table(path: Path, paths: Sequence[str]) -> tuple[list[str], str]:
    from convtrials.data.sources.table_columns import find_roles, listed
    from convtrials.data.sources.table_csv import open_csv
    from convtrials.data.sources.table_values import kind_of, whole_numbers
    from convtrials.data.sources.tree import DiskTree

    table = open_csv(DiskTree(path.parent), path.name)
    roles = find_roles(table.where, table.names, {}, headed=table.headed, sample=table.sample())
    image, group = roles.image, roles.group
    if len(table.names) == 2 and image is not None and group is None:
        group = 1 - image
    if image is None or group is None:
        raise DataError(
            f"{table.where}: columns of path and group are needed, named path and group; {listed(table.names)}"
        )
    (images, groups), lines = table.texts([image, group])
    known: dict[str, str] = {}
    for place, text, line in zip(images, whole_numbers(groups), lines.tolist(), strict=True):
        key = posixpath.normpath(place.replace("\\", "/"))
        if known.setdefault(key, text) != text:
            raise DataError(
                f"{table.where}, line {line}: {place:.80} is in group {known[key]!r:.40} and in {text!r:.40}"
            )
    found = [_looked_up(known, own) for own in paths]
    without = [own for own, text in zip(paths, found, strict=True) if not text]
    if without:
        raise DataError(
            f"{table.where}: no group for {len(without):,} of {len(paths):,} images, such as {without[0]}; paths are "
            "relative to the source, or names of files alone"
        )
    return [str(text) for text in found], kind_of(table.names[group]) if table.headed else "group"


def _looked_up(known: dict[str, str], path: str) -> Any:
    """Find a path, or its name alone, with or without ending."""
    name = posixpath.basename(path)
    for key in (path, posixpath.splitext(path)[0], name, posixpath.splitext(name)[0]):
        if key in known:
            return known[key]
    return None
