"""A folder of class folders, whole or already split into train, val and test."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convtrials.core.errors import DataError
from convtrials.data.class_names import alike, composed, shortened
from convtrials.data.sources.base import Listing
from convtrials.data.sources.image_files import ImageFiles
from convtrials.data.sources.tree import DiskTree, FileTree

if TYPE_CHECKING:
    from convtrials.data.sources.name_labels import LabelledImages
    from convtrials.data.sources.walk import Walk


@dataclass(frozen=True)
class Contents:
    """What lies in a folder source.

    Attributes
    ----------
    class_names : tuple of str
        In plain string order (as torchvision's ``ImageFolder`` has them).
    paths, labels, codes : parallel lists
        Relative path, class and split code of every image file; codes are 255 where the folder has no splits.
    below : list of int
        How many characters of each path lead to its class folder, the slash included.
    other_files : tuple of str
        Files that are no images by their names, and images in no class folder.
    parts : tuple of int
        Codes of the split folders that are there; empty for a plain folder of class folders.
    notes : tuple of str
        As in `Listing`.
    """

    class_names: tuple[str, ...]
    paths: list[str]
    labels: list[int]
    codes: list[int]
    below: list[int]
    other_files: tuple[str, ...]
    parts: tuple[int, ...]
    notes: tuple[str, ...]


@dataclass
class FolderSource(ImageFiles):
    """Images in folders named after their classes.

    ``folder/CLASS/any/depth/image.png``, ``folder/{train,val,test}/CLASS/...`` as the split-folders package writes it,
    or ``folder/CLASS/{train,val,test}/...``: `convtrials.data.sources.layout` has the rules. A split that is absent is
    taken from train.

    Parameters
    ----------
    tree : FileTree or Path
        The outermost folder, on disk or in an archive.
    known : tuple of str
        Names that are classes, as given or as another source has them.
    labels_from_names : str or None
        A regular expression whose group 1, found in the path, names the class; folders then mean nothing but splits.
    """

    tree: FileTree
    known: tuple[str, ...] = ()
    labels_from_names: str | None = None
    takes: ClassVar[frozenset[str]] = frozenset({"labels_from_names", "bits"})
    name: str = field(init=False)
    location: str = field(init=False)
    _paths: tuple[str, ...] | None = field(default=None, init=False, repr=False)
    _below: list[int] | None = field(default=None, init=False, repr=False)
    _others: tuple[str, ...] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.tree, str | Path):
            self.tree = DiskTree(Path(self.tree))
        self.name, self.location = self.tree.name, self.tree.location

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_below": None, "_others": None}  # other processes only read images

    def stamp(self) -> str:
        """Say whether any folder changed; no file is opened."""
        return self.tree.stamp()

    def contents(self) -> Contents:
        """Walk the folder; nothing is opened.

        Raises
        ------
        DataError
            What lies there cannot be understood as classes.
        """
        # Imported here, since a packed folder opens without them.
        from convtrials.data.sources.layout import find_layout
        from convtrials.data.sources.name_labels import LabelledImages, label_by_names
        from convtrials.data.sources.walk import Walk

        walk = Walk(self.tree)
        if self.labels_from_names is not None:
            found, parts, notes = label_by_names(walk, self.labels_from_names)
        else:
            layout = find_layout(walk, self.known)
            found = [
                LabelledImages(one.name, one.code, walk.images_below(one.place), len(one.place) + 1)
                for one in layout.class_folders
            ]
            parts, notes = layout.parts, layout.notes
        return _contents(walk, found, parts, notes, known=self.known)

    def scan(self) -> Listing:
        """List the images; opens none."""
        return self.listing(self.contents())

    def listing(self, contents: Contents) -> Listing:
        """Turn a walk's findings into a listing."""
        self._paths = tuple(contents.paths)
        self._below, self._others = contents.below, contents.other_files
        split = None
        if len(contents.parts) > 1:
            split = np.array(contents.codes, np.uint8)
            if len(set(contents.parts)) < 3:
                split[split == 0] = 255  # what is absent is taken from train
        labels = np.array(contents.labels, np.int64)
        return Listing(
            contents.class_names,
            labels,
            None,
            split,
            self._paths,
            left_alone=len(contents.other_files),
            notes=(*contents.notes, *self.tree.notes()),
        )

    def other_files(self) -> tuple[str, ...]:
        """Files that are no images by name, or in no class folder."""
        self._listed()
        assert self._others is not None
        return self._others

    def name_in_class(self, index: int) -> str:
        """Path of an image below its class folder."""
        path = self.path_of(index)
        assert self._below is not None
        return path[self._below[index] :]


def _contents(
    walk: "Walk",
    found: "list[LabelledImages]",
    parts: tuple[int, ...],
    notes: list[str],
    *,
    known: tuple[str, ...],
) -> Contents:
    """Put images together, classes in string order."""
    spelled: dict[str, set[str]] = defaultdict(set)
    for one in found:
        spelled[composed(one.name)].add(one.name)
    images = sum(len(one.paths) for one in found)
    if len(spelled) < 2 and not {composed(name) for name in known} & spelled.keys():
        raise DataError(
            f"{walk.show('')}: one class only, {shortened(spelled)} with {images:,} image(s); a classifier needs two "
            "or more"
        )
    # One spelling stays as it is: fingerprints of a dataset do not change by what is known of others.
    names = {one: one if len(own) > 1 else min(own) for one, own in spelled.items()}
    class_names = sorted(names.values())
    number = {name: label for label, name in enumerate(class_names)}
    place = {one: number[name] for one, name in names.items()}
    contents = Contents(
        class_names=tuple(class_names),
        paths=[path for one in found for path in one.paths],
        labels=[label for one in found for label in [place[composed(one.name)]] * len(one.paths)],
        codes=[code for one in found for code in [one.code] * len(one.paths)],
        below=[below for one in found for below in [one.below] * len(one.paths)],
        other_files=(),
        parts=parts,
        notes=(*notes, *_about_names(spelled, class_names)),
    )
    others = [walk.join(folder, name) for folder, has in walk.folders.items() for name in has.others]
    if images < walk.count(""):
        used = set(contents.paths)
        others += [path for path in walk.images_below("") if path not in used]
    return replace(contents, other_files=tuple(sorted(others)))


def _about_names(spelled: dict[str, set[str]], class_names: list[str]) -> list[str]:
    """Name the classes that are spelled in two ways of Unicode, and made one, and those that look alike."""
    notes = [
        f"class names look alike: {', '.join(map(repr, same))}; are they one class?"
        for same in alike(class_names)
    ]
    if twice := [name for name, own in spelled.items() if len(own) > 1]:
        notes.append(f"spelled in two ways of Unicode, and one class each: {shortened(twice)}")
    return notes
