"""Datasets from pandas data frames."""

import io
from pathlib import Path

import numpy as np
import pandas
import pytest
from little_tables import PIXELS, check_pixels, labels, write_csv, write_images
from PIL import Image

import convtrials as ct
from convtrials.core.errors import DataError
from convtrials.data.open import load_dataset, reopen_dataset


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = write_images(tmp_path / "images")
    frame = pandas.DataFrame({"file": names, "label": labels(), "fold": [n // 4 % 5 for n in range(40)]})
    data = ct.Dataset.from_frame(frame, tmp_path)
    check_pixels(data)
    assert data.name == "frame"
    file = write_csv(tmp_path / "t.csv", frame.itertuples(index=False), list(frame.columns))
    assert load_dataset(file).fingerprint == data.fingerprint
    assert ct.Dataset.from_frame(frame, tmp_path, fold=3).counts()["test"] == 8
    monkeypatch.chdir(tmp_path)
    assert ct.Dataset.from_frame(frame).fingerprint == data.fingerprint
    assert ct.Dataset.from_frame(frame, tmp_path).folder == data.folder
    (tmp_path / "images" / "000.png").unlink()
    with pytest.raises(DataError, match="000"):
        ct.Dataset.from_frame(frame, tmp_path)


@pytest.mark.parametrize("kind", ["bytes", "struct", "array", "picture", "columns"])
def test_images_in_cells(kind: str) -> None:
    cells = {
        "bytes": [png(image) for image in PIXELS],
        "struct": [{"bytes": png(image), "path": "x.png"} for image in PIXELS],
        "array": list(PIXELS),
        "picture": [Image.fromarray(image) for image in PIXELS],
    }
    if kind == "columns":
        frame = pandas.DataFrame(PIXELS.reshape(40, 36), columns=[f"pixel{n}" for n in range(36)])
        frame["label"] = labels()
    else:
        frame = pandas.DataFrame({"image": cells[kind], "label": labels()})
    data = ct.Dataset.from_frame(frame)
    check_pixels(data)
    assert [data.class_names[code] for code in data.labels] == labels()
    again = ct.Dataset.from_frame(frame.copy())
    assert again.folder == data.folder
    frame.loc[0, "label"] = "dog"
    assert ct.Dataset.from_frame(frame).fingerprint != data.fingerprint


def test_missing_labels_categories_and_numbers() -> None:
    frame = pandas.DataFrame({"image": list(PIXELS), "label": [None, *[float(n % 4) for n in range(39)]]})
    data = ct.Dataset.from_frame(frame)
    assert data.class_names == ("0", "1", "2", "3")
    assert len(data) == 39
    frame["label"] = pandas.Categorical(labels())
    assert len(ct.Dataset.from_frame(frame)) == 40


def test_what_is_refused(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"image": list(PIXELS), "label": labels()})
    for wrong, part in (
        ("t.csv", "a pandas data frame is needed"),
        (frame.iloc[:0], "no rows"),
        (frame.rename(columns={"label": "x"}), "no column of labels"),
        (frame.assign(image=[image / 255 for image in PIXELS]), "uint8"),
        (frame.assign(label=[["a", "b"]] * 40), "one value for each image"),
    ):
        with pytest.raises(DataError, match=part):
            ct.Dataset.from_frame(wrong)
    with pytest.raises(DataError, match="no such folder"):
        ct.Dataset.from_frame(frame, tmp_path / "none")


def test_reopened_while_the_pack_is_there() -> None:
    data = ct.Dataset.from_frame(pandas.DataFrame({"image": list(PIXELS), "label": labels()}))
    record = {"pack": str(data.folder), "source": data.manifest["location"], "fingerprint": data.fingerprint}
    assert reopen_dataset(record).fingerprint == data.fingerprint
    with pytest.raises(DataError, match="made of a data frame"):
        reopen_dataset({**record, "pack": None})
