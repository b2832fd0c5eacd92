"""How people lay out folders: each is understood, and what was assumed is said, or it is refused with what to do."""

import io
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convtrials.core.errors import DataError
from convtrials.data.paths import CLUTTER, is_clutter
from convtrials.data.sources.folder import Contents, FolderSource
from convtrials.data.sources.split_folders import SplitFolderName, split_folder_name

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@dataclass
class DrawnTree:
    """A tree of files given as a list of paths; a path that ends in a slash is an empty folder."""

    paths: list[str]
    name: str = "set"
    location: str = "/set"
    in_order: bool = False
    listed: Counter[str] = field(default_factory=Counter)

    def stamp(self) -> str:
        return ""

    def entries(self, place: str) -> tuple[list[str], list[str]]:
        self.listed[place] += 1
        start = f"{place}/" if place else ""
        inner = [path.removeprefix(start) for path in self.paths if path.startswith(start)]
        seen = [one for one in inner if one and one[0] != "." and one.partition("/")[0] not in CLUTTER]
        folders = {one.partition("/")[0] for one in seen if "/" in one}
        return [one for one in seen if "/" not in one], sorted(folders)

    def clutter(self, place: str) -> list[str]:
        start = f"{place}/" if place else ""
        inner = [path.removeprefix(start) for path in self.paths if path.startswith(start)]
        first = {one.partition("/")[0] for one in inner if "/" in one}
        return sorted(name for name in first if is_clutter(name))

    def where(self, path: str) -> str:
        return f"{self.location}/{path}" if path else self.location

    def position(self, path: str) -> int:
        return 0

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO()

    def read(self, path: str) -> bytes:
        return b""


def drawn(text: str) -> list[str]:
    """Return the paths of ``a/{b,c}/3``: braces as in a shell, a number stands for so many images."""
    paths: list[str] = []
    for one in text.split():
        pending = [one.replace("~", " ")]
        while pending:
            path = pending.pop(0)
            if brace := re.search(r"\{([^{}]*)\}", path):
                pending += [
                    path[: brace.start()] + part + path[brace.end() :] for part in brace[1].split(",")
                ]
            elif number := re.search(r"(?:^|(?<=/))(\d+)$", path):
                paths += [f"{path[: number.start()]}{place}.jpg" for place in range(int(number[1]))]
            else:
                paths.append(path)
    return paths


def read(text: str, known: tuple[str, ...] = (), pattern: str | None = None) -> Contents:
    return FolderSource(DrawnTree(drawn(text)), known, pattern).contents()


def counted(contents: Contents) -> str:
    """Say how many images of each class are in each split: ``train: cat 3, dog 3; test: cat 2``."""
    parts = {255: "", 0: "train: ", 1: "val: ", 2: "test: "}
    found = []
    for code, start in parts.items():
        own = Counter(
            contents.class_names[label]
            for label, of in zip(contents.labels, contents.codes, strict=True)
            if of == code
        )
        if own:
            found.append(start + ", ".join(f"{name} {count}" for name, count in sorted(own.items())))
    return "; ".join(found)


BOTH = "train: cat 3, dog 3; test: cat 2, dog 2"
PLAIN = "cat 3, dog 3"

