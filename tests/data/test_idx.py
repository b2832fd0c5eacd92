"""IDX files: what is read, what is refused, and the real ones."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convtrials.core.errors import DataError
from convtrials.data.open import load_dataset
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.idx import read_idx
from convtrials.data.sources.idx_folder import IdxSource, read_mapping


def idx_bytes(array: np.ndarray) -> bytes:
    """The format as Yann LeCun's page describes it: magic, big-endian sizes, values."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_set(
    folder: Path, parts: dict[str, int], *, stem: str = "emnist-mini", gz: bool = True
) -> dict[str, np.ndarray]:
    """Write parts of so many images of 5x4 (stored transposed, 4x5); return the upright images."""
    folder.mkdir(parents=True, exist_ok=True)
    upright = {}
    for seed, (part, count) in enumerate(parts.items()):
        images = np.random.default_rng(seed).integers(0, 256, (count, 5, 4), dtype=np.uint8)
        labels = (np.arange(count) % 3).astype(np.uint8)
        for kind, array in (("images-idx3", images.transpose(0, 2, 1)), ("labels-idx1", labels)):
            data = idx_bytes(np.ascontiguousarray(array))
            name = f"{stem}-{part}-{kind}-ubyte"
            (folder / (name + ".gz" * gz)).write_bytes(gzip.compress(data, mtime=0) if gz else data)
        upright[part] = images
    (folder / f"{stem}-mapping.txt").write_text("0 48\n1 65\n2 98\n")
    return upright


@given(
    npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)), st.booleans()
)
def test_what_was_written_is_read(array: np.ndarray, compressed: bool) -> None:
    data = idx_bytes(array)
    read = read_idx(io.BytesIO(gzip.compress(data, mtime=0) if compressed else data))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_array_or_a_data_error(data: bytes) -> None:
    try:
        read = read_idx(io.BytesIO(data))
    except DataError:
        return
    assert idx_bytes(read) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG1234", "not an IDX file"),
        (b"\0\0\x0d\x01" + bytes(8), "only unsigned bytes"),
        (b"\0\0\x08\x07" + bytes(40), "7 axes"),
        (b"\0\0\x08\x03\0\0", "within its header"),
        (b"\0\0\x08\x01\0\0\0\x05abc", "ends after 3 of 5"),
        (b"\0\0\x08\x01\0\0\0\x02abc", "goes on"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "more than"),
        (gzip.compress(idx_bytes(np.zeros(500, np.uint8)), mtime=0)[:-12], "cannot be read"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "broken-ubyte"
    file.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(file)
    assert "broken-ubyte" in str(caught.value)


def test_a_header_that_announces_gigabytes_costs_no_memory() -> None:
    announced = b"\0\0\x08\x03" + struct.pack(">3I", 1 << 12, 1 << 12, 1 << 12) + b"few"
    with pytest.raises(DataError, match="ends after 3 of"):
        read_idx(io.BytesIO(announced))


def test_axes_are_checked_before_a_value_is_read() -> None:
    announced = b"\0\0\x08\x03" + struct.pack(">3I", 1 << 12, 1 << 12, 1 << 12) + b"few"
    with pytest.raises(DataError, match="1 axes expected"):
        read_idx(io.BytesIO(announced), axes=1)
    with pytest.raises(DataError, match="more than"):
        read_idx(io.BytesIO(b"\0\0\x08\x03" + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1)))


def test_labels_that_would_fill_memory_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, {"train": 6}, gz=False)
    labels = next(tmp_path.glob("*labels*"))
    for header, message in (
        (b"\x01" + struct.pack(">I", (1 << 30) + 1), "announces 1073741825 bytes"),
        (b"\x03" + struct.pack(">3I", 6, 1 << 10, 1 << 10), "1 axes expected"),
    ):
        labels.write_bytes(b"\0\0\x08" + header + b"few")
        with pytest.raises(DataError, match=message):
            IdxSource(tmp_path).scan()


def test_images_of_too_many_pixels_are_refused_before_they_are_read(tmp_path: Path) -> None:
    write_set(tmp_path, {"train": 6}, gz=False)
    images = next(tmp_path.glob("*images*"))
    images.write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 6, 1 << 14, 1 << 14) + b"few")
    with pytest.raises(DataError, match="images of 16384 x 16384 pixels; at most 89,478,485"):
        IdxSource(tmp_path).scan()


@pytest.mark.parametrize("gz", [True, False])
def test_a_folder_gives_upright_images_names_and_splits(tmp_path: Path, gz: bool) -> None:
    upright = write_set(tmp_path / "set", {"train": 12, "val": 6, "test": 9}, gz=gz)
    data = load_dataset(tmp_path / "set")
    assert data.class_names == ("0", "A", "b")
    assert data.counts() == {"train": 12, "val": 6, "test": 9}
    np.testing.assert_array_equal(data.images[..., 0], np.concatenate(list(upright.values())))
    np.testing.assert_array_equal(data.labels, np.concatenate([np.arange(n) % 3 for n in (12, 6, 9)]))


def test_an_absent_val_is_taken_from_train_and_test_stays(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {"train": 85 * 3, "test": 30})
    data = load_dataset(tmp_path / "set")
    assert data.counts() == {"train": 210, "val": 45, "test": 30}
    assert (data.split[-30:] == 2).all()


def test_train_alone_is_split_in_three(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {"train": 300})
    assert load_dataset(tmp_path / "set").counts() == {"train": 210, "val": 45, "test": 45}


def test_mnist_names_without_mapping_are_not_transposed(tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([0, 1], np.uint8)))
    source = IdxSource(tmp_path)
    assert source.scan().class_names == ("0", "1")
    np.testing.assert_array_equal(source.read(0, 2, Frame((3, 4, 1)))[0][..., 0], images)
    assert source.scan().split is not None


def test_missing_and_mixed_files_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "half", {"train": 6})
    next((tmp_path / "half").glob("*labels*")).unlink()
    with pytest.raises(DataError, match="need images and labels"):
        load_dataset(tmp_path / "half")
    write_set(tmp_path / "two", {"train": 6})
    write_set(tmp_path / "two", {"train": 6}, stem="emnist-other")
    with pytest.raises(DataError, match="two sets"):
        IdxSource(tmp_path / "two", transposed=True).scan()
    write_set(tmp_path / "unnamed", {"train": 6})
    (tmp_path / "unnamed" / "emnist-mini-mapping.txt").write_text("0 48\n1 49\n")
    with pytest.raises(DataError, match="no line for label 2"):
        load_dataset(tmp_path / "unnamed")


@pytest.mark.parametrize("text", ["", "0\n", "0 48\n0 49\n", "0 48\n1 48\n", "x 48\n", "0 7\n", "999 48\n"])
def test_a_wrong_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mapping.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=r"mapping\.txt"):
        read_mapping(file)


def test_the_real_characters(real_characters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVTRIALS_CACHE", str(tmp_path))
    data = load_dataset(real_characters)
    assert data.counts() == {"train": 69_955, "val": 6_100, "test": 12_750}
    assert "".join(data.class_names) == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert data.image_shape == (28, 28, 1)
    assert data.mean[0] == pytest.approx(0.174, abs=0.005)
    assert data.std[0] == pytest.approx(0.332, abs=0.005)
    # Upright: an L has its bar at the bottom, a 7 at the top.
    means = {
        name: data.images[data.labels == data.class_names.index(name)][:500, ..., 0].mean(0) for name in "L7"
    }
    assert means["L"][18:].sum() > means["L"][:10].sum()
    assert means["7"][:10].sum() > means["7"][18:].sum()
