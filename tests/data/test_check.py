"""The check names what is wrong, and nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convtrials.data.check import CheckReport, Finding, check_source
from convtrials.data.open import load_dataset
from convtrials.data.options import DatasetOptions
from convtrials.data.sources.find import find_source
from convtrials.data.store import source_paths


def save_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Two classes of 20 different images."""
    for label, name in enumerate(("x", "y")):
        for number in range(20):
            save_image(tmp_path / "whole" / name / f"{number:02d}.png", 100 * label + number)
    return tmp_path / "whole"


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """Two classes, split in folders, all images different."""
    for code, (part, count) in enumerate({"train": 10, "val": 4, "test": 4}.items()):
        for label, name in enumerate(("x", "y")):
            for number in range(count):
                save_image(
                    tmp_path / "parted" / part / name / f"{number:02d}.png",
                    1000 * code + 100 * label + number,
                )
    return tmp_path / "parted"


def check(folder: Path) -> tuple[CheckReport, dict[str, Finding]]:
    report = check_source(find_source(folder))
    return report, {finding.kind: finding for finding in report.findings}


#: What is found of every folder as small as these.
FEW = {"few-test-images", "small-split"}


def arrays(tmp_path: Path, **counts: int) -> Path:
    """An .npz of different images, so many of each class."""
    labels = np.repeat(np.arange(len(counts)), list(counts.values()))
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 6, 6), dtype=np.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, images=images, labels=labels, class_names=np.array(list(counts)))
    return path


def test_a_clean_dataset_has_no_findings(tmp_path: Path) -> None:
    report, found = check(arrays(tmp_path, x=340, y=340))
    assert not found
    assert not report.spoiled
    assert not report.too_few
    assert report.splits == {"train": 476, "val": 102, "test": 102}


def test_small_folders_are_sound_and_say_little(whole: Path, parted: Path) -> None:
    for folder in (whole, parted):
        report, found = check(folder)
        assert set(found) == FEW
        assert not report.spoiled
        assert report.too_few
        assert report.as_dict()["too_few"]
    assert check(whole)[0].splits == {"train": 28, "val": 6, "test": 6}
    summaries = [finding.summary for finding in check(whole)[0].findings if finding.kind == "small-split"]
    # Clopper-Pearson of 3 in 6: 11.8% to 88.2%.
    assert [told.split(",")[0] for told in summaries] == [
        "val has 6 images: the 95% interval of an accuracy on so few is up to 76 points wide",
        "test has 6 images: the 95% interval of an accuracy on so few is up to 76 points wide",
    ]


def test_a_class_with_few_test_images_is_named(tmp_path: Path) -> None:
    # 1,000 x, 60 y and 10 z: 150, 9 and 1 in the test split.
    report, found = check(arrays(tmp_path, x=1000, y=60, z=10))
    assert found["few-test-images"].items == ("y: 9", "z: 1")
    assert found["few-test-images"].summary.startswith("2 classes have fewer than 10 test images")
    assert "--ratios" in found["few-test-images"].remedy  # y has images enough for it
    assert not found["few-test-images"].spoils
    assert not report.spoiled
    assert report.too_few
    one = check(arrays(tmp_path, x=1000, y=70, z=10))[1]["few-test-images"]
    assert one.items == ("z: 1",)
    assert one.summary == "z has 1 test image: too few to say how well it is recognised"
    assert one.remedy == "more images of them"
    assert "few-test-images" not in check(arrays(tmp_path, x=1000, y=70))[1]


def test_other_ratios_are_not_advised_where_the_source_is_split(parted: Path) -> None:
    assert check(parted)[1]["few-test-images"].remedy == "more images of them"


def test_a_split_that_nobody_asked_for_is_not_too_small(whole: Path) -> None:
    report = check_source(find_source(whole), DatasetOptions(ratios=(0.8, 0.2, 0.0)))
    assert [finding.summary[:3] for finding in report.findings] == ["val"]