UNDERSTOOD = {
    "class folders": ("{cat,dog}/3", PLAIN, []),
    "split folders": ("train/{cat,dog}/3 test/{cat,dog}/2", BOTH, []),
    "Intel's scenes": (
        "seg_train/seg_train/{cat,dog}/3 seg_test/seg_test/{cat,dog}/2 seg_pred/seg_pred/5",
        BOTH,
        ["splits: train is seg_train/seg_train/, test is seg_test/seg_test/", "5 image(s) in seg_pred/"],
    ),
    "within an archive's folder": (
        "archive/seg_train/seg_train/{cat,dog}/3 archive/seg_test/seg_test/{cat,dog}/2 __MACOSX/archive/._seg_train",
        BOTH,
        ["the dataset is archive/", "train is archive/seg_train/seg_train/", "left out: __MACOSX"],
    ),
    "a folder in a folder": (
        "dataset/train/train/{cat,dog}/3 dataset/test/test/{cat,dog}/2",
        BOTH,
        ["the dataset is dataset/", "train is dataset/train/train/, test is dataset/test/test/"],
    ),
    "words before": ("train_set/{cat,dog}/3 Test_set/{cat,dog}/2", BOTH, ["train is train_set/"]),
    "words in one": ("TrainSet/{cat,dog}/3 testset/{cat,dog}/2", BOTH, ["test is testset/"]),
    "training_set": ("training_set/{cat,dog}/3 test_set/{cat,dog}/2", BOTH, ["train is training_set/"]),
    "words after": ("images_train/{cat,dog}/3 images_holdout/{cat,dog}/2", BOTH, ["test is images_holdout/"]),
    "hold-out": ("train/{cat,dog}/3 hold-out/{cat,dog}/2", BOTH, ["test is hold-out/"]),
    "names of a dataset": (
        "my_dataset_train/{cat,dog}/3 my_dataset_test/{cat,dog}/2",
        BOTH,
        ["my_dataset_test/"],
    ),
    "years": ("train2017/{cat,dog}/3 test2017/{cat,dog}/2", BOTH, ["train is train2017/"]),
    "dev": ("train/{cat,dog}/3 dev/{cat,dog}/1", "train: cat 3, dog 3; val: cat 1, dog 1", ["val is dev/"]),
    "evaluation next to validation": (
        "training/{cat,dog}/3 validation/{cat,dog}/1 evaluation/{cat,dog}/2",
        "train: cat 3, dog 3; val: cat 1, dog 1; test: cat 2, dog 2",
        ["test is evaluation/"],
    ),
    "eval next to test": (
        "train/{cat,dog}/3 eval/{cat,dog}/1 test/{cat,dog}/2",
        "train: cat 3, dog 3; val: cat 1, dog 1; test: cat 2, dog 2",
        ["val is eval/"],
    ),
    "eval alone": ("train/{cat,dog}/3 eval/{cat,dog}/2", BOTH, ["test is eval/"]),
    "a test split without labels": (
        "train/{cat,dog}/3 test/4 sample_submission.csv",
        "train: cat 3, dog 3",
        ["4 image(s) in test/, which is no class folder"],
    ),
    "a test split of one folder without labels": (
        "train/{cat,dog}/3 test/{test,unknown}/4",
        "train: cat 3, dog 3; test: test 4, unknown 4",
        [],
    ),
    "test images in a folder of no class": (
        "train/{cat,dog}/3 test/unknown/4",
        "train: cat 3, dog 3",
        ["test/"],
    ),
    "images next to class folders of a split": (
        "train/{cat,dog}/3 train/2 test/{cat,dog}/2",
        BOTH,
        ["2 image(s) directly in train/"],
    ),
    "a class that a split lacks": (
        "train/{cat,dog,owl}/3 test/{cat,dog}/2",
        BOTH.replace(";", ", owl 3;"),
        [],
    ),
    "one class in a split": ("train/{cat,dog}/3 test/cat/2", "train: cat 3, dog 3; test: cat 2", []),
    "an empty class folder of a split": (
        "train/{cat,dog}/3 test/cat/2 test/dog/",
        "train: cat 3, dog 3; test: cat 2",
        ["no image in test/dog"],
    ),
    "splits within classes": (
        "{cat,dog}/train/3 {cat,dog}/test/2",
        BOTH,
        ["classes are the outer folders (cat, dog), splits the folders in them"],
    ),
    "one split only": ("train/{cat,dog}/3", PLAIN, ["the dataset is train/"]),
    "one level too high": (
        "cnn_dataset/{0,1}/3 __MACOSX/0/3",
        "0 3, 1 3",
        ["the dataset is cnn_dataset/", "__MACOSX"],
    ),
    "two levels too high": ("x/x/{cat,dog}/3 x/readme.txt", PLAIN, ["the dataset is x/x/"]),
    "a picture at the top": (
        "{cat,dog}/3 confusion.png",
        PLAIN,
        ["1 image(s) directly in the outermost folder"],
    ),
    "a picture next to the wrapper": (
        "data/{cat,dog}/3 logo.png",
        PLAIN,
        ["the dataset is data/", "1 image(s)"],
    ),
    "folders in classes": ("{cat,dog}/3 cat/more/1", "cat 4, dog 3", ["whatever the folders in them (more)"]),
    "nested classes": (
        "animals/{cat,dog}/2 vehicles/car/3",
        "animals 4, vehicles 3",
        ["classes are the outer folders (animals, vehicles).*/set/animals alone, or --labels-from-names"],
    ),
    "systems' folders": (
        "{cat,dog}/3 @eaDir/2 $RECYCLE.BIN/2 .ipynb_checkpoints/2 lost+found/ cat/@eaDir/1 cat/._0.jpg .git/1 "
        "System~Volume~Information/1 cat/.AppleDouble/1 cat/__pycache__/1 #recycle/1",
        PLAIN,
        ["left out: #recycle, $RECYCLE.BIN, .git, .ipynb_checkpoints and 3 more, of systems and tools"],
    ),
    "folders without images": (
        "{cat,dog}/3 docs/a.txt README/ labels/1.txt",
        PLAIN,
        ["no image in README, docs, labels"],
    ),
    "pictures of the project": (
        "{cat,dog}/3 docs/1 README/1",
        "cat 3, docs 1, dog 3",
        ["docs: taken as", "README/"],
    ),
    "pictures next to splits": (
        "train/{cat,dog}/3 test/{cat,dog}/2 results/4",
        BOTH,
        ["4 image(s) in results/"],
    ),
    "a train among vehicles": ("{bus,car,train}/3", "bus 3, car 3, train 3", ["train: taken as a class"]),
    "a train with a first word": ("{bullet_train,bus}/3", "bullet_train 3, bus 3", ["bullet_train: taken"]),
    "names that look alike": ("{Cat,cat,dog}/2", "Cat 2, cat 2, dog 2", ["look alike: 'Cat', 'cat'"]),
    "a blank at the end": ("{cat,cat~,dog}/2", "cat 2, cat  2, dog 2", ["look alike: 'cat', 'cat '"]),
    "a name that nobody sees": ("{cat,c\u200bat,dog}/2", "cat 2, c\u200bat 2, dog 2", ["look alike"]),
    "two spellings": (
        f"{{{NFC},{NFD},dog}}/2",
        f"{NFC} 4, dog 2",
        [f"two ways of Unicode, and one class each: {NFC}"],
    ),
    "two spellings in two splits": (
        f"train/{{{NFD},dog}}/3 test/{{{NFC},dog}}/2",
        f"train: {NFC} 3, dog 3; test: {NFC} 2, dog 2",
        [f"two ways of Unicode, and one class each: {NFC}"],
    ),
}


