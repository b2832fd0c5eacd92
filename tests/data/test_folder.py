"""Folders of class folders, whole and split, and what lies about in them."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.data.open import load_dataset
from convtrials.data.sources.folder import FolderSource
from convtrials.data.store import source_paths


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
    data = load_dataset(folder, silent=True)
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
    data = load_dataset(tmp_path / "out", silent=True)
    assert data.class_names == ("10", "9", "a", "b")
    assert data.counts() == {"train": 48, "val": 16, "test": 16}
    for place, path in enumerate(source_paths(data) or ()):
        assert ("train", "val", "test")[data.split[place]] == path.split("/")[0]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_names_of_the_validation_folder(tmp_path: Path, name: str) -> None:
    for part, count in (("train", 8), (name, 3), ("test", 4)):
        make_classes(tmp_path / "set" / part, count, ("x", "y"))
    assert load_dataset(tmp_path / "set", silent=True).counts() == {"train": 16, "val": 6, "test": 8}


def test_an_absent_split_is_taken_from_train(tmp_path: Path) -> None:
    for part in ("train", "test"):
        make_classes(tmp_path / "no-val" / part, 17, ("x", "y"))
    assert load_dataset(tmp_path / "no-val", silent=True).counts() == {"train": 28, "val": 6, "test": 34}
    make_classes(tmp_path / "train-only" / "train", 20, ("x", "y"))
    assert load_dataset(tmp_path / "train-only", silent=True).counts() == {"train": 28, "val": 6, "test": 6}


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    make_classes(tmp_path / "set", 10, ("test", "train", "tram"))
    assert load_dataset(tmp_path / "set", silent=True).class_names == ("test", "train", "tram")


def test_folders_in_class_folders_clutter_and_strangers(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 10, ("x", "y"))
    save_image(folder / "x" / "deep" / "er" / "one.PNG", 5)
    for stray in ("x/notes.txt", "readme.md", "x/.hidden.png", "y/Thumbs.db", ".DS_Store"):
        (folder / stray).write_text("no image")
    contents = FolderSource(folder).contents()
    assert contents.strangers == ("readme.md", "x/notes.txt")
    assert len(contents.paths) == 21
    assert "x/deep/er/one.PNG" in contents.paths
    assert len(load_dataset(folder, silent=True)) == 21


def test_a_link_that_leads_back_is_told(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 3, ("x", "y"))
    (folder / "x" / "again").symlink_to(folder / "x")
    with pytest.raises(DataError, match="nest deeper"):
        load_dataset(folder, silent=True)


@pytest.mark.parametrize("per_class", [0, 1])
def test_folders_that_are_no_dataset(tmp_path: Path, per_class: int) -> None:
    folder = make_classes(tmp_path / "set", per_class, ("x", "y"))
    folder.mkdir(exist_ok=True)
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="no image in class empty"):
        load_dataset(folder, silent=True)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no class folders; expected bare/CLASS"):
        load_dataset(tmp_path / "bare", silent=True)


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    make_classes(tmp_path / "set" / "train", 5, ("x", "y"))
    make_classes(tmp_path / "set" / "val", 5, ("x", "y"))
    make_classes(tmp_path / "set" / "test", 5, ("x", "y", "z"))
    with pytest.raises(DataError, match="no training image for class z"):
        load_dataset(tmp_path / "set", silent=True)


def test_split_folders_with_a_stranger_among_them(tmp_path: Path) -> None:
    for part in ("train", "test", "extra"):
        make_classes(tmp_path / "set" / part, 3, ("x", "y"))
    with pytest.raises(DataError, match="extra, which is neither"):
        load_dataset(tmp_path / "set", silent=True)
    for part in ("train", "val", "valid"):
        make_classes(tmp_path / "twice" / part, 3, ("x", "y"))
    with pytest.raises(DataError, match="two validation folders"):
        load_dataset(tmp_path / "twice", silent=True)


def test_size_and_channels_follow_the_images(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 5, ("x", "y"))
    assert load_dataset(folder, silent=True).image_shape == (8, 6, 1)
    assert load_dataset(folder, silent=True, image_size=16).image_shape == (16, 16, 1)
    assert load_dataset(folder, silent=True, channels=3).image_shape == (8, 6, 3)
    save_image(folder / "x" / "colour.png", 7, colour=True)
    assert load_dataset(folder, silent=True).image_shape == (8, 6, 3)
    save_image(folder / "x" / "larger.png", 8, size=(9, 6))
    assert load_dataset(folder, silent=True).image_shape == (64, 64, 3)
    for number in range(4):
        save_image(tmp_path / "big" / "xy"[number % 2] / f"{number}.png", number, size=(230, 230))
    assert load_dataset(tmp_path / "big", silent=True).image_shape == (64, 64, 1)


@pytest.mark.parametrize(
    "options", [{"image_size": 0}, {"image_size": 5000}, {"channels": 2}, {"samples_per_class": 0}]
)
def test_impossible_options_are_told(tmp_path: Path, options: dict[str, int]) -> None:
    folder = make_classes(tmp_path / "set", 4, ("x", "y"))
    with pytest.raises(DataError, match=str(next(iter(options.values())))):
        load_dataset(folder, silent=True, **options)  # type: ignore[arg-type]


def test_names_that_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="glyphs and emnist36"):
        load_dataset("glyhps", silent=True)
    (tmp_path / "table.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"table\.csv: a file of this kind"):
        load_dataset(tmp_path / "table.csv", silent=True)


def test_the_stamp_sees_what_is_added_and_removed(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "set", 3, ("x", "y"))
    source = FolderSource(folder)
    first = source.stamp()
    assert source.stamp() == first
    save_image(folder / "x" / "sub" / "new.png", 1)
    second = source.stamp()
    os.unlink(folder / "x" / "sub" / "new.png")
    assert len({first, second, source.stamp()}) == 3
