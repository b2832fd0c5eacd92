""".npz files: names and layouts that people use, and what is refused."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convtrials.core.errors import DataError
from convtrials.data.open import load_dataset
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.npz import ArraySource

RANDOM = np.random.default_rng(5)
IMAGES = RANDOM.integers(0, 256, (30, 6, 7), dtype=np.uint8)
LABELS = np.arange(30) % 3


def save(path: Path, **members: Any) -> Path:
    np.savez_compressed(path, **members)
    return path


def pixels(path: Path) -> np.ndarray:
    source = ArraySource(path)
    listing = source.scan()
    assert listing.native_shape is not None
    return source.read(0, len(listing.labels), Frame(listing.native_shape))[0]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images", "labels"),
        ("x", "y"),
        ("X", "Y"),
        ("data", "targets"),
        ("x_train", "y_train"),
        ("train_images", "train_labels"),
    ],
)
def test_common_names(tmp_path: Path, images: str, labels: str) -> None:
    data = load_dataset(save(tmp_path / "set.npz", **{images: IMAGES, labels: LABELS}))
    assert data.counts() == {"train": 21, "val": 6, "test": 3}
    np.testing.assert_array_equal(data.images[..., 0], IMAGES)
    np.testing.assert_array_equal(data.labels, LABELS)
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize("form", ["{kind}_{part}", "{part}_{kind}"])
@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_given_splits_stay(tmp_path: Path, form: str, val: str) -> None:
    members = {}
    for part, (low, high) in {"train": (0, 12), val: (12, 18), "test": (18, 30)}.items():
        members[form.format(kind="x", part=part)] = IMAGES[low:high]
        members[form.format(kind="y", part=part)] = LABELS[low:high, None]
    data = load_dataset(save(tmp_path / "set.npz", **members))
    assert data.counts() == {"train": 12, "val": 6, "test": 12}
    np.testing.assert_array_equal(data.images[..., 0], IMAGES)


def test_keras_names_leave_val_to_be_taken_from_train(tmp_path: Path) -> None:
    file = save(
        tmp_path / "mnist.npz",
        x_train=IMAGES[:24],
        y_train=LABELS[:24],
        x_test=IMAGES[24:],
        y_test=LABELS[24:],
    )
    data = load_dataset(file)
    assert data.counts()["test"] == 6
    assert data.counts()["val"] >= 3
    assert (data.split[24:] == 2).all()


def test_pixel_types_come_to_the_same_bytes(tmp_path: Path) -> None:
    expected = IMAGES[..., None]
    forms = {
        "float64": IMAGES / 255.0,
        "float32": (IMAGES / 255.0).astype(np.float32),
        "uint16": IMAGES.astype(np.uint16) * 257,
        "int64": IMAGES.astype(np.int64),
        "last": IMAGES[..., None],
        "first": IMAGES[:, None],
    }
    for name, array in forms.items():
        data = load_dataset(save(tmp_path / f"{name}.npz", x=array, y=LABELS))
        np.testing.assert_array_equal(data.images, expected, err_msg=name)
    bits = IMAGES > 127
    np.testing.assert_array_equal(pixels(save(tmp_path / "bits.npz", x=bits, y=LABELS))[..., 0], bits * 255)


def test_colour_layouts_and_transparency(tmp_path: Path) -> None:
    colour = RANDOM.integers(0, 256, (9, 5, 4, 3), dtype=np.uint8)
    labels = np.arange(9) % 3
    np.testing.assert_array_equal(pixels(save(tmp_path / "last.npz", x=colour, y=labels)), colour)
    np.testing.assert_array_equal(
        pixels(save(tmp_path / "first.npz", x=colour.transpose(0, 3, 1, 2).copy(), y=labels)), colour
    )
    alpha = RANDOM.integers(0, 256, (9, 5, 4, 1), dtype=np.uint8)
    over_white = colour * (alpha / 255.0) + 255.0 * (1 - alpha / 255.0)
    got = pixels(save(tmp_path / "rgba.npz", x=np.concatenate([colour, alpha], 3), y=labels))
    assert np.abs(got - over_white).max() <= 0.5 + 1e-9


def test_names_of_classes_and_kinds_of_labels(tmp_path: Path) -> None:
    named = load_dataset(save(tmp_path / "a.npz", x=IMAGES, y=LABELS, class_names=["cat", "dog", "owl"]))
    assert named.class_names == ("cat", "dog", "owl")
    words = np.array(["owl", "cat", "dog"])[LABELS]
    text = ArraySource(save(tmp_path / "b.npz", x=IMAGES, y=words)).scan()
    assert text.class_names == ("cat", "dog", "owl")
    np.testing.assert_array_equal(text.labels, np.array([2, 0, 1])[LABELS])
    one_hot = ArraySource(save(tmp_path / "c.npz", x=IMAGES, y=np.eye(3)[LABELS])).scan()
    np.testing.assert_array_equal(one_hot.labels, LABELS)
    from_one = ArraySource(save(tmp_path / "d.npz", x=IMAGES, y=LABELS + 1)).scan()
    assert from_one.class_names == ("1", "2", "3")


def test_writers_stay_in_one_split(tmp_path: Path) -> None:
    writers = np.arange(30) // 3
    data = load_dataset(save(tmp_path / "w.npz", x=IMAGES, y=LABELS, writers=writers))
    assert (data.group_kind, data.groups_are_sampled, len(data.group_names)) == ("writer", True, 10)
    for writer in range(10):
        assert len(set(data.split[writers == writer])) == 1
    assert set(data.split) == {0, 1, 2}
    fixed = load_dataset(
        save(
            tmp_path / "f.npz",
            x=IMAGES,
            y=LABELS,
            groups=writers,
            groups_are_sampled=False,
            group_kind="font",
        ),
    )
    assert (fixed.group_kind, fixed.groups_are_sampled) == ("font", False)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"pictures": IMAGES, "y": LABELS}, "no images for train; it holds pictures, y; expected"),
        ({"foo": IMAGES}, "no images and labels found; it holds foo"),
        ({"x": IMAGES}, "no labels for train"),
        ({"x": IMAGES, "y": LABELS[:-1]}, "29 labels for 30 images"),
        ({"x": IMAGES, "images": IMAGES, "y": LABELS}, "mean the same"),
        ({"x": IMAGES, "y": LABELS, "x_test": IMAGES, "y_test": LABELS}, "both whole and split"),
        ({"x": IMAGES * 2.0, "y": LABELS}, "floats up to 510; 0 to 1 or 0 to 255"),
        ({"x": IMAGES.astype(np.int32) + 70000, "y": LABELS}, "values up to 70,255"),
        ({"x": IMAGES.astype(np.int32) - 1, "y": LABELS}, "values -1 to 254; 0 to 255 are supported"),
        ({"x": IMAGES[:, 0], "y": LABELS}, "are supported"),
        ({"x": np.asfortranarray(IMAGES), "y": LABELS}, "Fortran"),
        ({"x": IMAGES, "y": LABELS + 0.5}, "integers or strings"),
        ({"x": IMAGES, "y": np.zeros((30, 4))}, "one-hot"),
        ({"x": IMAGES, "y": LABELS, "class_names": ["a", "b"]}, "2 names for labels 0 to 2"),
        ({"x": IMAGES, "y": LABELS, "class_names": ["a", "a", "b"]}, "twice"),
        ({"x": np.array([None] * 30, object), "y": LABELS}, "pickle"),
        ({"x": IMAGES, "y": np.array([object()] * 30)}, "pickle"),
        ({"x": IMAGES, "y": LABELS, "groups": LABELS, "group_kind": np.array([], "U4")}, "0 values; one"),
        ({"x": IMAGES, "y": LABELS, "groups": LABELS, "groups_are_sampled": [True, False]}, "2 values; one"),
    ],
)
def test_what_cannot_be_understood_is_told(tmp_path: Path, members: dict[str, Any], message: str) -> None:
    file = tmp_path / "wrong.npz"
    np.savez(
        file,
        **{key: np.asarray(value) for key, value in members.items() if not isinstance(value, list)},
        **{key: value for key, value in members.items() if isinstance(value, list)},
    )
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(file)
    assert "wrong.npz" in str(caught.value)


def member(shape: tuple[int, ...], descr: str, data: bytes = b"") -> bytes:
    """An .npy of any header, with whatever data."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (member((4, 2**32, 2**32), "|u1"), None, "images of 4294967296 x 4294967296 pixels; at most"),
        (member((4, 3, 2**14, 2**14), "|u1"), None, "images of 16384 x 16384 pixels"),
        (member((4, 2**14, 2**14, 3), "|u1"), None, "images of 16384 x 16384 pixels"),
        (None, member((4,), "<U0"), "values of no bytes"),
        (None, member((0, 2**40, 2**40), "<i8"), "more than the"),
    ],
)
def test_headers_that_promise_the_impossible(
    tmp_path: Path, images: bytes | None, labels: bytes | None, message: str
) -> None:
    file = tmp_path / "wrong.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", images or member((4, 2, 2), "|u1", bytes(16)))
        archive.writestr("y.npy", labels or member((4,), "|u1", bytes(4)))
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(file)
    assert "wrong.npz" in str(caught.value)