@pytest.mark.parametrize("layout", UNDERSTOOD)
def test_a_layout_is_understood_and_what_was_assumed_is_said(layout: str) -> None:
    text, expected, notes = UNDERSTOOD[layout]
    contents = read(text)
    assert counted(contents) == expected
    assert len(contents.notes) == len(notes)
    for note in notes:
        assert any(re.search(re.escape(note).replace(r"\.\*", ".*"), one) for one in contents.notes), (
            contents.notes
        )
    images = {path for path in drawn(text) if path.endswith((".jpg", ".png"))}
    hidden = {path for path in images if any(part[0] == "." or part in CLUTTER for part in path.split("/"))}
    assert set(contents.paths) | {path for path in contents.other_files if path in images} == images - hidden
    for path, below in zip(contents.paths, contents.below, strict=True):
        assert path[below - 1] == "/"


REFUSED = {
    "names of a train and a tube alone": (
        "{bullet_train,test_tube}/3",
        "not names of classes.*--classes bullet_train",
    ),
    "nothing": ("readme.txt", r"/set: no class folders, and no image; expected set/CLASS/image\.png"),
    "images in one heap": (
        "{cat,dog}.{0,1,2}.jpg",
        "6 image.*no class folders.*\n.*cat, dog.*--labels-from-names",
    ),
    "one folder of images": (
        "images/12 train.csv",
        "one class only, images with 12 image.*\ntrain.csv may hold",
    ),
    "one class": ("cat/9", "one class only, cat with 9"),
    "one class, deep": ("x/y/cat/9", "/set/x/y: one class only, cat"),
    "one class among the empty": (
        "cat/9 dog/notes.txt",
        r"one class only, cat with 9 image\(s\) \(dog: no image in it\)",
    ),
    "the folder of one class": (
        "9",
        "9 image.*directly in it.*; if it is one class of several, name the folder above",
    ),
    "one class and loose images": ("9 cat/3", "9 image.*directly in it"),
    "one class of a split": ("train/cat/3 test/cat/2", "one class only, cat"),
    "a heap for each split": (
        "train/3 test/2 train.csv",
        "test, train are splits by their names.*\ntrain.csv",
    ),
    "a competition": ("train_images/3 test_images/2 train.csv", "splits by their names"),
    "a heap for each split, deep": (
        "dogs/train/{cat,dog}.{0,1}.jpg dogs/test1/2",
        "/set/dogs: test1, train are splits by their names.*\nFile names begin with cat, dog",
    ),
    "a split in a split": ("train/{train,test}/3 test/{train,test}/2", "splits by their names"),
    "images and masks": ("images/3 masks/3", "images, masks are not names of classes"),
    "a sibling of splits": (
        "train/{a,b}/3 test/{a,b}/3 extra/{a,b}/3",
        "extra, which is neither.*--train DIR",
    ),
    "classes next to train": ("train/{steam,tram}/3 {bus,car}/3", "next to train there is bus"),
    "two test folders": ("train/{a,b}/3 test/{a,b}/3 holdout/{a,b}/3", "two test folders, holdout and test"),
    "splits of other names": ("{fold1,fold2}/{a,b}/3", "look like splits, not classes"),
    "splits of other names, other classes": ("fold1/{a,b,c}/3 fold2/{a,b}/3", r"same folders \(a, b\)"),
    "some classes split": ("cat/{train,test}/3 dog/3", "cat holds folders test, train, dog does not"),
    "datasets in a folder": ("{mnist,digits}/{train,test}/{0,1}/3", "digits holds splits.*/set/digits$"),
    "two test folders in a class": ("{cat,dog}/{train,test,testing}/3", "two folders of cat mean one split"),
    "pictures of a camera": (
        "{cat,dog}/3 owl/{0,1}.cr2",
        r"owl: no image that can be read in it \(2 \.cr2",
    ),
    "loose images below": ("x/9 x/{a,b}/2", "/set/x: 9 image.*directly in it, more than in its folders"),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_a_layout_is_refused_with_what_to_do(layout: str) -> None:
    text, message = REFUSED[layout]
    with pytest.raises(DataError) as refusal:
        read(text)
    assert re.search(message, str(refusal.value), re.DOTALL), refusal.value
    assert str(refusal.value).count("\n") <= 2


def test_names_that_are_said_to_be_classes_are() -> None:
    assert counted(read("train/3 test/2", ("train", "test"))) == "test 2, train 3"
    assert counted(read("{fold1,fold2}/{a,b}/1", ("fold1", "fold2"))) == "fold1 2, fold2 2"
    assert counted(read("train/{a,b,c}/2 test/{a,b}/1", ("a", "b"))).startswith("train: a 2, b 2, c 2")


@pytest.mark.parametrize(
    ("text", "pattern", "expected", "notes"),
    [
        ("{cat,dog}.{0,1}.jpg", r"^(\w+)\.", "cat 2, dog 2", 1),
        ("train/{cat,dog}.{0,1}.jpg test1/{1,2}.jpg", r"/(\w+)\.\d", "train: cat 2, dog 2", 2),
        (
            "train/{cat,dog}.{0,1}.jpg test/{cat,dog}.2.jpg",
            r"/(\w+)\.\d",
            "train: cat 2, dog 2; test: cat 1, dog 1",
            1,
        ),
        ("animals/{cat,dog}/2 vehicles/car/3", "([^/]+)/[^/]+$", "car 3, cat 2, dog 2", 1),
        (f"{NFC}.1.jpg {NFD}.2.jpg dog.1.jpg", r"([^.]+)\.", f"{NFC} 2, dog 1", 2),
    ],
)
def test_classes_named_by_files(text: str, pattern: str, expected: str, notes: int) -> None:
    contents = read(text, pattern=pattern)
    assert counted(contents) == expected
    assert len(contents.notes) == notes


@pytest.mark.parametrize(
    "text", ["{cat,dog}.{0,1}.jpg", "train/{cat,dog}.{0,1}.jpg test1/3", "x/{cat,dog}_{0,1}.jpg"]
)
def test_the_pattern_that_a_refusal_offers_works(text: str) -> None:
    with pytest.raises(DataError) as refusal:
        read(text)
    offered = re.search("--labels-from-names '(.+)'", str(refusal.value))
    assert offered
    assert read(text, pattern=offered[1]).class_names == ("cat", "dog")


def test_a_pattern_that_names_no_classes() -> None:
    with pytest.raises(DataError, match=r"matches no path of /set, such as a/0\.jpg"):
        read("{a,b}/2", pattern="(x)")
    with pytest.raises(DataError, match="one class only, a"):
        read("a/2", pattern="(a)")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train", SplitFolderName(0, ())),
        ("Train_Set", SplitFolderName(0, ())),
        ("trainingData", SplitFolderName(0, ())),
        ("seg_test", SplitFolderName(2, ("seg",))),
        ("test1", SplitFolderName(2, ())),
        ("val-2017", SplitFolderName(1, ())),
        ("held out", SplitFolderName(2, ())),
        ("train_test_split", None),
        ("the_train_station", None),
        ("contest", None),
        ("strain", None),
        ("", None),
        ("列車", None),
    ],
)
def test_names_of_split_folders(name: str, expected: SplitFolderName | None) -> None:
    assert split_folder_name(name) == expected


