"""What is wrong with a dataset: unreadable files, empty classes, duplicates, leakage, imbalance."""

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convtrials.core.few_images import (
    FEWEST_OF_A_CLASS,
    FEWEST_OF_A_SPLIT,
    few_images,
    few_images_sentence,
    interval_of_share,
)
from convtrials.data.hashes import ImageHashes, hash_images
from convtrials.data.options import DatasetOptions
from convtrials.data.parallel import pool_for
from convtrials.data.pixel_scale import find_scale
from convtrials.data.selection import split_rows
from convtrials.data.sources.base import Listing, Source
from convtrials.data.sources.folder import FolderSource
from convtrials.data.split import SPLITS

Kind = Literal[
    "unreadable",
    "not-an-image",
    "empty-class",
    "missing-in-split",
    "few-test-images",
    "small-split",
    "label-conflict",
    "leakage",
    "duplicate",
    "imbalance",
]

#: Largest class over smallest from which imbalance is worth a note.
IMBALANCE_FROM = 2.0

#: What makes no result wrong, and leaves something of it unknown.
TOO_FEW: tuple[Kind, ...] = ("missing-in-split", "few-test-images", "small-split")


@dataclass(frozen=True)
class Finding:
    """One kind of trouble.

    Attributes
    ----------
    kind : str
        Such as ``"leakage"``.
    spoils : bool
        Whether a result from this data would be wrong; else it is a note.
    summary : str
        One line, with the count.
    items : tuple of str
        The files, or sets of files joined by `` = ``, all of them.
    remedy : str
        What to do.
    """

    kind: Kind
    spoils: bool
    summary: str
    items: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True)
class CheckReport:
    """All findings on one source.

    Attributes
    ----------
    location : str
        What was checked.
    images, bad : int
        Images listed, and unreadable ones among them.
    classes : dict
        Readable images in each class.
    splits : dict
        Images in each split: the source's own, or those that convtrials would make.
    split_by : str
        ``"source"`` or ``"convtrials"``.
    findings : tuple of Finding
        What spoils results first.
    """

    location: str
    images: int
    bad: int
    classes: dict[str, int]
    splits: dict[str, int]
    split_by: str
    findings: tuple[Finding, ...] = field(default=())

    @property
    def spoiled(self) -> bool:
        """Whether anything would spoil a result."""
        return any(finding.spoils for finding in self.findings)

    @property
    def too_few(self) -> bool:
        """Whether results would be right and still say little: too few images, of a class or in all."""
        return any(finding.kind in TOO_FEW for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "spoiled": self.spoiled, "too_few": self.too_few}


def check_source(source: Source, options: DatasetOptions | None = None) -> CheckReport:
    """Look at every image and name what is wrong.

    Parameters
    ----------
    source : Source
        From `convtrials.data.sources.find.find_source`.
    options : DatasetOptions, optional
        As for `convtrials.data.open.load_dataset`: where the source is not split, duplicates are judged by the
        split that ratios and seed would make of its readable images.

    Returns
    -------
    CheckReport
    """
    options = options or DatasetOptions()
    other_files: tuple[str, ...] = ()
    if isinstance(source, FolderSource):
        contents = source.contents()
        listing, other_files = source.listing(contents), contents.other_files
    else:
        listing = source.scan()
    with pool_for(source, len(listing.labels)) as pool:
        scale, _ = find_scale(source, listing, np.flatnonzero(listing.labels >= 0), options, pool)
    seen = hash_images(source, listing, options.frame(None, scale))
    rows = np.array(sorted(seen.digests), np.int64)
    split = np.full(len(listing.labels), 255, np.uint8)
    if len(rows):
        split[rows] = split_rows(listing, rows, options.ratios, options.split_seed)
    findings = [
        *_unreadable(seen),
        *_classes(listing, split),
        *_few_test_images(listing, split),
        *_small_splits(split),
        *_duplicates(listing, seen, split),
        *_other_files(other_files),
        *_imbalance(listing, rows),
    ]
    counts = np.bincount(listing.labels[rows], minlength=len(listing.class_names))
    return CheckReport(
        location=source.location,
        images=len(listing.labels),
        bad=len(seen.bad),
        classes={name: int(count) for name, count in zip(listing.class_names, counts, strict=True)},
        splits={name: int((split == code).sum()) for code, name in enumerate(SPLITS)},
        split_by="convtrials" if listing.split is None else "source",
        findings=tuple(sorted(findings, key=lambda finding: not finding.spoils)),
    )


def _unreadable(seen: ImageHashes) -> list[Finding]:
    if not seen.bad:
        return []
    items = tuple(f"{item.path}: {item.reason}" for item in seen.bad)
    remedy = "replace them, or leave them out with --skip-bad"
    return [Finding("unreadable", True, f"{len(items)} file(s) cannot be read as images", items, remedy)]


def _other_files(files: tuple[str, ...]) -> list[Finding]:
    if not files:
        return []
    summary = f"{len(files)} file(s) are not images in class folders by name and place, and are ignored"
    return [Finding("not-an-image", False, summary, files)]


