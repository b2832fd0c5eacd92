"""`data split` where a file system has other rules for names than the one that the classes come from."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from convtrials.core.errors import DataError
from convtrials.data import export
from convtrials.data.export import write_split


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Classes that differ by case alone, as in EMNIST."""
    path = tmp_path / "letters.npz"
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(path, images=images, labels=labels, class_names=np.array(["a", "A", "b"]))
    return path


def test_classes_that_become_one_folder_are_refused_and_nothing_is_left(
    letters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_split(letters, tmp_path / "here")
    if sorted(os.listdir(tmp_path / "here" / "train")) != ["A", "a", "b"]:
        pytest.fail("two classes were merged in silence")
    mkdir = Path.mkdir

    def without_case(self: Path, *arguments: int, **options: bool) -> None:
        place = self.with_name(self.name.lower()) if self.name == "A" else self
        mkdir(place, *arguments, **options)

    is_dir = Path.is_dir

    def is_there_in_any_case(self: Path) -> bool:
        return is_dir(self.with_name(self.name.lower()) if self.name == "A" else self)

    monkeypatch.setattr(Path, "mkdir", without_case)
    monkeypatch.setattr(Path, "is_dir", is_there_in_any_case)
    with pytest.raises(DataError, match="no folders of their own for the classes 'A', 'a'") as refused:
        write_split(letters, tmp_path / "there")
    assert "\n" not in str(refused.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["here", "letters.npz"]


def test_an_empty_folder_is_filled_on_windows_too(
    letters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("convtrials.core.files.WINDOWS", True)
    assert sum(write_split(letters, tmp_path / "out").values()) == 60
    assert sorted(os.listdir(tmp_path / "out")) == ["test", "train", "val"]


@pytest.mark.parametrize(
    ("name", "why"),
    [("con", "keeps this name for a device"), ("what?", "allows no '[?]'"), ("a.", "drops dots")],
)
def test_a_class_that_windows_cannot_name_is_refused_there_alone(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.npz"
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(40) % 2, class_names=np.array([name, "b"]))
    if os.name == "posix":
        write_split(path, tmp_path / "here")
        assert (tmp_path / "here" / "train" / name).is_dir()
    monkeypatch.setattr(export, "WINDOWS", True)
    with pytest.raises(DataError, match=f"cannot be a folder's name: Windows {why}"):
        write_split(path, tmp_path / "there")


def test_files_are_linked_or_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(10):
            image = np.full((8, 8), number * 10 + (name == "b"), np.uint8)
            Image.fromarray(image).save(tmp_path / "set" / name / f"{number}.png")
    write_split(tmp_path / "set", tmp_path / "linked", link=True)
    linked = next((tmp_path / "linked").rglob("0.png"))
    assert linked.stat().st_nlink == 2

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(DataError, match=r"cannot be linked to .*leave --link out, files are then copied"):
        write_split(tmp_path / "set", tmp_path / "elsewhere", link=True)
    assert not (tmp_path / "elsewhere").exists()


def test_an_image_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"two")
    with pytest.raises(DataError, match="would overwrite another image"):
        export._place(None, "a.png", tmp_path / "b.png", link=False)
    assert (tmp_path / "b.png").read_bytes() == b"two"
