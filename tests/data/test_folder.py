"""Folders of class folders, whole and split, and what lies about in them."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.data.check import check_source
from convtrials.data.export import write_split
from convtrials.data.open import describe, load_dataset
from convtrials.data.sources.folder import FolderSource
from convtrials.data.store import source_paths
from convtrials.data.summary import summary_lines


def save_image(path: Path, seed: int, size: tuple[int, int] = (8, 6), colour: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if colour else size
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


def make_classes(folder: Path, per_class: int = 20, classes: tuple[str, ...] = ("b", "a", "10", "9")) -> Path:
    for label, name in enumerate(classes):
        for number in range(per_class):
            save_image(folder / name / f"{number:03d}.png", seed=1000 * label + number)
    return folder


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set")
    data = load_dataset(folder)
    assert data.class_names == ("10", "9", "a", "b")
    assert data.image_shape == (8, 6, 1)
    assert data.counts() == {"train": 56, "val": 12, "test": 12}
    paths = source_paths(data)
    assert paths is not None
    for place, path in enumerate(paths):
        np.testing.assert_array_equal(data.images[place, ..., 0], np.asarray(Image.open(folder / path)))
        assert data.class_names[data.labels[place]] == path.split("/")[0]


def test_what_split_folders_writes(tmp_path: Path) -> None:
    splitfolders = pytest.importorskip("splitfolders")
    folder = make_classes(tmp_path / "set")
    splitfolders.ratio(str(folder), output=str(tmp_path / "out"), seed=3, ratio=(0.6, 0.2, 0.2))
    data = load_dataset(tmp_path / "out")
    assert data.class_names == ("10", "9", "a", "b")
    assert data.counts() == {"train": 48, "val": 16, "test": 16}
    for place, path in enumerate(source_paths(data) or ()):
        assert ("train", "val", "test")[data.split[place]] == path.split("/")[0]


def test_turned_png_files_keep_their_whole_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.random.default_rng(0).integers(0, 256, (40, 20), dtype=np.uint8)
    for name in ("a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png", "b/3.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "set" / name, exif=exif)
    data = load_dataset(tmp_path / "set")
    assert data.image_shape == (20, 40, 1)
    np.testing.assert_array_equal(data.images[0, ..., 0], np.rot90(picture, -1))


@pytest.mark.parametrize(
    "names", [("Train", "Val", "Test"), ("TRAIN", "VALIDATION", "TEST"), ("training", "valid", "Testing")]
)
def test_names_of_split_folders_in_any_case(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for part, count in zip(names, (8, 3, 4), strict=True):
        make_classes(tmp_path / "set" / part, count, ("x", "y"))
    data = load_dataset(tmp_path / "set")
    assert data.class_names == ("x", "y")
    assert data.counts() == {"train": 16, "val": 6, "test": 8}


@pytest.mark.parametrize("names", [("fit", "dev"), ("Val", "Test"), ("fold1", "fold2", "fold3")])
def test_split_folders_by_other_names_are_not_taken_for_classes(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for part in names:
        make_classes(tmp_path / "set" / part, 3, ("x", "y"))
    with pytest.raises(
        DataError, match=r"same folders \(x, y\) and look like splits.*\nNames of splits are train"
    ):
        load_dataset(tmp_path / "set")


def test_folders_within_classes_are_no_splits(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        make_classes(tmp_path / "one" / name, 3, ("images",))
        make_classes(tmp_path / "more" / name, 3, ("day", "night"))
    save_image(tmp_path / "more" / "cat" / "own.png", 1)
    assert load_dataset(tmp_path / "one").class_names == ("cat", "dog")
    assert load_dataset(tmp_path / "more").class_names == ("cat", "dog")


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_names_of_the_validation_folder(tmp_path: Path, name: str) -> None:
    for part, count in (("train", 8), (name, 3), ("test", 4)):
        make_classes(tmp_path / "set" / part, count, ("x", "y"))
    assert load_dataset(tmp_path / "set").counts() == {"train": 16, "val": 6, "test": 8}


def test_an_absent_split_is_taken_from_train(tmp_path: Path) -> None:
    for part in ("train", "test"):
        make_classes(tmp_path / "no-val" / part, 17, ("x", "y"))
    assert load_dataset(tmp_path / "no-val").counts() == {"train": 28, "val": 6, "test": 34}
    make_classes(tmp_path / "train-only" / "train", 20, ("x", "y"))
    assert load_dataset(tmp_path / "train-only").counts() == {"train": 28, "val": 6, "test": 6}


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    names = ("test", "train", "tram")
    make_classes(tmp_path / "set", 10, names)
    with pytest.raises(DataError, match=r"test, train are splits by their names.*--classes test,train,tram"):
        load_dataset(tmp_path / "set")
    assert load_dataset(tmp_path / "set", classes=names).class_names == names


def test_folders_in_class_folders_clutter_and_strangers(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 10, ("x", "y"))
    save_image(folder / "x" / "deep" / "er" / "one.PNG", 5)
    for stray in ("x/notes.txt", "readme.md", "x/.hidden.png", "y/Thumbs.db", ".DS_Store"):
        (folder / stray).write_text("no image")
    contents = FolderSource(folder).contents()
    assert contents.other_files == ("readme.md", "x/notes.txt")
    assert len(contents.paths) == 21
    assert "x/deep/er/one.PNG" in contents.paths
    data = load_dataset(folder)
    assert len(data) == 21
    assert data.manifest["left_alone"] == 2
    assert describe(data, 1.0).startswith("set: 21 images of 2 classes packed in 1.0 s")
    assert any("2 file(s) ignored in all" in line for line in summary_lines(data))


@pytest.mark.parametrize("ending", ["jpf", "icns", "dds", "tga", "sgi", "J2C"])
def test_whatever_pillow_decodes_is_an_image(tmp_path: Path, ending: str) -> None:
    folder = make_classes(tmp_path / "set", 3, ("x", "y"))
    picture = Image.fromarray(np.full((64, 64), 200, np.uint8))
    file = folder / "x" / f"other.{ending}"
    picture.convert("RGB").save(file, Image.registered_extensions()[f".{ending.lower()}"])
    assert f"x/other.{ending}" in FolderSource(folder).contents().paths


@pytest.mark.parametrize("ending", ["ps", "eps", "pdf", "wmf", "mpg", "flc", "h5", "grib", "palm", "txt"])
def test_documents_video_and_containers_are_left_alone(tmp_path: Path, ending: str) -> None:
    folder = make_classes(tmp_path / "set", 3, ("x", "y"))
    (folder / "x" / f"other.{ending}").write_bytes(b"something else")
    assert FolderSource(folder).contents().other_files == (f"x/other.{ending}",)


@pytest.mark.skipif(os.name != "posix", reason="needs a system whose file names are bytes")
def test_files_may_have_names_that_are_no_text_and_classes_may_not(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 4, ("x", "y"))
    odd = os.fsdecode(b"caf\xe9")
    try:
        save_image(folder / "x" / f"{odd}.png", 1)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    data = load_dataset(folder)
    assert f"x/{odd}.png" in (source_paths(data) or ())
    assert load_dataset(folder).fingerprint == data.fingerprint
    for number in range(4):
        save_image(folder / odd / f"{number}.png", number)
    for use in (load_dataset, lambda path, **_: check_source(FolderSource(path))):
        with pytest.raises(DataError, match=r"class name 'caf\\udce9': not UTF-8 text; rename that folder"):
            use(folder)


def test_a_link_that_leads_back_is_told(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 3, ("x", "y"))
    (folder / "x" / "again").symlink_to(folder / "x")
    with pytest.raises(DataError, match="nest deeper"):
        load_dataset(folder)


def test_folders_without_an_image(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 10, ("x", "y"))
    (folder / "empty").mkdir()
    data = load_dataset(folder)
    assert data.class_names == ("x", "y")
    assert data.notes == ("no image in empty: no class",)
    (tmp_path / "bare" / "empty").mkdir(parents=True)
    with pytest.raises(DataError, match="no class folders, and no image; expected bare/CLASS"):
        load_dataset(tmp_path / "bare")


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    make_classes(tmp_path / "set" / "train", 5, ("x", "y"))
    make_classes(tmp_path / "set" / "val", 5, ("x", "y"))
    make_classes(tmp_path / "set" / "test", 5, ("x", "y", "z"))
    with pytest.raises(DataError, match="no training image for class z"):
        load_dataset(tmp_path / "set")


def test_split_folders_with_a_stranger_among_them(tmp_path: Path) -> None:
    for part in ("train", "test", "extra"):
        make_classes(tmp_path / "set" / part, 3, ("x", "y"))
    with pytest.raises(DataError, match="extra, which is neither"):
        load_dataset(tmp_path / "set")
    for part in ("train", "val", "valid"):
        make_classes(tmp_path / "twice" / part, 3, ("x", "y"))
    with pytest.raises(DataError, match="two validation folders, val and valid; keep one"):
        load_dataset(tmp_path / "twice")
    for part in ("train", "Training"):
        make_classes(tmp_path / "trained" / part, 3, ("x", "y"))
    with pytest.raises(DataError, match="two training folders, Training and train"):
        load_dataset(tmp_path / "trained")


def test_size_and_channels_follow_the_images(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 5, ("x", "y"))
    assert load_dataset(folder).image_shape == (8, 6, 1)
    assert load_dataset(folder, image_size=16).image_shape == (16, 16, 1)
    assert load_dataset(folder, channels=3).image_shape == (8, 6, 3)
    save_image(folder / "x" / "colour.png", 7, colour=True)
    assert load_dataset(folder).image_shape == (8, 6, 3)
    save_image(folder / "x" / "larger.png", 8, size=(9, 6))
    assert load_dataset(folder).image_shape == (64, 64, 3)
    for number in range(4):
        save_image(tmp_path / "big" / "xy"[number % 2] / f"{number}.png", number, size=(230, 230))
    assert load_dataset(tmp_path / "big").image_shape == (64, 64, 1)


@pytest.mark.parametrize(
    "options", [{"image_size": 0}, {"image_size": 5000}, {"channels": 2}, {"samples_per_class": 0}]
)
def test_impossible_options_are_told(tmp_path: Path, options: dict[str, int]) -> None:
    folder = make_classes(tmp_path / "set", 4, ("x", "y"))
    with pytest.raises(DataError, match=str(next(iter(options.values())))):
        load_dataset(folder, **options)  # type: ignore[arg-type]


def test_names_that_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="glyphs and emnist36"):
        load_dataset("glyhps")
    (tmp_path / "notes.txt").write_text("1,2")
    with pytest.raises(DataError, match=r"notes\.txt: not a dataset"):
        load_dataset(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("~nosuchuser/x", "~nosuchuser/x: not a path"),
        ("a" * 300, "aaa: File name too long"),
        ("a\0b", "not a path"),
    ],
)
def test_names_that_are_no_path(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(name)
    folder = make_classes(tmp_path / "set", 3, ("x", "y"))
    with pytest.raises(DataError, match=message):
        write_split(folder, name)


def test_only_unreadable_files_are_not_called_large(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("x", "y"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"2 file\(s\) cannot be read as images"):
        load_dataset(tmp_path / "set")
    assert "larger than" not in caplog.text


def test_the_stamp_sees_what_is_added_and_removed(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 3, ("x", "y"))
    source = FolderSource(folder)
    first = source.stamp()
    assert source.stamp() == first
    save_image(folder / "x" / "sub" / "new.png", 1)
    second = source.stamp()
    os.unlink(folder / "x" / "sub" / "new.png")
    assert len({first, second, source.stamp()}) == 3
