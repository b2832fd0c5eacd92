"""EMNIST from an archive of NIST's layout that a real server on 127.0.0.1 serves, and from local copies."""

import gzip
import hashlib
import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from http_files import FileServer, serving
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources import emnist
from convtrials.data.sources.emnist import CLASS_NAMES, EmnistSource, find_emnist
from convtrials.data.sources.frame import Frame

TRAIN, TEST = 3, 2  # images per class in the made archive
SHAPE = (28, 28, 1)


def made_part(per_class: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Upright images (N, 28, 28) and labels of all 47 classes in mixed order."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(47, dtype=np.uint8), per_class))
    return generator.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8), labels


PARTS = {"train": made_part(TRAIN, 1), "test": made_part(TEST, 2)}


def raw_files() -> dict[str, bytes]:
    """The four files as NIST writes them: big-endian headers, every image column by column."""
    files = {}
    for part, (images, labels) in PARTS.items():
        header = struct.pack(">IIII", 2051, len(images), 28, 28)
        columns = b"".join(image.tobytes(order="F") for image in images)
        files[f"emnist-balanced-{part}-images-idx3-ubyte"] = header + columns
        files[f"emnist-balanced-{part}-labels-idx1-ubyte"] = (
            struct.pack(">II", 2049, len(labels)) + labels.tobytes()
        )
    return files


def made_archive(files: dict[str, bytes], folder: str = "gzip/") -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{folder}emnist-letters-train-labels-idx1-ubyte.gz", b"not needed, not even gzip")
        for name, content in files.items():
            archive.writestr(f"{folder}{name}.gz", gzip.compress(content))
    return written.getvalue()


