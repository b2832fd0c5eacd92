"""Arrays as they come: pairs of .npy files, KMNIST's .npz pairs, flat rows, .mat files, torchvision's folders."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from convtrials.core.errors import DataError
from convtrials.data.open import load_dataset

RANDOM = np.random.default_rng(11)
TRAIN = RANDOM.integers(0, 256, (60, 10, 10), dtype=np.uint8)
TEST = RANDOM.integers(0, 256, (30, 10, 10), dtype=np.uint8)
LABELS = np.arange(60) % 3
TEST_LABELS = np.arange(30) % 3


def images_of(data: Any) -> np.ndarray:
    return np.asarray(data.images[..., 0])


def test_npy_files_of_a_keras_notebook(tmp_path: Path) -> None:
    for name, values in (("x_train", TRAIN), ("y_train", LABELS), ("x_test", TEST), ("y_test", TEST_LABELS)):
        np.save(tmp_path / f"{name}.npy", values)
    data = load_dataset(tmp_path)
    np.testing.assert_array_equal(images_of(data), np.concatenate([TRAIN, TEST]))
    assert data.counts()["test"] == 30
    np.save(tmp_path / "y_test.npy", TEST_LABELS[:-1])
    with pytest.raises(DataError, match=r"y_test\.npy: 29 labels for 30 images"):
        load_dataset(tmp_path)


def test_npy_files_without_labels_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x_train.npy", TRAIN)
    with pytest.raises(DataError, match="no labels for train"):
        load_dataset(tmp_path)


def test_kmnist_as_it_is_downloaded(tmp_path: Path) -> None:
    for part, images, labels in (("train", TRAIN, LABELS), ("test", TEST, TEST_LABELS)):
        np.savez_compressed(tmp_path / f"kmnist-{part}-imgs.npz", images)
        np.savez_compressed(tmp_path / f"kmnist-{part}-labels.npz", labels.astype(np.uint8))
    data = load_dataset(tmp_path)
    np.testing.assert_array_equal(images_of(data), np.concatenate([TRAIN, TEST]))
    np.testing.assert_array_equal(data.labels, np.concatenate([LABELS, TEST_LABELS]))
    assert data.class_names == ("0", "1", "2")
    np.savez_compressed(tmp_path / "k49-train-imgs.npz", TRAIN)
    with pytest.raises(DataError, match="mean the same"):
        load_dataset(tmp_path)


def test_one_npz_of_a_folder_is_named_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=TRAIN, y_train=LABELS)
    with pytest.raises(DataError, match="no class folders"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path / "mnist.npz")) == 60


def test_flat_rows_are_images_and_it_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", x=TRAIN.reshape(60, 100), y=LABELS)
    data = load_dataset(tmp_path / "flat.npz")
    np.testing.assert_array_equal(images_of(data), TRAIN)
    assert data.notes == ("rows of 100 numbers are read as images of 10 x 10, row by row",)
    for width in (99, 300, 25):
        np.savez(tmp_path / "odd.npz", x=np.zeros((60, width), np.uint8), y=LABELS)
        with pytest.raises(DataError, match="are supported"):
            load_dataset(tmp_path / "odd.npz")


def test_labels_of_text_and_what_is_said_of_pickled_ones(tmp_path: Path) -> None:
    words = np.array(["cat", "dog", "owl"])[LABELS]
    np.savez(tmp_path / "words.npz", x=TRAIN, y=words)
    assert load_dataset(tmp_path / "words.npz").class_names == ("cat", "dog", "owl")
    np.savez(tmp_path / "objects.npz", x=TRAIN, y=words.astype(object))
    with pytest.raises(DataError, match=r"strings with \.astype\(str\)"):
        load_dataset(tmp_path / "objects.npz")


def emnist_mat(path: Path, **changes: Any) -> Path:
    """Write EMNIST's layout: rows of pixels column by column, labels from 1, writers."""

    def part(images: np.ndarray, labels: np.ndarray, first_writer: int) -> dict[str, Any]:
        return {
            "images": images.transpose(0, 2, 1).reshape(len(images), -1),
            "labels": (labels + 1)[:, None].astype(np.uint8),
            "writers": (first_writer + np.arange(len(images)) // 6)[:, None],
        }

    mapping = np.array([[1, 65, 97], [2, 66, 98], [3, 67, 99]], np.uint8)
    dataset = {"train": part(TRAIN, LABELS, 0), "test": part(TEST, TEST_LABELS, 100), "mapping": mapping}
    savemat(path, {"dataset": dataset | changes})
    return path


def test_emnist_mat_stands_upright_with_names_and_writers(tmp_path: Path) -> None:
    data = load_dataset(emnist_mat(tmp_path / "emnist-letters.mat"))
    np.testing.assert_array_equal(images_of(data), np.concatenate([TRAIN, TEST]))
    assert data.class_names == ("A", "B", "C")
    np.testing.assert_array_equal(data.labels, np.concatenate([LABELS, TEST_LABELS]))
    assert data.group_kind == "writer"
    assert data.groups_are_sampled
    assert data.groups is not None
    assert len(data.group_names) == 15
    for writer in range(15):  # each in one split
        assert len(set(data.split[data.groups == writer].tolist())) == 1
    assert any("transposed" in note for note in data.notes)


def test_mnist_and_svhn_mat(tmp_path: Path) -> None:
    savemat(tmp_path / "mnist.mat", {"data": TRAIN.reshape(60, 100).T, "label": LABELS[None].astype(float)})
    np.testing.assert_array_equal(images_of(load_dataset(tmp_path / "mnist.mat")), TRAIN)
    colour = RANDOM.integers(0, 256, (60, 12, 12, 3), dtype=np.uint8)
    savemat(tmp_path / "svhn.mat", {"X": colour.transpose(1, 2, 3, 0), "y": (LABELS + 1)[:, None]})
    data = load_dataset(tmp_path / "svhn.mat")
    np.testing.assert_array_equal(data.images, colour)
    assert data.class_names == ("1", "2", "3")


def test_mat_files_that_cannot_be_understood_are_refused(tmp_path: Path) -> None:
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(500))
    (tmp_path / "junk.mat").write_bytes(b"junk" * 100)
    savemat(tmp_path / "other.mat", {"faces": TRAIN, "who": LABELS})
    savemat(tmp_path / "half.mat", {"dataset": {"train": {"images": TRAIN.reshape(60, 100)}}})
    for name, said in (
        ("new", "version 7.3"),
        ("junk", "not a .mat file"),
        ("other", "holds faces, who"),
        ("half", "dataset.train with images and labels is missing"),
    ):
        with pytest.raises(DataError, match=said):
            load_dataset(tmp_path / f"{name}.mat")
    with pytest.raises(DataError, match="no line for label 3"):
        load_dataset(emnist_mat(tmp_path / "short.mat", mapping=np.array([[1, 65], [2, 66]])))


def idx(values: np.ndarray) -> bytes:
    head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(np.uint8).tobytes()


def test_the_folder_that_torchvision_makes(tmp_path: Path) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, images, labels in (("train", TRAIN, LABELS), ("t10k", TEST, TEST_LABELS)):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    for place in (tmp_path / "data", tmp_path / "data" / "MNIST", raw):
        data = load_dataset(place)
        np.testing.assert_array_equal(images_of(data), np.concatenate([TRAIN, TEST]))
        assert data.name == "MNIST"
    other = tmp_path / "data" / "FashionMNIST" / "raw"
    other.mkdir(parents=True)
    (other / "train-images-idx3-ubyte").write_bytes(idx(TRAIN))
    with pytest.raises(DataError, match="FashionMNIST/raw and MNIST/raw; give the path of one"):
        load_dataset(tmp_path / "data")