def test_unreadable_files_are_named(whole: Path) -> None:
    (whole / "x" / "03.png").write_bytes((whole / "x" / "03.png").read_bytes()[:60])
    (whole / "y" / "04.png").write_bytes(b"")
    report, found = check(whole)
    assert report.spoiled
    assert report.bad == 2
    assert found["unreadable"].items[0].startswith("x/03.png: ")
    assert found["unreadable"].items[1] == "y/04.png: empty file"


def test_empty_classes_and_strangers(whole: Path) -> None:
    (whole / "z").mkdir()
    (whole / "x" / "notes.txt").write_text("hello")
    report, found = check(whole)
    assert report.spoiled
    assert found["empty-class"].items == ("z",)
    assert found["not-an-image"].items == ("x/notes.txt",)
    assert not found["not-an-image"].spoils


def test_a_class_of_unreadable_files_is_an_empty_class(whole: Path) -> None:
    (whole / "z").mkdir()
    (whole / "z" / "a.png").write_text("no image")
    assert check(whole)[1]["empty-class"].items == ("z",)


def test_one_picture_under_two_classes(parted: Path) -> None:
    shutil.copy(parted / "train" / "x" / "00.png", parted / "train" / "y" / "copy.png")
    report, found = check(parted)
    assert report.spoiled
    assert found["label-conflict"].items == ("train/x/00.png = train/y/copy.png",)
    assert "leakage" not in found


def test_one_picture_in_two_splits_whatever_its_format(parted: Path) -> None:
    Image.open(parted / "train" / "x" / "00.png").convert("RGB").save(parted / "test" / "x" / "again.bmp")
    report, found = check(parted)
    assert report.spoiled
    assert found["leakage"].items == ("train/x/00.png = test/x/again.bmp",)
    assert set(found) == {"leakage", *FEW}


def test_a_copy_within_class_and_split_is_a_note(parted: Path) -> None:
    shutil.copy(parted / "train" / "x" / "00.png", parted / "train" / "x" / "copy.png")
    report, found = check(parted)
    assert not report.spoiled
    assert found["duplicate"].items == ("train/x/00.png = train/x/copy.png",)


def test_what_would_leak_is_what_the_split_of_loading_parts(whole: Path) -> None:
    for number in range(10):
        shutil.copy(whole / "x" / f"{number:02d}.png", whole / "x" / f"copy{number:02d}.png")
    data = load_dataset(whole)
    split = dict(zip(source_paths(data) or (), data.split.tolist(), strict=True))
    apart = {n for n in range(10) if split[f"x/{n:02d}.png"] != split[f"x/copy{n:02d}.png"]}
    assert 0 < len(apart) < 10
    found = check(whole)[1]
    assert {int(item[2:4]) for item in found["leakage"].items} == apart
    assert len(found["duplicate"].items) == 10 - len(apart)
    assert "would be" in found["leakage"].summary


def test_missing_in_a_split(parted: Path) -> None:
    shutil.rmtree(parted / "test" / "y")
    report, found = check(parted)
    assert found["missing-in-split"].summary == "1 class(es) without an image in test"
    assert not report.spoiled
    shutil.rmtree(parted / "train" / "y")
    assert check(parted)[0].spoiled


def test_imbalance_is_a_note(whole: Path) -> None:
    for number in range(5, 20):
        (whole / "y" / f"{number:02d}.png").unlink()
    report, found = check(whole)
    assert not report.spoiled
    assert "4.0 times" in found["imbalance"].summary


def test_arrays_are_checked_too(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
    images[25] = images[3]
    np.savez(tmp_path / "a.npz", x=images, y=np.repeat([0, 1], 20))
    report, found = check(tmp_path / "a.npz")
    assert found["label-conflict"].items[0].startswith("image 3 (class 0, ")
    assert report.images == 40


def test_the_real_characters_are_sound(real_characters: Path) -> None:
    report, found = check(real_characters)
    assert not report.spoiled
    assert set(found) == {"imbalance"}
    assert report.splits == {"train": 69_955, "val": 6_100, "test": 12_750}
