"""Every folder of a tree listed once, with what is an image by its name."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from convtrials.data.paths import descend, image_endings
from convtrials.data.sources.tree import FileTree


@dataclass
class WalkedFolder:
    """What lies in one folder: names of images and of other files, both sorted, and of folders, sorted."""

    images: list[str]
    others: list[str]
    folders: list[str]
    total: int = 0
    """Images in it at any depth."""


class Walk:
    """All folders of a tree. Places are relative, ``""`` is the outermost folder.

    Parameters
    ----------
    tree : FileTree
        Each of its folders is listed once; no file is opened.
    """

    def __init__(self, tree: FileTree):
        self.name = tree.name
        self.show = tree.where
        self.clutter = tree.clutter
        self.folders: dict[str, WalkedFolder] = {}
        endings = image_endings()
        pending = [("", 0)]
        while pending:
            place, depth = pending.pop()
            names, folders = tree.entries(place)
            images: list[str] = []
            others: list[str] = []
            for name in names:
                kind = images if os.path.splitext(name)[1].lower() in endings else others
                kind.append(name)
            images.sort()
            others.sort()
            self.folders[place] = WalkedFolder(images, others, folders, len(images))
            pending += [
                (self.join(place, name), depth + 1) for name in descend(folders, tree.where(place), depth)
            ]
        # A folder is listed after the one that it is in: backwards, all within it has been added up.
        for place in reversed(self.folders):
            if place:
                self.folders[self.parent(place)].total += self.folders[place].total

    @staticmethod
    def join(place: str, name: str) -> str:
        """Return the place of something in a folder."""
        return f"{place}/{name}" if place else name

    @staticmethod
    def parent(place: str) -> str:
        """Return the folder that a place is in."""
        return place.rpartition("/")[0]

    def above(self, place: str) -> list[str]:
        """Return all folders that a place is in, from the nearest to ``""``."""
        found = []
        while place:
            place = self.parent(place)
            found.append(place)
        return found

    def count(self, place: str) -> int:
        """Images in a folder, at any depth."""
        return self.folders[place].total

    def live(self, place: str) -> list[str]:
        """Names of the folders with an image somewhere in them."""
        return [name for name in self.folders[place].folders if self.count(self.join(place, name))]

    def below(self, place: str) -> Iterator[str]:
        """Yield a folder and all folders in it."""
        pending = [place]
        while pending:
            own = pending.pop()
            yield own
            pending += [self.join(own, name) for name in self.folders[own].folders]

    def images_below(self, place: str) -> list[str]:
        """Paths of the images in a folder, at any depth, sorted."""
        found = []
        for own in self.below(place):
            start = f"{own}/" if own else ""
            found += [start + name for name in self.folders[own].images]
        return sorted(found)
