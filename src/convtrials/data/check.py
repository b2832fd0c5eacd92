"""What is wrong with a dataset: unreadable files, empty classes, duplicates, near-duplicates, leakage, imbalance."""

from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
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
from convtrials.data.groups import complete_listing
from convtrials.data.hashes import ImageHashes, hash_images
from convtrials.data.imbalance import IMBALANCED_FROM, TO_TRY, ClassImbalance, class_imbalance
from convtrials.data.near.find import NEAR_DISTANCE, NearDuplicates, NearPair, find_near_duplicates
from convtrials.data.near.store import thumbnail_store
from convtrials.data.options import DatasetOptions
from convtrials.data.parallel import pool_for
from convtrials.data.pixel_scale import find_scale
from convtrials.data.selection import drawn_splits, refuse_one_class, split_rows
from convtrials.data.sources.base import Listing, Source
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.image_files import ImageFiles
from convtrials.data.sources.joined import JoinedSource
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
    "near-conflict",
    "near-leakage",
    "look-alike",
    "near-duplicate",
    "not-compared",
    "imbalance",
    "group-leakage",
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
    drawn : tuple of str
        Splits that the source lacks and convtrials would cut from train.
    findings : tuple of Finding
        What spoils results first.
    notes : tuple of str
        What was assumed of the source, and what was left out and why.
    near_pairs : tuple of NearPair
        Every pair of pictures that show the same with other pixels, across splits and classes first.
    frame : Frame
        How images were read; its shape is None where they differ in size.
    """

    location: str
    images: int
    bad: int
    classes: dict[str, int]
    splits: dict[str, int]
    split_by: str
    findings: tuple[Finding, ...] = field(default=())
    notes: tuple[str, ...] = ()
    near_pairs: tuple[NearPair, ...] = ()
    frame: Frame = Frame()  # noqa: RUF009 (it is frozen)
    drawn: tuple[str, ...] = ()

    @property
    def split_sentence(self) -> str:
        """Who made the splits, for people."""
        if self.split_by != "source":
            return "split by convtrials"
        return "split by the source" + (f", {' and '.join(self.drawn)} cut from train" if self.drawn else "")

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


def check_source(
    source: Source,
    options: DatasetOptions | None = None,
    *,
    near: bool = True,
    near_distance: float = NEAR_DISTANCE,
) -> CheckReport:
    """Look at every image and name what is wrong.

    Parameters
    ----------
    source : Source
        From `convtrials.data.sources.find.find_source`.
    options : DatasetOptions, optional
        As for `convtrials.data.open.load_dataset`: where the source is not split, duplicates are judged by the
        split that ratios and seed would make of its readable images.
    near : bool
        Look for near-duplicates too: the same picture resized, compressed, shifted a little, brighter or darker.
    near_distance : float
        Pairs up to this distance count, from 0 (equal) to 1 (as far apart as unrelated images of the dataset).

    Returns
    -------
    CheckReport
    """
    options = options or DatasetOptions()
    listing = complete_listing(source.scan(), source, options)
    refuse_one_class(source.location, listing)
    other_files = source.other_files() if isinstance(source, ImageFiles | JoinedSource) else ()
    with pool_for(source, len(listing.labels)) as pool:
        scale, _ = find_scale(source, listing, np.flatnonzero(listing.labels >= 0), options, pool)
    frame = options.frame(None, scale)
    seen, alike = _look(source, listing, frame, near, near_distance)
    rows = np.array(sorted(seen.digests), np.int64)
    split = np.full(len(listing.labels), 255, np.uint8)
    if len(rows):
        split[rows] = split_rows(listing, rows, options.ratios, options.split_seed)
    pairs = _near_pairs(listing, split, alike)
    findings = [
        *_unreadable(seen),
        *_classes(listing, split),
        *_few_test_images(listing, split),
        *_small_splits(split),
        *_duplicates(listing, seen, split),
        *_split_groups(listing, split),
        *_near_duplicates(pairs, _where(listing)),
        *_not_compared(listing, split, alike),
        *_other_files(other_files),
        *_imbalance(listing, rows, split),
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
        notes=listing.notes,
        near_pairs=pairs,
        frame=replace(frame, shape=listing.native_shape),
        drawn=() if listing.split is None else drawn_splits(listing, rows, split[rows]),
    )


def _look(
    source: Source, listing: Listing, frame: Frame, near: bool, distance: float
) -> tuple[ImageHashes, NearDuplicates | None]:
    """Decode every image once; where `near` is wanted, compare what is like others, too."""
    if not near:
        return hash_images(source, listing, frame), None
    with thumbnail_store(len(listing.labels)) as store:
        seen = hash_images(source, listing, frame, store)
        first = {digest: index for index, digest in sorted(seen.digests.items(), reverse=True)}
        # Of equal pictures, which are a finding of their own, one is compared with the others.
        alike = find_near_duplicates(store, np.array(sorted(first.values()), np.int64), distance=distance)
    return seen, alike


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
    where = _where(listing)
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


def _split_groups(listing: Listing, split: NDArray[np.uint8]) -> list[Finding]:
    """Name the groups, of a sample of many, that lie in more than one split: test images are then not of new ones."""
    if listing.groups is None or not listing.groups_are_sampled:
        return []
    parts = np.zeros((len(listing.group_names), len(SPLITS)), np.int64)
    there = split < len(SPLITS)
    np.add.at(parts, (listing.groups[there], split[there]), 1)
    items = tuple(
        f"{listing.group_names[group]}: "
        + ", ".join(f"{count} {part}" for part, count in zip(SPLITS, parts[group], strict=True) if count)
        for group in np.flatnonzero((parts > 0).sum(1) > 1)
    )
    if not items:
        return []
    summary = f"leakage by group: {len(items)} of {len(parts)} {listing.group_kind}(s) in more than one split"
    remedy = "keep each in one split; without splits in the source convtrials does"
    return [Finding("group-leakage", True, summary, items, remedy)]


def _where(listing: Listing) -> str:
    """Say what a leak is: of the source's split, or of the one that convtrials would make."""
    if listing.split is None:
        return "that would be in more than one split (convtrials splits this source)"
    return "in more than one split"


