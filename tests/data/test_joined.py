"""A source for each split: classes by name, sizes over all, and nothing in two splits."""

import os
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from convtrials.cli.data import app
from convtrials.core.errors import ConvtrialsError, DataError
from convtrials.data.check import check_source
from convtrials.data.dataset import Dataset
from convtrials.data.export import write_split
from convtrials.data.open import load_dataset, reopen_dataset, source_name
from convtrials.data.options import DatasetOptions
from convtrials.data.sources.find import find_source
from convtrials.data.sources.frame import Frame
from convtrials.data.store import source_paths


def fill(folder: Path, first: int = 0, size: tuple[int, int] = (8, 6), **counts: int) -> Path:
    """Class folders of images that are all different; each image's class and number stand in its first pixels."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = np.random.default_rng([first, *name.encode(), number]).integers(
                0, 256, size, dtype=np.uint8
            )
            Image.fromarray(pixels).save(folder / name / f"{number:02d}.png")
    return folder


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    return fill(tmp_path / "photos" / "train", 0, cat=20, dog=20, owl=20), fill(
        tmp_path / "exam", 1, owl=4, dog=3
    )


def test_classes_are_matched_by_name(parts: tuple[Path, Path]) -> None:
    train, test = parts
    data = load_dataset(train=train, test=test)
    assert data.name == "photos"
    assert data.class_names == ("cat", "dog", "owl")
    assert data.counts() == {"train": 48, "val": 12, "test": 7}  # val: 15/85 of 20 is 3.5, three times
    paths = source_paths(data) or ()
    for row, path in enumerate(paths):
        part, name, file = path.split("/")
        assert (part == "test") == (data.split[row] == 2)
        assert data.class_names[data.labels[row]] == name
        own = (test if part == "test" else train) / name / file
        np.testing.assert_array_equal(data.images[row, ..., 0], np.asarray(Image.open(own)))


def test_val_and_test_are_kept_as_given(parts: tuple[Path, Path], tmp_path: Path) -> None:
    val = fill(tmp_path / "val", 2, cat=2, dog=2)
    data = load_dataset(parts[0], val=val, test=parts[1])
    assert data.counts() == {"train": 60, "val": 4, "test": 7}


def test_one_class_is_enough_for_a_test(parts: tuple[Path, Path], tmp_path: Path) -> None:
    assert load_dataset(parts[0], test=fill(tmp_path / "dogs", 3, dog=3)).counts()["test"] == 3


def test_a_decomposed_name_is_the_same_class(tmp_path: Path) -> None:
    spelled = {form: unicodedata.normalize(form, "café") for form in ("NFC", "NFD")}
    train = fill(tmp_path / "a", 0, **{spelled["NFC"]: 6, "dog": 6})
    test = fill(tmp_path / "b", 1, **{spelled["NFD"]: 2, "dog": 2})
    assert load_dataset(train, test=test).counts()["test"] == 4


def test_arrays_and_files_together(parts: tuple[Path, Path], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 6), dtype=np.uint8)
    names = np.array(["dog", "cat", "owl"])[np.arange(30) % 3]
    np.savez(tmp_path / "more.npz", images=images, labels=names)
    data = load_dataset(parts[0], test=tmp_path / "more.npz")
    assert data.image_shape == (8, 6, 1)
    rows = data.indices("test")
    np.testing.assert_array_equal(data.images[rows][..., 0], images)
    assert [data.class_names[label] for label in data.labels[rows]] == names.tolist()
    assert source_paths(data) is None
    larger = load_dataset(parts[0], test=tmp_path / "more.npz", image_size=5)
    assert larger.image_shape == (5, 5, 1)
    report = check_source(find_source(parts[0], DatasetOptions.make({"test": tmp_path / "more.npz"})))
    assert report.splits == {"train": 48, "val": 12, "test": 30}
    counts = write_split(tmp_path / "more.npz", tmp_path / "out", test=parts[1])
    assert counts == {"train": 24, "val": 6, "test": 7}
    assert load_dataset(tmp_path / "out").counts() == counts


def test_sizes_and_channels_are_those_of_all(parts: tuple[Path, Path], tmp_path: Path) -> None:
    other = fill(tmp_path / "other", 4, (9, 9), cat=2)
    Image.new("RGB", (9, 9), (200, 0, 0)).save(other / "cat" / "red.png")
    assert load_dataset(parts[0], test=other).image_shape == (64, 64, 3)


def test_a_leak_between_two_folders_is_found(parts: tuple[Path, Path]) -> None:
    train, test = parts
    os.link(train / "dog" / "03.png", test / "dog" / "copy.png")
    (test / "notes.txt").write_text("x")
    (test / "owl" / "bad.png").write_bytes(b"x")
    report = check_source(find_source(train, DatasetOptions.make({"test": test})))
    found = {one.kind: one.items for one in report.findings}
    assert found["leakage"] == ("train/dog/03.png = test/dog/copy.png",)
    assert found["not-an-image"] == ("test/notes.txt",)
    assert found["unreadable"][0].startswith("test/owl/bad.png: ")
    with pytest.raises(DataError, match=r"test/owl/bad\.png"):
        load_dataset(train, test=test)
    data = load_dataset(train, test=test, skip_bad=True)
    assert [bad["path"] for bad in data.manifest["quarantined"]] == ["test/owl/bad.png"]


def test_what_is_refused(parts: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = parts
    with pytest.raises(DataError, match="given for train and for test"):
        load_dataset(train, test=train)
    with pytest.raises(DataError, match=r"lies within .*so that images of test would be in train"):
        load_dataset(train, test=train / "cat")
    with pytest.raises(DataError, match="images of train would be in val"):
        load_dataset(train, val=train.parent, test=test)
    for name in ("train", "test"):
        fill(tmp_path / "split" / name, 5, cat=3, dog=3)
    with pytest.raises(DataError, match="is split itself, and was given as the images of test"):
        load_dataset(train, test=tmp_path / "split")
    with pytest.raises(DataError, match=r"no images to train on for class emu .*cat, dog, owl"):
        load_dataset(train, test=fill(tmp_path / "emu", 6, cat=2, emu=2))
    with pytest.raises(DataError, match="there is 'cat', which looks like 'Cat'"):
        load_dataset(train, test=fill(tmp_path / "case", 6, Cat=2, dog=2))
    with pytest.raises(DataError, match="no such file or folder"):
        load_dataset(train, test=tmp_path / "nowhere")


def test_case_across_the_splits_of_one_folder(tmp_path: Path) -> None:
    fill(tmp_path / "set" / "train", 0, Cat=4, dog=4)
    fill(tmp_path / "set" / "val", 1, cat=2, dog=2)
    with pytest.raises(DataError, match="no training image for class cat; there is 'Cat'"):
        load_dataset(tmp_path / "set")


def test_a_change_in_any_part_is_seen(parts: tuple[Path, Path]) -> None:
    train, test = parts
    before = load_dataset(train, test=test)
    assert load_dataset(train, test=test).folder == before.folder
    fill(test, 9, cat=1)
    assert load_dataset(train, test=test).counts()["test"] == 8


def test_a_record_opens_it_again(parts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = parts
    monkeypatch.chdir(train.parent)
    data = load_dataset(train="train", test="../exam")
    record = {
        "name": data.name,
        "pack": None,
        "source": source_name(data),
        "options": data.manifest["options"],
        "fingerprint": data.fingerprint,
    }
    assert record["source"] == str(train)
    assert record["options"]["test"] == str(test)
    monkeypatch.chdir("/")
    assert reopen_dataset(record).fingerprint == data.fingerprint


def test_it_travels_to_other_processes(parts: tuple[Path, Path]) -> None:
    source = find_source(parts[0], DatasetOptions.make({"test": parts[1]}))
    listing = source.scan()
    copy = pickle.loads(pickle.dumps(source))
    frame = Frame((8, 6, 1))
    np.testing.assert_array_equal(copy.read(55, 65, frame)[0], source.read(55, 65, frame)[0])
    assert listing.paths is not None
    assert copy.path_of(62) == listing.paths[62]
    assert copy.native(62, Frame()).shape == (8, 6, 1)


def test_files_are_written_by_split_and_class(parts: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_split(parts[0], out, test=parts[1]) == {"train": 48, "val": 12, "test": 7}
    assert (out / "test" / "owl" / "03.png").read_bytes() == (parts[1] / "owl" / "03.png").read_bytes()
    with pytest.raises(DataError, match="lies within the source"):
        write_split(parts[0], parts[1] / "out", test=parts[1])


def sampled(path: Path, writers: list[str], **names: object) -> Path:
    count = len(writers)
    images = np.random.default_rng(count).integers(0, 256, (count, 4, 4), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % 2, writers=np.array(writers), **names)  # type: ignore[arg-type]
    return path


def test_groups_are_joined_by_name(tmp_path: Path) -> None:
    train = sampled(tmp_path / "a.npz", ["ann", "bob", "cid", "dan"] * 3)
    test = sampled(tmp_path / "b.npz", ["eve", "bob"] * 2)
    data = load_dataset(train, test=test)
    assert data.groups is not None
    assert [data.group_names[data.groups[row]] for row in data.indices("test")] == ["eve", "bob"] * 2
    assert data.notes == ("1 writer(s) of train are in another split as well: bob",)
    np.savez(tmp_path / "c.npz", images=np.zeros((4, 4, 4), np.uint8), labels=np.arange(4) % 2)
    without = load_dataset(train, test=tmp_path / "c.npz")
    assert without.groups is None
    assert without.notes == ("groups are left out: only the images of train have them",)


def test_the_command_line(parts: tuple[Path, Path]) -> None:
    words = ["--train", str(parts[0]), "--test", str(parts[1])]
    info = CliRunner().invoke(app, ["info", *words])
    assert "48 train, 12 val, 7 test" in info.stdout
    check = CliRunner().invoke(app, ["check", *words])
    assert check.exit_code == 0, check.exception
    both = CliRunner().invoke(app, ["info", str(parts[0]), *words])
    assert isinstance(both.exception, ConvtrialsError)


def test_notes_of_parts_say_whose_they_are(parts: tuple[Path, Path], tmp_path: Path) -> None:
    data: Dataset = load_dataset(parts[0], test=fill(tmp_path / "x" / "inner", 8, cat=3, dog=3).parent)
    assert data.notes == ("test: the dataset is inner/, the only folder with images",)
