"""Names of split folders: train, val and test as people write them."""

import re
from dataclasses import dataclass

TRAIN, VAL, TEST = 0, 1, 2
#: Images to evaluate on: val where test is there as well, else test.
EVALUATION = 3
#: Images without labels.
UNLABELLED = 4

_CODES = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), VAL),
    **dict.fromkeys(("test", "testing", "holdout"), TEST),
    **dict.fromkeys(("eval", "evaluation", "evaluate"), EVALUATION),
    **dict.fromkeys(("pred", "predict", "prediction", "predictions", "inference", "submission"), UNLABELLED),
    **dict.fromkeys(("unlabeled", "unlabelled"), UNLABELLED),
}
#: Words that say nothing more of a split folder.
_FILLERS = frozenset(
    (
        "set",
        "sets",
        "data",
        "dataset",
        "folder",
        "dir",
        "split",
        "image",
        "images",
        "img",
        "imgs",
        "pictures",
        "photos",
    )
)
#: Names that hold images of anything, and are no class where nothing else is there.
CONTAINERS = frozenset(
    {
        *(
            "image",
            "images",
            "img",
            "imgs",
            "jpegimages",
            "picture",
            "pictures",
            "photo",
            "photos",
            "data",
            "dataset",
        ),
        *(
            "mask",
            "masks",
            "label",
            "labels",
            "annotation",
            "annotations",
            "segmentation",
            "bboxes",
            "unknown",
            "all",
        ),
    }
)
_COMPOUND = re.compile(
    rf"({'|'.join(sorted(_CODES, key=len, reverse=True))})({'|'.join(sorted(_FILLERS))})?\d*"
)
KNOWN = (
    "train or training; val, valid, validation or dev; test, testing or holdout; eval or evaluation (in any case, and "
    "within a name such as seg_train or training_set)"
)


@dataclass(frozen=True)
class SplitFolderName:
    """What a folder's name says of a split.

    Attributes
    ----------
    code : int
        `TRAIN`, `VAL`, `TEST`, `EVALUATION` or `UNLABELLED`.
    rest : tuple of str
        Other words of the name, lower-case: ``("seg",)`` of ``seg_train``; split folders of one dataset share them.
    """

    code: int
    rest: tuple[str, ...]


def split_folder_name(name: str) -> SplitFolderName | None:
    """Read a folder's name as that of a split; None where it is none.

    Examples
    --------
    >>> split_folder_name("seg_train"), split_folder_name("TestSet"), split_folder_name("tram")
    (SplitFolderName(code=0, rest=('seg',)), SplitFolderName(code=2, rest=()), None)
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.sub(r"(hold|held)[\W_]?out", "holdout", spaced.lower())
    parts = [word for word in re.split(r"[\W_]+", words) if word]
    codes = {
        place: _CODES[found[1]] for place, one in enumerate(parts) if (found := _COMPOUND.fullmatch(one))
    }
    # A word in the middle of a name names no split, nor do two of them: train_test_split.
    if len(codes) != 1 or not {*codes} <= {0, len(parts) - 1}:
        return None
    place, code = codes.popitem()
    rest = [
        word for own, word in enumerate(parts) if own != place and word not in _FILLERS and not word.isdigit()
    ]
    return SplitFolderName(code, tuple(rest))


def evaluation_meant(codes: dict[str, int]) -> dict[str, int]:
    """Make an evaluation folder val where there is a test folder and no val, else test."""
    meant = VAL if TEST in codes.values() and VAL not in codes.values() else TEST
    return {name: meant if code == EVALUATION else code for name, code in codes.items()}
