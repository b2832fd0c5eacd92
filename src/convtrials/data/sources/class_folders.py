"""What the folders of a source mean: classes, their splits, and words on what is not plain."""

from dataclasses import dataclass, field

from convtrials.data.split import UNASSIGNED

#: Folders next to classes that may be none; said, not left out.
DOUBTFUL = frozenset(
    {
        *(
            "doc",
            "docs",
            "documentation",
            "example",
            "examples",
            "sample",
            "samples",
            "preview",
            "previews",
            "results",
        ),
        *(
            "screenshots",
            "output",
            "outputs",
            "logs",
            "models",
            "checkpoints",
            "runs",
            "reports",
            "figures",
            "plots",
        ),
        *("thumbnails", "tmp", "temp", "backup", "old", "unused", "trash", "duplicates"),
    }
)


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose images, at any depth, are of one class and split (255: not split yet)."""

    place: str
    name: str
    code: int = UNASSIGNED


@dataclass
class Layout:
    """What the folders of a source mean.

    Attributes
    ----------
    class_folders : list of ClassFolder
        In the order of splits, then names. Images elsewhere are left out.
    notes : list of str
        What is not plain from the folders' names.
    """

    class_folders: list[ClassFolder]
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> tuple[int, ...]:
        """Codes of the splits that are there; empty for a plain folder of class folders."""
        return tuple(sorted({one.code for one in self.class_folders} - {UNASSIGNED}))