def _near_pairs(
    listing: Listing, split: NDArray[np.uint8], alike: NearDuplicates | None
) -> tuple[NearPair, ...]:
    if alike is None:
        return ()
    pairs = [
        NearPair(
            files=(_name(listing, split, one), _name(listing, split, two)),
            indices=(one, two),
            classes=(listing.class_names[listing.labels[one]], listing.class_names[listing.labels[two]]),
            splits=(SPLITS[split[one]], SPLITS[split[two]]),
            distance=round(float(alike.distance[place]), 4),
            correlation=round(float(alike.correlation[place]), 4),
            certain=bool(alike.certain[place]),
        )
        for place, (one, two) in enumerate(zip(alike.first.tolist(), alike.second.tolist(), strict=True))
    ]
    return tuple(sorted(pairs, key=lambda pair: (not (pair.across or pair.conflict), pair.distance)))


def _near_duplicates(pairs: tuple[NearPair, ...], where: str) -> list[Finding]:
    certain = [pair for pair in pairs if pair.certain]
    look = "look at them (--html PAGE shows both pictures of each)"
    kinds: list[tuple[Kind, bool, list[NearPair], str, str]] = [
        (
            "near-conflict",
            True,
            [pair for pair in certain if pair.conflict],
            "pair(s) of nearly equal pictures under two classes",
            "keep the right label",
        ),
        (
            "near-leakage",
            True,
            [pair for pair in certain if pair.across and not pair.conflict],
            f"pair(s) of nearly equal pictures {where}",
            "keep one of each, or both in one split",
        ),
        (
            "look-alike",
            False,
            [pair for pair in pairs if not pair.certain and (pair.across or pair.conflict)],
            "pair(s) of pictures under two classes or in two splits may show the same",
            look,
        ),
        (
            "near-duplicate",
            False,
            [pair for pair in pairs if not (pair.across or pair.conflict)],
            "pair(s) of pictures in one class and split are, or may be, nearly equal",
            "",
        ),
    ]
    return [
        Finding(kind, spoils, f"{len(own):,} {what}", tuple(map(str, own)), remedy)
        for kind, spoils, own, what, remedy in kinds
        if own
    ]


def _not_compared(listing: Listing, split: NDArray[np.uint8], alike: NearDuplicates | None) -> list[Finding]:
    findings = []
    if alike is not None and len(alike.flat):
        items = tuple(_name(listing, split, index) for index in alike.flat.tolist())
        summary = (
            f"{len(items):,} image(s) of one colour all over, too uniform to compare for near-duplicates"
        )
        findings.append(Finding("not-compared", False, summary, items))
    if alike is not None and len(alike.crowded):
        summary = (
            f"too uniform to compare fully: {len(alike.crowded):,} image(s) resemble so many others that only the most "
            "similar were compared; near-duplicates among them may be missing here"
        )
        findings.append(Finding("not-compared", False, summary))
    return findings


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


def _imbalance(listing: Listing, rows: NDArray[np.int64], split: NDArray[np.uint8]) -> list[Finding]:
    def among(which: NDArray[Any]) -> ClassImbalance | None:
        counts = np.bincount(listing.labels[which], minlength=len(listing.class_names))
        return class_imbalance(counts, listing.class_names)

    every, trained = among(rows), among(split == SPLITS.index("train"))
    found, where = every, ""
    if listing.split is not None and trained and every and trained.ratio > every.ratio:
        # What is learned from decides: a test split of equal classes does not make up for it.
        found, where = trained, "in train, "
    if found is None or found.ratio < IMBALANCE_FROM:
        return []
    summary = f"{where}{found.text}; read macro F1 as well as accuracy"
    large = trained is not None and trained.ratio > IMBALANCED_FROM
    return [Finding("imbalance", False, summary, remedy=TO_TRY if large else "")]