def _classes(listing: Listing, split: NDArray[np.uint8]) -> list[Finding]:
    findings = []
    counts = [
        np.bincount(listing.labels[split == code], minlength=len(listing.class_names)) for code in range(3)
    ]
    total = np.sum(counts, axis=0)
    empty = tuple(name for name, count in zip(listing.class_names, total, strict=True) if not count)
    if empty:
        remedy = "add images, or remove the class"
        findings.append(
            Finding("empty-class", True, f"{len(empty)} class(es) without a readable image", empty, remedy)
        )
    for code, part in enumerate(SPLITS):
        if part != "train" and not counts[code].sum():
            continue  # a ratio of nothing was asked for
        absent = (counts[code] == 0) & (total > 0)
        missing = tuple(name for name, gone in zip(listing.class_names, absent, strict=True) if gone)
        if missing:
            summary = f"{len(missing)} class(es) without an image in {part}"
            findings.append(Finding("missing-in-split", part == "train", summary, missing))
    return findings


def _few_test_images(listing: Listing, split: NDArray[np.uint8]) -> list[Finding]:
    """Name the classes of which a test split has so few images that it says nothing of them."""
    of_test = np.bincount(listing.labels[split == SPLITS.index("test")], minlength=len(listing.class_names))
    counts = {name: int(count) for name, count in zip(listing.class_names, of_test, strict=True) if count}
    few = few_images(counts)  # classes without any are reported as missing
    if not few:
        return []
    items = tuple(f"{name}: {count}" for name, count in few.items())
    remedy = "more images of them"
    total = np.bincount(listing.labels[split < len(SPLITS)], minlength=len(listing.class_names))
    most = max(int(total[listing.class_names.index(name)]) for name in few)
    if listing.split is None and most >= 2 * FEWEST_OF_A_CLASS:
        remedy += "; where a class has enough, a larger share for test with --ratios"
    summary = f"{len(few)} classes have fewer than {FEWEST_OF_A_CLASS} test images"
    summary += ", too few to say how well each is recognised"
    if len(few) == 1:
        summary = few_images_sentence(few).removesuffix(".")
    return [Finding("few-test-images", False, summary, items, remedy)]


def _small_splits(split: NDArray[np.uint8]) -> list[Finding]:
    findings = []
    for part in ("val", "test"):
        images = int((split == SPLITS.index(part)).sum())
        if 0 < images < FEWEST_OF_A_SPLIT:
            low, high = interval_of_share(images // 2, images)
            use = "chosen by it (a best epoch, a rate)" if part == "val" else "measured on it"
            summary = (
                f"{part} has {images} image{'' if images == 1 else 's'}: the 95% interval of an accuracy on so few is "
                f"up to {100 * (high - low):.0f} points wide, so what is {use} is uncertain"
            )
            findings.append(Finding("small-split", False, summary))
    return findings


def _duplicates(listing: Listing, seen: ImageHashes, split: NDArray[np.uint8]) -> list[Finding]:
    places: dict[bytes, list[int]] = defaultdict(list)
    for index, digest in sorted(seen.digests.items()):
        places[digest].append(index)
    sets = [own for own in places.values() if len(own) > 1]
    conflicts = [own for own in sets if len({int(listing.labels[i]) for i in own}) > 1]
    leaks = [own for own in sets if len({int(split[i]) for i in own}) > 1]
    spoiling = {own[0] for own in conflicts + leaks}
    harmless = [own for own in sets if own[0] not in spoiling]
    where = "in more than one split"
    if listing.split is None:
        where = "that would be in more than one split (convtrials splits this source)"
    findings = [
        _same(
            listing,
            split,
            "label-conflict",
            conflicts,
            "picture(s) under more than one class",
            "keep the right label",
        ),
        _same(listing, split, "leakage", leaks, f"picture(s) {where}", "keep one copy of each"),
        _same(listing, split, "duplicate", harmless, "picture(s) more than once in one class and split", ""),
    ]
    return [finding for finding in findings if finding is not None]


def _same(
    listing: Listing, split: NDArray[np.uint8], kind: Kind, sets: list[list[int]], what: str, remedy: str
) -> Finding | None:
    if not sets:
        return None
    items = tuple(" = ".join(_name(listing, split, index) for index in own) for own in sets)
    return Finding(kind, kind != "duplicate", f"{len(sets)} {what}", items, remedy)


def _name(listing: Listing, split: NDArray[np.uint8], index: int) -> str:
    if listing.paths is not None and listing.split is not None:
        return listing.paths[index]
    where = SPLITS[split[index]]
    if listing.paths is not None:
        return f"{listing.paths[index]} ({where})"
    return f"image {index} (class {listing.class_names[listing.labels[index]]}, {where})"


def _imbalance(listing: Listing, rows: NDArray[np.int64]) -> list[Finding]:
    counts = np.bincount(listing.labels[rows], minlength=len(listing.class_names))
    if not counts.any():
        return []
    low, high = int(np.where(counts > 0, counts, counts.max()).argmin()), int(counts.argmax())
    ratio = counts[high] / counts[low]
    if ratio < IMBALANCE_FROM:
        return []
    summary = (
        f"class {listing.class_names[high]} has {ratio:.1f} times the images of class {listing.class_names[low]} "
        f"({counts[high]:,} to {counts[low]:,}); read macro F1 as well as accuracy"
    )
    return [Finding("imbalance", False, summary)]
