"""``convtrials data``: what a person types, and what comes of it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from convtrials.cli.data import app
from convtrials.core.errors import ConvtrialsError, DataError
from convtrials.data.open import load_dataset
from convtrials.data.store import source_paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of 20 different images, one of them with a folder inside."""
    for label in range(3):
        for number in range(20):
            deep = "deep/" if (label, number) == (1, 7) else ""
            file = tmp_path / "set" / f"c{label}" / f"{deep}{number:02d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(100 * label + number).integers(0, 256, (6, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
    return tmp_path / "set"


def call(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, ConvtrialsError):
        raise result.exception
    return result


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_pack_and_info_tell_what_there_is(folder: Path) -> None:
    packed = call("pack", folder, "--image-size", 8, "--ratios", "0.5,0.25,0.25", "--seed", 3, "--json")
    facts = json.loads(packed.stdout)
    assert facts["shape"] == [8, 8, 1]
    assert facts["counts"] == {"train": 30, "val": 15, "test": 15}
    data = load_dataset(folder, image_size=8, ratios=(0.5, 0.25, 0.25), split_seed=3)
    assert (facts["fingerprint"], facts["folder"]) == (data.fingerprint, str(data.folder))
    told = call("info", folder).stdout
    assert "60 images of 3 classes: c0 20, c1 20, c2 20" in told
    assert "6 x 6 pixels, grey" in told
    assert "42 train, 9 val, 9 test" in told


def test_fewer_samples_and_colour(folder: Path) -> None:
    facts = json.loads(call("pack", folder, "--samples-per-class", 5, "--channels", 3, "--json").stdout)
    assert facts["class_counts"] == [5, 5, 5]
    assert facts["shape"] == [6, 6, 3]


def test_classes_are_chosen_by_name(folder: Path, tmp_path: Path) -> None:
    facts = json.loads(call("pack", folder, "--classes", "c0, c2", "--json").stdout)
    assert facts["class_names"] == ["c0", "c2"]
    call("split", folder, tmp_path / "out", "--classes", "c0,c2")
    assert sorted(entry.name for entry in (tmp_path / "out" / "train").iterdir()) == ["c0", "c2"]
    with pytest.raises(DataError, match="did you mean c1"):
        call("info", folder, "--classes", "c0,c11")


