"""Parquet: snapshots from Hugging Face, pixels, paths, and files that are damaged."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from little_tables import CLASSES, PIXELS, check_pixels, labels, refusal, write_images
from PIL import Image

from convtrials.data.check import check_source
from convtrials.data.export import write_split
from convtrials.data.open import load_dataset
from convtrials.data.sources import table_parquet
from convtrials.data.sources.find import find_source

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def snapshot(path: Path, first: int, last: int, *, named: bool = True, rows: int = 7, **change: Any) -> Path:
    """Write images as Hugging Face's library does: a struct of bytes and path, numbers, names in the schema."""
    places = range(first, last)
    images = [{"bytes": png(PIXELS[n]), "path": f"{n:03d}.png"} for n in places]
    for place, value in change.get("images", {}).items():
        images[place] = value
    table = pyarrow.table(
        {
            "image": pyarrow.array(
                images, pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
            ),
            "label": change.get("labels", [n % 4 for n in places]),
        }
    )
    features = {"image": {"_type": "Image"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    if named:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=rows)
    return path


def test_a_snapshot(tmp_path: Path) -> None:
    snapshot(tmp_path / "data" / "train-00000-of-00002.parquet", 0, 16)
    snapshot(tmp_path / "data" / "train-00001-of-00002.parquet", 16, 28)
    snapshot(tmp_path / "data" / "test-00000-of-00001.parquet", 28, 40)
    data = load_dataset(tmp_path)
    check_pixels(data)
    assert data.class_names == CLASSES
    np.testing.assert_array_equal(data.labels, np.arange(40) % 4)
    assert (data.split[28:] == 2).all()
    assert data.counts()["test"] == 12
    assert data.counts()["val"] >= 4
    assert "class names from the file" in data.notes


def test_the_converted_branch(tmp_path: Path) -> None:
    snapshot(tmp_path / "default" / "train" / "0000.parquet", 0, 20)
    snapshot(tmp_path / "default" / "validation" / "0000.parquet", 20, 30)
    snapshot(tmp_path / "default" / "test" / "0000.parquet", 30, 40)
    data = load_dataset(tmp_path)
    assert data.counts() == {"train": 20, "val": 10, "test": 10}
    check_pixels(data)


def test_one_file_without_names(tmp_path: Path) -> None:
    file = snapshot(tmp_path / "t.parquet", 0, 40, named=False)
    data = load_dataset(file)
    check_pixels(data)
    assert data.class_names == ("0", "1", "2", "3")


def test_unlabelled_rows_are_left_out(tmp_path: Path) -> None:
    file = snapshot(tmp_path / "t.parquet", 0, 40, labels=[-1 if n < 4 else n % 4 for n in range(40)])
    check_pixels(load_dataset(file), PIXELS[4:])
    wrong = snapshot(tmp_path / "w.parquet", 0, 40, labels=[9 if n == 4 else n % 4 for n in range(40)])
    assert "line 5: label '9' has no name" in refusal(wrong)


def test_a_column_of_bytes(tmp_path: Path) -> None:
    table = pyarrow.table(
        {"picture": [png(image) for image in PIXELS], "species": labels(), "image_id": range(40)}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "t.parquet")
    check_pixels(data)
    assert [data.class_names[code] for code in data.labels] == labels()


def test_paths_and_pixels(tmp_path: Path) -> None:
    names = write_images(tmp_path / "images")
    parquet.write_table(pyarrow.table({"file": names, "label": labels()}), tmp_path / "paths.parquet")
    check_pixels(load_dataset(tmp_path / "paths.parquet"))
    columns = {f"pixel{n}": PIXELS.reshape(40, 36)[:, n] for n in range(36)}
    parquet.write_table(pyarrow.table({"label": labels(), **columns}), tmp_path / "pixels.parquet")
    check_pixels(load_dataset(tmp_path / "pixels.parquet"))
    decimals = {name: column / 255 for name, column in columns.items()}
    parquet.write_table(pyarrow.table({"label": labels(), **decimals}), tmp_path / "decimals.parquet")
    check_pixels(load_dataset(tmp_path / "decimals.parquet"))


def test_bad_images_are_named_and_left_out(tmp_path: Path) -> None:
    images = {3: {"bytes": b"no picture", "path": "odd.png"}, 5: {"bytes": None, "path": None}, 6: None}
    file = snapshot(tmp_path / "t.parquet", 0, 40, images=images)
    text = refusal(file)
    assert "row 4 (odd.png)" in text
    assert "row 6: no image in this row" in text
    data = load_dataset(file, skip_bad=True)
    assert len(data) == 37
    report = check_source(find_source(file))
    assert report.bad == 3
    counts = write_split(file, tmp_path / "out", skip_bad=True)
    assert sum(counts.values()) == 37


@pytest.mark.parametrize("most", [1, 1 << 30])
def test_several_processes_and_one(tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups that are too large are read in order by one process, others by several."""
    monkeypatch.setattr(table_parquet, "MAX_PART_BYTES", most)
    table = pyarrow.table(
        {"image": [png(PIXELS[n % 40]) for n in range(2400)], "label": [labels()[n % 4] for n in range(2400)]}
    )
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=500)
    source = find_source(tmp_path / "t.parquet")
    assert source.in_order is (most == 1)  # type: ignore[attr-defined]
    check_pixels(load_dataset(tmp_path / "t.parquet", workers=2), np.tile(PIXELS, (60, 1, 1)))


def test_several_labels_and_damage_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"image": [png(PIXELS[0])] * 4, "label": [[1, 2]] * 4}), file)
    assert "one value for each image" in refusal(file)
    file.write_bytes(b"PAR1 nothing here PAR1")
    assert "cannot be read as Parquet" in refusal(file)
    whole = snapshot(tmp_path / "w.parquet", 0, 40).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as Parquet" in refusal(file)
    file.write_bytes(whole[:200] + bytes(200) + whole[400:])
    assert refusal(file)


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = snapshot(tmp_path / "t.parquet", 0, 40)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "pip install 'convtrials[parquet]'" in refusal(file)
