"""A folder of class folders, whole or already split into train, val and test."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from convtrials.core.errors import DataError
from convtrials.data.paths import descend, image_endings
from convtrials.data.sources.base import Listing
from convtrials.data.sources.image_files import ImageFiles
from convtrials.data.sources.split_folders import split_folders
from convtrials.data.sources.tree import DiskTree, FileTree


@dataclass(frozen=True)
class Contents:
    """What lies in a folder source.

    Attributes
    ----------
    class_names : tuple of str
        Names of class folders, in plain string order (as torchvision's ``ImageFolder`` has them).
    paths, labels, codes : parallel lists
        Relative path, class and split code of every image file; codes are 255 where the folder has no splits.
    other_files : tuple of str
        Files that are no images by their names.
    parts : tuple of int
        Codes of the split folders that are there; empty for a plain folder of class folders.
    empty : tuple of str
        Class folders without any image, relative.
    """

    class_names: tuple[str, ...]
    paths: list[str]
    labels: list[int]
    codes: list[int]
    other_files: tuple[str, ...]
    parts: tuple[int, ...]
    empty: tuple[str, ...]


@dataclass
class FolderSource(ImageFiles):
    """Images in folders named after their classes.

    ``folder/CLASS/any/depth/image.png``, or ``folder/{train,val,test}/CLASS/...`` as the split-folders package
    writes it (other names: `convtrials.data.sources.split_folders`). A split that is absent is taken from train.

    Parameters
    ----------
    tree : FileTree or Path
        The outermost folder, on disk or in an archive.
    """

    tree: FileTree
    name: str = field(init=False)
    location: str = field(init=False)
    _paths: tuple[str, ...] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.tree, str | Path):
            self.tree = DiskTree(Path(self.tree))
        self.name, self.location = self.tree.name, self.tree.location

    @property
    def in_order(self) -> bool:
        """Whether the files are one compressed stream, to be read front to back by one process."""
        return self.tree.in_order

    def stamp(self) -> str:
        """Say whether any folder changed; no file is opened."""
        return self.tree.stamp()

    def contents(self) -> Contents:
        """Walk the folder; nothing is opened."""
        _, top = self.tree.entries("")
        parts = split_folders(self.tree, top)
        homes = parts or [("", 255)]
        found = {prefix: self.tree.entries(prefix)[1] for prefix, _ in homes}
        class_names = tuple(sorted({name for names in found.values() for name in names}))
        if not class_names:
            raise DataError(
                f"{self.location}: no class folders; expected {self.name}/CLASS/image.png or "
                f"{self.name}/train/CLASS/image.png"
            )
        paths: list[str] = []
        labels: list[int] = []
        codes: list[int] = []
        empty: list[str] = []
        other_files = list(self.tree.entries("")[0])
        for prefix, code in homes:
            if prefix:
                other_files += [f"{prefix}/{name}" for name in self.tree.entries(prefix)[0]]
            for name in sorted(found[prefix]):
                relative = f"{prefix}/{name}" if prefix else name
                images, others = self._files(relative)
                other_files += others
                paths += images
                labels += [class_names.index(name)] * len(images)
                codes += [code] * len(images)
                if not images:
                    empty.append(relative)
        codes_there = tuple(code for _, code in parts)
        return Contents(class_names, paths, labels, codes, tuple(other_files), codes_there, tuple(empty))

    def scan(self) -> Listing:
        """List the images; opens none."""
        contents = self.contents()
        counts = Counter(contents.labels)
        nothing = [name for label, name in enumerate(contents.class_names) if not counts[label]]
        if nothing:
            raise DataError(
                f"{self.location}: no image in class {', '.join(nothing[:5])}{' ...' if len(nothing) > 5 else ''}; "
                "add images or remove the folder (see: convtrials data check)"
            )
        return self.listing(contents)

    def listing(self, contents: Contents) -> Listing:
        """Turn a walk's findings into a listing, empty classes and all."""
        paths, labels = contents.paths, np.array(contents.labels, np.int64)
        codes = np.array(contents.codes, np.uint8)
        if self.in_order:
            order = sorted(range(len(paths)), key=lambda place: self.tree.position(paths[place]))
            paths, labels, codes = [paths[place] for place in order], labels[order], codes[order]
        self._paths = tuple(paths)
        split = None
        if len(contents.parts) > 1:
            split = codes
            if len(set(contents.parts)) < 3:
                split[split == 0] = 255  # what is absent is taken from train
        left_alone = len(contents.other_files)
        return Listing(contents.class_names, labels, None, split, self._paths, left_alone=left_alone)

    def _files(self, relative: str) -> tuple[list[str], list[str]]:
        endings = image_endings()
        images: list[str] = []
        others: list[str] = []
        pending = [(relative, 1)]
        while pending:
            place, depth = pending.pop()
            names, folders = self.tree.entries(place)
            for name in names:
                kind = images if os.path.splitext(name)[1].lower() in endings else others
                kind.append(f"{place}/{name}")
            pending += [(f"{place}/{name}", depth + 1) for name in descend(folders, place, depth)]
        return sorted(images), sorted(others)
