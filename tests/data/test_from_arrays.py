"""A dataset of arrays in memory: the same as a pack of them, and one line for whatever is not understood."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.data.dataset import SPLITS, Dataset
from convtrials.data.open import load_dataset
from convtrials.study.study import Study
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (60, 8, 9, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3
NAMES = ["cat", "dog", "owl"]
PARTS = np.array(["train"] * 40 + ["val"] * 10 + ["test"] * 10)


def as_packed(path: Path, **members: Any) -> Dataset:
    np.savez(path, **members)
    return load_dataset(path)


def assert_same(one: Dataset, other: Dataset) -> None:
    assert one.fingerprint == other.fingerprint
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.split, other.split)
    assert (one.class_names, one.mean, one.std) == (other.class_names, other.mean, other.std)


def test_the_same_as_a_pack_of_the_same(tmp_path: Path) -> None:
    packed = as_packed(tmp_path / "a.npz", images=IMAGES, labels=LABELS, class_names=NAMES)
    assert_same(Dataset.from_arrays(IMAGES, LABELS, class_names=NAMES), packed)
    groups = np.arange(60) // 4
    grouped = as_packed(tmp_path / "b.npz", images=IMAGES[..., 0], labels=LABELS, groups=groups)
    made = Dataset.from_arrays(IMAGES[..., 0], LABELS, groups=groups)
    assert_same(made, grouped)
    for group in range(15):
        assert len(set(made.split[groups == group])) == 1
    parts = {
        f"{kind}_{part}": array[part == PARTS]
        for part in SPLITS
        for kind, array in [("x", IMAGES), ("y", LABELS)]
    }
    given = as_packed(tmp_path / "c.npz", **parts)
    assert_same(Dataset.from_arrays(IMAGES, LABELS, split=PARTS), given)
    drawn = Dataset.from_arrays(IMAGES, LABELS, ratios=(0.5, 0.25, 0.25), seed=7)
    np.testing.assert_array_equal(
        drawn.split,
        load_dataset(tmp_path / "a.npz", ratios=(0.5, 0.25, 0.25), split_seed=7).split,
    )


def test_lists_tensors_names_and_layouts_come_to_the_same() -> None:
    expected = Dataset.from_arrays(IMAGES, LABELS, class_names=NAMES)
    words = [NAMES[label] for label in LABELS]
    first = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    for images, labels in [
        (IMAGES.tolist(), words),
        (torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
        (first, np.array(words, object)),
        (first.float().requires_grad_(), LABELS.astype(float)),
        (IMAGES.astype(np.int32), np.eye(3)[LABELS]),
    ]:
        assert_same(Dataset.from_arrays(images, labels, class_names=NAMES), expected)
    named = Dataset.from_arrays(IMAGES, words, class_names=["owl", "cat", "dog"])
    np.testing.assert_array_equal(named.labels, np.array([1, 2, 0])[LABELS])


def test_a_split_by_positions() -> None:
    places = RANDOM.permutation(60)
    split = {"train": places[:40], "val": torch.from_numpy(places[40:50]), "test": places[50:].tolist()}
    data = Dataset.from_arrays(IMAGES, LABELS, split=split)
    np.testing.assert_array_equal(data.indices("test"), np.sort(places[50:]))
    np.testing.assert_array_equal(data.indices("val"), np.sort(places[40:50]))


def test_what_is_written_later_does_not_reach_the_dataset() -> None:
    images = IMAGES.copy()
    data = Dataset.from_arrays(images, LABELS)
    images[:] = 0
    np.testing.assert_array_equal(data.images, IMAGES)
    with pytest.raises(ValueError, match="read-only"):
        data.images[0] = 0


def test_a_read_only_view_of_what_can_be_written_is_copied() -> None:
    images = IMAGES.copy()
    view = images.view()
    view.flags.writeable = False
    data = Dataset.from_arrays(view, LABELS)
    images[:] = 0
    np.testing.assert_array_equal(data.images, IMAGES)


def test_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    data = Dataset.from_arrays(mapped, LABELS)
    assert np.shares_memory(data.images, mapped)
    assert data.fingerprint == Dataset.from_arrays(IMAGES, LABELS).fingerprint


@pytest.mark.parametrize(
    ("images", "labels", "more", "message"),
    [
        (
            IMAGES / 255.0,
            LABELS,
            {},
            r"float64 from 0 to 1; .*\(images \* 255\)\.round\(\)\.astype\('uint8'\)",
        ),
        ((IMAGES > 99) * 1.0, LABELS, {}, "float64 from 0 to 1; uint8, 0 to 255, is needed"),
        (IMAGES - 128.0, LABELS, {}, "undo any normalisation"),
        (IMAGES + 0.5, LABELS, {}, "uint8, 0 to 255, is needed"),
        (np.where(IMAGES > 200, np.nan, IMAGES), LABELS, {}, "images: NaN"),
        (IMAGES.astype(np.uint16), LABELS, {}, r"where 255 is white, images.astype\('uint8'\)"),
        (
            np.full((9, 4, 4), 4000, np.uint16),
            LABELS,
            {},
            r"4095 is white, \(images / 4095 \* 255\).round\(\)",
        ),
        (np.full((9, 4, 4), 60_000, np.uint16), LABELS, {}, r"65535 is white, \(images / 65535 \* 255\)"),
        (IMAGES.astype(int) - 1, LABELS, {}, "int64 from -1 to 254; integers must be 0 to 255"),
        (IMAGES[0, 0], LABELS, {}, r"images: shape \(9, 3\)"),
        (IMAGES[:0], LABELS[:0], {}, "images: none given"),
        ([[[1, 2]], [[1]]], LABELS, {}, "images: rows of unequal shape"),
        (["a.png"] * 60, LABELS, {}, "images are numbers"),
        (IMAGES, LABELS[:-1], {}, "labels: 59 labels for 60 images"),
        (IMAGES, LABELS * 0, {}, "one class|1 class only"),
        (IMAGES, LABELS - 1, {}, "labels: -1 given; 0 and above"),
        (IMAGES, LABELS, {"class_names": ["cat", "dog"]}, "2 names for labels 0 to 2"),
        (IMAGES, LABELS, {"class_names": ["cat", "dog", "dog"]}, "twice"),
        (IMAGES, LABELS, {"class_names": [*NAMES, "yak"]}, "no training image for class yak"),
        (IMAGES, ["cat", "dog", None] * 20, {}, "labels: None among them"),
        (IMAGES, ["cat", "dog", "elk"] * 20, {"class_names": NAMES}, "lacks 'elk'"),
        (IMAGES, np.where(LABELS == 1, np.nan, LABELS), {}, "labels: float64 with nan"),
        (IMAGES, LABELS, {"groups": LABELS[:9]}, r"groups: shape \(9,\) for 60 images"),
        (IMAGES, LABELS, {"groups": np.where(LABELS == 1, np.nan, 0)}, "groups: NaN"),
        (IMAGES, LABELS, {"groups": LABELS * 0}, "cannot fill the splits"),
        (IMAGES, LABELS, {"split": ["train"] * 59 + ["tset"]}, "split: 'tset' is none of train, val, test"),
        (IMAGES, LABELS, {"split": ["train"] * 50 + ["test"] * 10}, "no image in val"),
        (IMAGES, LABELS, {"split": np.zeros(60, int)}, "split: 0 is none of"),
        (IMAGES, LABELS, {"split": {"train": range(50), "test": range(50, 60)}}, "no image in val"),
        (
            IMAGES,
            LABELS,
            {"split": {"train": range(50), "val": range(49, 60)}},
            "split, val: an image is listed twice",
        ),
        (
            IMAGES,
            LABELS,
            {"split": {"train": range(50), "val": range(50, 61)}},
            "positions 50 to 60; 0 to 59 exist",
        ),
        (
            IMAGES,
            LABELS,
            {"split": {"train": range(50), "val": [50], "test": [51]}},
            "split: 8 images are in none",
        ),
        (IMAGES, LABELS, {"split": {"train": PARTS == "train"}}, "positions, integers"),
        (IMAGES, LABELS, {"split": {"dev": [1]}}, "'dev' is none of"),
        (IMAGES, LABELS, {"ratios": (0.5, 0.5)}, "three shares"),
        (IMAGES[:4], [0, 0, 1, 1], {}, "no image in (val|test)"),
        (torch.zeros(60, 8, 9, dtype=torch.bfloat16), LABELS, {}, "images: cannot be made a NumPy array"),
        (torch.zeros(60, 8, 9).to_sparse(), LABELS, {}, "images: cannot be made a NumPy array"),
        (IMAGES, LABELS, {"class_names": 3}, "class_names: 3; a list of names is needed"),
        (IMAGES, LABELS, {"class_names": "cat"}, "class_names: 'cat'; a list of names is needed"),
        (IMAGES, LABELS, {"name": 3}, "name: 3; a text is needed"),
    ],
)
def test_what_is_not_understood_is_one_line(
    images: Any, labels: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        Dataset.from_arrays(images, labels, **more)
    assert "\n" not in str(caught.value)


def test_a_notebook_shows_what_it_holds() -> None:
    names = [f"<{label}>" for label in range(50)]
    images = RANDOM.integers(0, 256, (500, 300, 200), dtype=np.uint8)
    data = Dataset.from_arrays(images, [names[place % 50] for place in range(500)], name="R&D")
    page = data._repr_html_()
    assert "R&amp;D" in page
    assert "500 images of 300 x 200 pixels, grey; 350 train, 100 val, 50 test" in page
    assert "&lt;0&gt; <small>10</small>" in page
    assert "<0>" not in page
    assert "and 10 more" in page
    pictures = [Image.open(io.BytesIO(base64.b64decode(code))) for code in re.findall('base64,([^"]+)', page)]
    assert len(pictures) == 12
    assert {picture.size for picture in pictures} == {(64, 96)}
    colour = Dataset.from_arrays(IMAGES, LABELS)._repr_html_()
    code = re.search('base64,([^"]+)', colour)
    assert code is not None
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(code[1])))), IMAGES[0])


def test_runs_and_studies_use_it(tmp_path: Path) -> None:
    data = Dataset.from_arrays(IMAGES[:, :, :8], LABELS, class_names=NAMES)
    recipe = Recipe(model="alexnet-lite", width=0.125, epochs=1, batch_size=16)
    run = train(recipe, data, out=tmp_path / "run", threads=1, precision="fp32")
    assert run.dataset.fingerprint == data.fingerprint
    study = Study(recipe, {"cosine": {"schedule": "cosine"}}, seeds=2)
    done = study.run(data, tmp_path / "study", threads=1, precision="fp32")
    assert "cosine" in done.verdicts()
    again = Dataset.from_arrays(IMAGES[:, :, :8], LABELS, class_names=NAMES)
    assert study.run(again, tmp_path / "study").verdicts() == done.verdicts()