def test_each_folder_is_listed_once() -> None:
    tree = DrawnTree(
        drawn("x/seg_train/seg_train/{cat,dog}/3 x/seg_test/seg_test/{cat,dog}/2 x/seg_pred/seg_pred/5")
    )
    FolderSource(tree).contents()
    assert set(tree.listed.values()) == {1}


NAMES = st.sampled_from(
    [
        *(
            "cat",
            "dog",
            "Owl",
            NFC,
            NFD,
            "train",
            "test",
            "val",
            "seg_train",
            "seg_test",
            "images",
            "docs",
            "x",
        ),
        *("@eaDir", "__MACOSX", ".git", "train_set", "holdout", "README", "data", "cat "),
    ]
)
PATHS = st.lists(
    st.builds(
        lambda folders, count: ["/".join([*folders, f"{place}.jpg"]) for place in range(count)],
        st.lists(NAMES, max_size=4),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(PATHS)
def test_whatever_the_layout_nothing_is_lost_and_no_clutter_a_class(found: list[list[str]]) -> None:
    paths = sorted({path for own in found for path in own})
    try:
        contents = FolderSource(DrawnTree(paths)).contents()
    except DataError:
        return
    names = contents.class_names
    assert len(names) >= 2
    assert not any(name in CLUTTER or name[0] == "." for name in names)
    split = [one for name in names if (one := split_folder_name(name))]
    if split:  # only as one of several, and said
        assert len(split) < len(names)
        assert len({one.code for one in split if one.rest == split[0].rest}) == 1
    assert len({unicodedata.normalize("NFC", name) for name in names}) == len(names)
    seen = {path for path in paths if not any(part[0] == "." or part in CLUTTER for part in path.split("/"))}
    assert len(contents.paths) + len(contents.other_files) == len(seen)
    assert {*contents.paths, *contents.other_files} == seen
    said = sum(
        int(n.replace(",", "")) for note in contents.notes for n in re.findall(r"left out: ([\d,]+)", note)
    )
    assert said == len(contents.other_files)
