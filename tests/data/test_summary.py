"""The first lines on a dataset: short, and nothing that matters left unsaid."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset
from convtrials.data.summary import MOST_LINES, class_counts, summary_lines


def save(path: Path, shape: tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*str(path).encode()]).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def intel(tmp_path: Path) -> Path:
    """Kaggle's Intel scenes, small: two sizes, a grey image, images to predict."""
    folder = tmp_path / "intel"
    for part, count in (("train", 10), ("test", 3)):
        for name in ("forest", "sea"):
            for number in range(count):
                save(folder / f"seg_{part}" / f"seg_{part}" / name / f"{number}.png", (20, 30, 3))
    save(folder / "seg_train/seg_train/sea/large.png", (50, 40, 3))
    save(folder / "seg_train/seg_train/sea/grey.png", (20, 30))
    for number in range(5):
        save(folder / "seg_pred" / "seg_pred" / f"{number}.png", (20, 30, 3))
    return folder


def test_what_was_asked_is_what_is_said(intel: Path) -> None:
    data = load_dataset(intel)
    assert summary_lines(data) == [
        "intel: 28 images of 2 classes: forest 13, sea 15",
        "  18 train, 4 val, 6 test (split by the source; val cut from train, seed 0); 64 x 64 pixels, colour",
        "  at the source: 20 x 30 to 50 x 40 pixels, 27 in colour and 1 grey",
        "  note: left out: 5 image(s) in seg_pred/, which is no class folder",
        "  note: splits: train is seg_train/seg_train/, test is seg_test/seg_test/",
        "  note: 5 file(s) ignored in all, no images of a class: convtrials data check names them",
    ]
    assert summary_lines(load_dataset(intel)) == summary_lines(data)  # opened, not packed
    assert class_counts(data)["sea"] == {"train": 10, "val": 2, "test": 3}


def test_it_is_short_however_much_there_is_to_say(intel: Path) -> None:
    for name in ("a", "b"):
        (intel / name).mkdir()
        save(intel / f"{name}.png", (20, 30, 3))
    (intel / "seg_test/seg_test/sea/bad.png").write_bytes(b"x")
    data = load_dataset(intel, skip_bad=True)
    lines = summary_lines(data)
    assert len(lines) == MOST_LINES
    assert lines[-1].startswith("  and ")
    every = summary_lines(data, None)
    assert len(every) > MOST_LINES
    assert every[:3] == lines[:3]


def test_arrays_have_a_summary_too() -> None:
    images = np.zeros((60, 8, 8), np.uint8)
    data = Dataset.from_arrays(images, [f"a class with a rather long name {n % 12:02d}" for n in range(60)])
    lines = summary_lines(data)
    assert len(lines) == 2
    assert lines[0].startswith("arrays: 60 images of 12 classes: a class with a rather l… 5, ")
    assert lines[0].endswith(" and 4 more")


def test_only_the_splits_that_were_drawn_are_said_to_be(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for name in ("a", "b"):
            for number in range(4):
                save(tmp_path / "three" / part / name / f"{number}.png", (8, 8))
                save(tmp_path / "none" / name / f"{part}-{number}.png", (8, 8))
    assert "8 test (split by the source);" in summary_lines(load_dataset(tmp_path / "three"))[1]
    assert (
        "4 test (split by convtrials, seed 3);"
        in summary_lines(load_dataset(tmp_path / "none", split_seed=3))[1]
    )


def test_groups_that_are_kept_whole_are_counted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(24):
            save(tmp_path / "scans" / name / f"p{number // 2:02d}_{number}.png", (8, 8))
    data = load_dataset(tmp_path / "scans", groups=r"/(?P<patient>p\d+)_")
    assert "split by convtrials, seed 0; 12 patients kept whole)" in summary_lines(data)[1]