def test_dark_uint16_is_scaled_where_anything_passes_255(tmp_path: Path) -> None:
    dark = IMAGES.astype(np.uint16)
    dark[-1, 0, 0] = 65535
    got = pixels(save(tmp_path / "dark.npz", x=dark, y=LABELS))[..., 0]
    assert np.abs(got - dark / 257.0).max() <= 0.5 + 1e-9
    parts = {"x_train": IMAGES[:15].astype(np.uint16), "x_test": dark[15:]}
    assert pixels(save(tmp_path / "p.npz", **parts, y_train=LABELS[:15], y_test=LABELS[15:]))[-1, 0, 0] == 255
    black = pixels(save(tmp_path / "black.npz", x=np.zeros((30, 6, 7), np.uint16), y=LABELS))
    assert not black.any()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cut", [0, 10, 300, 900])
def test_a_cut_file_is_refused(tmp_path: Path, cut: int) -> None:
    whole = save(tmp_path / "whole.npz", x=IMAGES, y=LABELS).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"cut\.npz"):
        load_dataset(tmp_path / "cut.npz")


def test_flipped_bytes_are_refused_or_read_but_never_crash(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.npz", x=IMAGES, y=LABELS).read_bytes()
    generator, refused = np.random.default_rng(0), 0
    for turn in range(60):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            damaged[place] ^= int(generator.integers(1, 256))
        file = tmp_path / f"{turn}.npz"
        file.write_bytes(damaged)
        try:
            load_dataset(file)
        except DataError:
            refused += 1
    assert refused > 30