def test_split_writes_the_split_that_loading_has(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "42 train, 9 val, 9 test" in call("split", folder, out, "--seed", 5).stdout
    data = load_dataset(folder, split_seed=5)
    parts = ("train", "val", "test")
    paths = source_paths(data) or ()
    expected = sorted(f"{parts[code]}/{path}" for code, path in zip(data.split, paths, strict=True))
    assert files(out) == expected
    for name in expected:
        assert (out / name).read_bytes() == (folder / name.split("/", 1)[1]).read_bytes()
    again = load_dataset(out)
    assert again.counts() == data.counts()
    assert again.class_names == data.class_names


def test_split_links_instead_of_copying(folder: Path, tmp_path: Path) -> None:
    call("split", folder, tmp_path / "out", "--link")
    name = files(tmp_path / "out")[0]
    assert os.path.samefile(tmp_path / "out" / name, folder / name.split("/", 1)[1])


def test_split_of_a_split_folder_changes_nothing(folder: Path, tmp_path: Path) -> None:
    call("split", folder, tmp_path / "one")
    call("split", tmp_path / "one", tmp_path / "two", "--seed", 9)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_split_of_arrays_writes_png(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 250, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", x=images, y=np.arange(40) % 2, class_names=["no", "yes"])
    call("split", tmp_path / "set.npz", tmp_path / "out")
    data = load_dataset(tmp_path / "set.npz", channels=3)
    for place in range(40):
        part = ("train", "val", "test")[data.split[place]]
        file = tmp_path / "out" / part / ("no", "yes")[place % 2] / f"{place:07d}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(file)), images[place])
    with pytest.raises(DataError, match="no image files to link"):
        call("split", tmp_path / "set.npz", tmp_path / "linked", "--link")


def test_split_overwrites_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    call("split", folder, out)  # an empty folder is fine
    before = files(out)
    with pytest.raises(DataError, match="not empty; nothing is overwritten"):
        call("split", folder, out)
    with pytest.raises(DataError, match="within the source"):
        call("split", folder, folder / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="exists and is not empty"):
        call("split", folder, tmp_path / "file")
    assert files(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out", "set"]


def test_split_refuses_class_names_that_lead_out(tmp_path: Path) -> None:
    images = np.zeros((8, 4, 4), np.uint8)
    np.savez(tmp_path / "set.npz", x=images, y=np.arange(8) % 2, class_names=["../out", "b"])
    with pytest.raises(DataError, match="cannot be a folder's name"):
        call("split", tmp_path / "set.npz", tmp_path / "sub" / "out")
    assert not (tmp_path / "sub").exists()


def test_bad_files_stop_pack_and_are_skipped_on_demand(folder: Path, tmp_path: Path) -> None:
    (folder / "c0" / "03.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"c0/03\.png.*\n.*--skip-bad"):
        call("pack", folder)
    facts = json.loads(call("pack", folder, "--skip-bad", "--json").stdout)
    assert facts["quarantined"] == [{"path": "c0/03.png", "reason": "not an image that Pillow can read"}]
    assert "left out: 1 unreadable file(s), such as c0/03.png" in call("info", folder, "--skip-bad").stdout
    call("split", folder, tmp_path / "out", "--skip-bad")
    data = load_dataset(folder, skip_bad=True)
    assert len(files(tmp_path / "out")) == 59
    parts = ("train", "val", "test")
    paths = source_paths(data) or ()
    assert files(tmp_path / "out") == sorted(
        f"{parts[c]}/{p}" for c, p in zip(data.split, paths, strict=True)
    )


def test_check_ends_with_0_for_notes_and_1_for_what_spoils(folder: Path) -> None:
    (folder / "c0" / "notes.txt").write_text("hello")
    clean = call("check", folder)
    assert clean.exit_code == 0
    assert "Nothing here would spoil a result" not in clean.stdout
    assert "some results would say little" in clean.stdout
    assert "c0: 3" in clean.stdout
    assert "c0/notes.txt" in clean.stdout
    for number in range(20):
        (folder / "c1" / f"x{number}.png").write_bytes((folder / "c0" / f"{number:02d}.png").read_bytes())
    spoiled = call("check", folder)
    assert spoiled.exit_code == 1
    assert "20 picture(s) under more than one class" in spoiled.stdout
    assert "... and 12 more" in spoiled.stdout
    report = call("check", folder, "--json")
    assert report.exit_code == 1
    facts = json.loads(report.stdout)
    assert facts["spoiled"]
    assert len(next(f for f in facts["findings"] if f["kind"] == "label-conflict")["items"]) == 20


def test_a_check_without_findings_says_so(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (680, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.repeat([0, 1], 340))
    clean = call("check", tmp_path / "a.npz")
    assert clean.exit_code == 0
    assert clean.stdout.endswith("Nothing here would spoil a result.\n")
    # With half of the images there is nothing wrong either, and less can be told.
    np.savez(tmp_path / "b.npz", images=images[::2], labels=np.repeat([0, 1], 170))
    few = call("check", tmp_path / "b.npz")
    assert few.exit_code == 0
    assert "Nothing here would spoil a result" not in few.stdout
    assert "val has 52 images" in few.stdout


@pytest.mark.parametrize("ratios", ["0.5,0.5", "a,b,c", "0.8,0.3,0.1"])
@pytest.mark.parametrize("verb", ["pack", "info", "check"])
def test_wrong_ratios_are_told(folder: Path, verb: str, ratios: str) -> None:
    with pytest.raises(DataError, match=r"0\.7,0\.15,0\.15"):
        call(verb, folder, "--ratios", ratios)


@pytest.mark.parametrize("verb", ["pack", "info", "check", "split"])
def test_a_missing_source_is_told(tmp_path: Path, verb: str) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        call(verb, tmp_path / "nowhere", *([tmp_path / "out"] if verb == "split" else []))


def test_the_seed_of_the_split_has_the_name_that_train_uses(folder: Path) -> None:
    found = [
        json.loads(call("pack", folder, flag, 3, "--json").stdout)["fingerprint"]
        for flag in ("--split-seed", "--seed")
    ]
    assert found == [load_dataset(folder, split_seed=3).fingerprint] * 2