RAW = raw_files()
ARCHIVE = made_archive(RAW)
MD5 = hashlib.md5(ARCHIVE).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVTRIALS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(emnist.VARIABLE, raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(ARCHIVE) as told:
        yield told


def from_server(server: FileServer, md5: str = MD5) -> EmnistSource:
    return EmnistSource(url=server.url, md5=md5, per_class=(TRAIN, TEST))


def from_copy(path: Path | None) -> EmnistSource:
    return EmnistSource(path, url="http://127.0.0.1:9/", per_class=(TRAIN, TEST))


def check_content(source: EmnistSource) -> None:
    """Compare with the arrays that the archive was made of."""
    listing = source.scan()
    kept = {part: labels < 36 for part, (_, labels) in PARTS.items()}
    labels = np.concatenate([PARTS[part][1][kept[part]] for part in ("train", "test")])
    images = np.concatenate([PARTS[part][0][kept[part]] for part in ("train", "test")])
    assert listing.class_names == CLASS_NAMES
    assert listing.native_shape == SHAPE
    assert listing.labels.dtype == np.int64
    np.testing.assert_array_equal(listing.labels, labels)
    assert listing.split is not None
    np.testing.assert_array_equal(listing.split, np.repeat([255, 2], [36 * TRAIN, 36 * TEST]))
    read, bad = source.read(0, len(labels), Frame(SHAPE))
    assert bad == []
    np.testing.assert_array_equal(read[..., 0], images)


def test_class_names_are_the_digits_and_capitals():
    assert len(CLASS_NAMES) == 36
    assert [CLASS_NAMES[label] for label in (0, 9, 10, 35)] == ["0", "9", "A", "Z"]


def test_downloads_verifies_and_reads_upright_images_of_36_classes(server: FileServer):
    check_content(from_server(server))
    assert len(server.requests) == 1


def test_image_is_turned_upright(server: FileServer):
    made, labels = PARTS["train"]
    upright = made[int(np.flatnonzero(labels < 36)[0])]
    images, _ = from_server(server).read(0, 1, Frame(SHAPE))
    np.testing.assert_array_equal(images[0, :, :, 0], upright)
    assert not np.array_equal(images[0, :, :, 0], upright.T)


def test_ranges_cross_from_train_to_test(server: FileServer):
    source = from_server(server)
    every, _ = source.read(0, 36 * (TRAIN + TEST), Frame(SHAPE))
    across, _ = source.read(36 * TRAIN - 2, 36 * TRAIN + 3, Frame(SHAPE))
    np.testing.assert_array_equal(across, every[36 * TRAIN - 2 : 36 * TRAIN + 3])


def test_other_size_and_channels_are_scaled(server: FileServer):
    images, _ = from_server(server).read(5, 9, Frame((32, 32, 3)))
    assert images.shape == (4, 32, 32, 3)
    assert images.dtype == np.uint8


def test_second_use_does_not_touch_the_network(server: FileServer):
    from_server(server).scan()
    check_content(from_server(server))
    assert len(server.requests) == 1


def test_only_the_archive_lies_in_the_cache(server: FileServer, cache: Path):
    from_server(server).scan()
    found = {path.suffix for path in (cache / "downloads").iterdir()}
    assert found == {".zip", ".lock"}


def test_cut_download_is_resumed(server: FileServer):
    server.cuts = [len(ARCHIVE) // 3]
    check_content(from_server(server))
    assert server.requests[1]["range"] == f"bytes={len(ARCHIVE) // 3}-"
    assert server.sent == len(ARCHIVE)


def test_wrong_checksum_is_told_with_what_to_do(server: FileServer, cache: Path):
    with pytest.raises(DataError, match="wrong checksum") as caught:
        from_server(server, md5=emnist.MD5).scan()
    assert len(str(caught.value).splitlines()) == 2
    assert emnist.VARIABLE in str(caught.value)
    assert not list((cache / "downloads").glob("*.zip*[!k]"))


def test_offline_with_nothing_local_is_told_in_two_lines(server: FileServer):
    server.statuses = [404]
    with pytest.raises(DataError) as caught:
        from_server(server).scan()
    first, second = str(caught.value).splitlines()
    assert server.url in first
    assert f"{emnist.VARIABLE}=/path/to/gzip.zip" in second


def test_stamp_and_location_of_the_download_need_neither_disk_nor_network(server: FileServer, cache: Path):
    source = from_server(server)
    assert source.stamp() == MD5
    assert source.location == from_server(server).location
    assert server.requests == []
    assert not cache.exists()


def test_travels_to_other_processes_without_its_images(server: FileServer):
    source = from_server(server)
    source.read(0, 1, Frame(SHAPE))
    sent = pickle.dumps(source)
    assert len(sent) < 2000
    check_content(pickle.loads(sent))


def write_copy(kind: str, folder: Path) -> Path:
    """Lay out one of the forms of a local copy; return the path that a person would give."""
    folder.mkdir()
    if kind in ("zip", "folder with zip"):
        (folder / "gzip.zip").write_bytes(ARCHIVE)
        return folder / "gzip.zip" if kind == "zip" else folder
    inner = folder / "gzip" if kind == "unpacked zip" else folder
    inner.mkdir(exist_ok=True)
    for number, (name, content) in enumerate(RAW.items()):
        if kind == "raw" or (kind == "mixed" and number % 2):
            (inner / name).write_bytes(content)
        else:
            (inner / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


COPIES = ["zip", "folder with zip", "unpacked zip", "gz", "raw", "mixed"]


@pytest.mark.parametrize("kind", COPIES)
def test_local_copy_serves_as_well(kind: str, tmp_path: Path):
    path = write_copy(kind, tmp_path / "copy")
    assert find_emnist(path) is not None
    check_content(from_copy(path))


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_environment_variable_names_a_local_copy(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(emnist.VARIABLE, str(write_copy(kind, tmp_path / "copy")))
    check_content(from_copy(None))


def test_a_given_path_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(emnist.VARIABLE, str(tmp_path / "absent"))
    check_content(from_copy(write_copy("raw", tmp_path / "copy")))


@pytest.mark.parametrize("kind", COPIES)
def test_stamp_of_a_local_copy_follows_its_files(kind: str, tmp_path: Path):
    path = write_copy(kind, tmp_path / "copy")
    before = from_copy(path).stamp()
    assert from_copy(path).stamp() == before
    changed = sorted(file for file in (tmp_path / "copy").rglob("*") if file.is_file())[0]
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert from_copy(path).stamp() != before


def test_location_tells_copies_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert EmnistSource().location == "emnist36"
    assert EmnistSource(tmp_path / "a").location == str(tmp_path / "a")
    assert EmnistSource(md5="0" * 32).location == "emnist36?md5=" + "0" * 32
    monkeypatch.setenv(emnist.VARIABLE, str(tmp_path / "b"))
    assert EmnistSource().location == f"emnist36?copy={tmp_path / 'b'}"
    assert EmnistSource(tmp_path / "a").location == str(tmp_path / "a")


@pytest.mark.parametrize(
    ("make", "words"), [(None, "no such file or folder"), ("folder", "no EMNIST Balanced here")]
)
def test_wrong_local_path_is_told_in_two_lines(
    make: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if make:
        (tmp_path / "copy").mkdir()
    monkeypatch.setenv(emnist.VARIABLE, str(tmp_path / "copy"))
    with pytest.raises(DataError, match=words) as caught:
        from_copy(None).scan()
    assert str(caught.value).startswith(f"{emnist.VARIABLE}=")
    assert len(str(caught.value).splitlines()) == 2


def test_a_local_path_of_no_user_is_told_with_the_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(emnist.VARIABLE, "~nosuchuser/gzip.zip")
    with pytest.raises(DataError, match=f"^{emnist.VARIABLE}=~nosuchuser/gzip.zip: not a path"):
        EmnistSource()


def test_three_of_four_files_are_no_copy(tmp_path: Path):
    folder = write_copy("gz", tmp_path / "copy")
    (folder / "emnist-balanced-test-labels-idx1-ubyte.gz").unlink()
    assert find_emnist(folder) is None


def test_file_that_is_no_zip_is_no_copy(tmp_path: Path):
    (tmp_path / "gzip.zip").write_bytes(b"<html>not found</html>")
    assert find_emnist(tmp_path / "gzip.zip") is None


def test_the_built_in_dataset_insists_on_its_size(tmp_path: Path):
    path = write_copy("raw", tmp_path / "copy")
    with pytest.raises(DataError, match=r"class 0 has 3 train images, EMNIST Balanced has 2400"):
        EmnistSource(path).scan()


def damaged_files(kind: str) -> dict[str, bytes]:
    files, name = dict(RAW), "emnist-balanced-test-labels-idx1-ubyte"
    images = "emnist-balanced-train-images-idx3-ubyte"
    if kind == "label 47":
        files[name] = files[name][:-1] + bytes([47])
    elif kind == "fewer images":
        files[images] = struct.pack(">IIII", 2051, 140, 28, 28) + files[images][16 : 16 + 140 * 784]
    elif kind == "images cut short":
        files[images] = files[images][:-10]
    elif kind == "huge header":
        files[images] = struct.pack(">IIII", 2051, 4_000_000_000, 28, 28)
    elif kind == "no member":
        del files[name]
    return files


@pytest.mark.parametrize("kind", ["label 47", "fewer images", "images cut short", "huge header", "no member"])
def test_damaged_member_is_told(kind: str, tmp_path: Path):
    path = tmp_path / "gzip.zip"
    path.write_bytes(made_archive(damaged_files(kind)))
    source = EmnistSource(path, per_class=None)
    with pytest.raises(DataError, match="emnist-balanced"):
        source.read(0, 1, Frame(SHAPE))


def test_bits_that_flip_in_an_archive_are_noticed(tmp_path: Path):
    spoiled = bytearray(ARCHIVE)
    place = ARCHIVE.index(b"emnist-balanced-train-images") + 5000
    spoiled[place] ^= 0xFF
    (tmp_path / "gzip.zip").write_bytes(spoiled)
    with pytest.raises(DataError, match="train-images"):
        EmnistSource(tmp_path / "gzip.zip", per_class=None).read(0, 1, Frame(SHAPE))


def test_damaged_download_says_which_file_to_remove(server: FileServer, cache: Path):
    source = from_server(server)
    source.scan()
    (archive,) = (cache / "downloads").glob("*.zip")
    archive.write_bytes(b"spoiled")
    with pytest.raises(DataError) as caught:
        from_server(server).scan()
    assert str(caught.value).endswith(f"Remove {archive}: the same command then downloads it again.")


def test_archive_without_its_folder_serves(tmp_path: Path):
    (tmp_path / "my copy.zip").write_bytes(made_archive(RAW, folder=""))
    check_content(from_copy(tmp_path / "my copy.zip"))


def test_encrypted_member_is_told(tmp_path: Path):
    spoiled = bytearray(ARCHIVE)
    start = 0
    while (start := spoiled.find(b"PK\x01\x02", start)) >= 0:  # the flag bits of each entry in the directory
        spoiled[start + 8] |= 1
        start += 4
    (tmp_path / "gzip.zip").write_bytes(spoiled)
    with pytest.raises(DataError, match="cannot be read"):
        EmnistSource(tmp_path / "gzip.zip", per_class=None).scan()


def test_the_packer_takes_val_from_train_class_by_class(tmp_path: Path):
    from convtrials.data.split import assign_splits

    listing = from_copy(write_copy("raw", tmp_path / "copy")).scan()
    split = assign_splits(listing.labels, given=listing.split)
    for label in range(36):
        counts = np.bincount(split[listing.labels == label], minlength=3)
        assert counts.tolist() == [2, 1, 2]
