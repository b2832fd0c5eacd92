"""Zip and tar archives read in place: the same dataset as the folder, and nothing that is dangerous."""

import io
import pickle
import tarfile
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.data.check import check_source
from convtrials.data.export import write_split
from convtrials.data.open import load_dataset
from convtrials.data.sources import archive as archive_module
from convtrials.data.sources.archive import ArchiveTree
from convtrials.data.sources.find import find_source
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import UnreadableImageError


def png(seed: int, size: tuple[int, int] = (8, 6)) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def members(
    prefix: str = "", classes: tuple[str, ...] = ("a", "b", "é"), per_class: int = 20
) -> dict[str, bytes]:
    names = [(label, name, number) for label, name in enumerate(classes) for number in range(per_class)]
    return {f"{prefix}{name}/{number:03d}.png": png(1000 * label + number) for label, name, number in names}


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_zip(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


KINDS = {
    "set.zip": lambda path, files: write_zip(path, files),
    "set-stored.zip": lambda path, files: write_zip(path, files, zipfile.ZIP_STORED),
    "set.tar": lambda path, files: write_tar(path, files),
    "set.tar.gz": lambda path, files: write_tar(path, files, "w:gz"),
    "set.tgz": lambda path, files: write_tar(path, files, "w:gz"),
    "set.tar.bz2": lambda path, files: write_tar(path, files, "w:bz2"),
    "set.tar.xz": lambda path, files: write_tar(path, files, "w:xz"),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_is_the_dataset_that_its_folder_would_be(tmp_path: Path, name: str) -> None:
    files = members()
    folder = load_dataset(write_folder(tmp_path / "set", files))
    data = load_dataset(KINDS[name](tmp_path / name, files))
    assert data.fingerprint == folder.fingerprint
    assert data.name in ("set", "set-stored")


def test_a_stream_in_any_order_is_read_once_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Files of a compressed tar lie in any order; reading them by class would begin again for each.
    asked: list[int] = []
    positions = ArchiveTree.read

    def watched(tree: ArchiveTree, name: str) -> bytes:
        asked.append(tree.position(name))
        return positions(tree, name)

    monkeypatch.setattr(ArchiveTree, "read", watched)
    files = members()
    names = sorted(files, key=lambda name: hash(name[::-1]))
    path = write_tar(tmp_path / "set.tar.gz", {name: files[name] for name in names}, "w:gz")
    data = load_dataset(path)
    assert sum(later < earlier for earlier, later in pairwise(asked)) <= 1  # headers, then pixels
    assert data.fingerprint == load_dataset(write_folder(tmp_path / "set", files)).fingerprint


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz"])
def test_splits_in_an_archive(tmp_path: Path, name: str) -> None:
    files = members("train/") | members("test/", per_class=5)
    path = KINDS[name](tmp_path / name, files)
    data = load_dataset(path)
    assert data.counts()["test"] == 15
    assert data.class_names == ("a", "b", "é")


def test_clutter_of_other_systems_is_left_alone(tmp_path: Path) -> None:
    files = members() | {
        "__MACOSX/a/._000.png": b"junk",
        "a/.DS_Store": b"junk",
        "a/Thumbs.db": b"junk",
        "a/._001.png": b"junk",
    }
    assert load_dataset(write_zip(tmp_path / "set.zip", files)).class_names == ("a", "b", "é")


def test_names_as_macos_and_windows_write_them(tmp_path: Path) -> None:
    # UTF-8 without the flag that says so, as the archive utility of macOS writes.
    unflagged = tmp_path / "unflagged.zip"
    unflagged.write_bytes(without_utf8_flag(write_zip(tmp_path / "flagged.zip", members()).read_bytes()))
    assert load_dataset(unflagged).class_names == ("a", "b", "é")
    backslashes = {name.replace("/", "\\"): data for name, data in members().items()}
    assert load_dataset(write_zip(tmp_path / "windows.zip", backslashes)).class_names == ("a", "b", "é")


def without_utf8_flag(data: bytes) -> bytes:
    """Clear bit 11 of the flags of every local and central header."""
    changed = bytearray(data)
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(sign)
        while at >= 0:
            flags = int.from_bytes(changed[at + place : at + place + 2], "little") & ~0x800
            changed[at + place : at + place + 2] = flags.to_bytes(2, "little")
            at = changed.find(sign, at + 4)
    return bytes(changed)


@pytest.mark.parametrize("name", ["../out/x.png", "a/../../x.png", "/etc/x.png", "C:/x.png", "..\\x.png"])
def test_names_outside_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    for write, ending in ((write_zip, "zip"), (write_tar, "tar")):
        path = write(tmp_path / f"set.{ending}", members() | {name: png(1)})
        with pytest.raises(DataError, match="names a file outside itself"):
            load_dataset(path)


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = write_zip(tmp_path / "set.zip", members() | {"a/bomb.png": bytes(100 << 20)})
    with pytest.raises(DataError, match="decompression bomb"):
        load_dataset(bomb)
    assert len(load_dataset(bomb, skip_bad=True)) == 60
    monkeypatch.setattr(archive_module, "_STREAM_BYTES", 1 << 20)
    with tarfile.open(tmp_path / "huge.tar.gz", "w:gz", compresslevel=9) as archive:
        for number in range(2):
            info = tarfile.TarInfo(f"a/{number}.bin")
            info.size = 10 << 20
            archive.addfile(info, Zeros(info.size))
        info = tarfile.TarInfo("a/last.png")
        archive.addfile(info)
    with pytest.raises(DataError, match="decompression bomb"):
        load_dataset(tmp_path / "huge.tar.gz")


class Zeros(io.RawIOBase):
    """So many zeros, without the memory."""

    def __init__(self, size: int):
        self._left = size

    def read(self, size: int = -1) -> bytes:
        part = min(size, self._left)
        self._left -= part
        return bytes(part)


def test_links_and_odd_members_of_a_tar(tmp_path: Path) -> None:
    files = members()
    path = write_tar(tmp_path / "set.tar", files)
    with tarfile.open(path, "a") as archive:
        hard = tarfile.TarInfo("a/hard.png")
        hard.type, hard.linkname = tarfile.LNKTYPE, "b/000.png"
        archive.addfile(hard)
        soft = tarfile.TarInfo("a/soft.png")
        soft.type, soft.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(soft)
        pipe = tarfile.TarInfo("a/pipe.png")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
    tree = ArchiveTree(path)
    names, _ = tree.entries("a")
    assert "hard.png" in names
    assert not {"soft.png", "pipe.png"} & set(names)
    assert tree.read("a/hard.png") == files["b/000.png"]


def test_damaged_and_encrypted_archives_are_refused(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "whole.zip", members())
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "text.tar.gz").write_bytes(b"not an archive")
    for name in ("cut.zip", "empty.tar", "text.tar.gz"):
        with pytest.raises(DataError, match=f"{name}: .*"):
            load_dataset(tmp_path / name)
    locked = bytearray(whole.read_bytes())
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = locked.find(sign)
        locked[at + place] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    with pytest.raises(DataError, match="encrypted"):
        load_dataset(tmp_path / "locked.zip")


def test_a_damaged_member_is_a_bad_file(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", members(), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    at = data.find(b"IDAT")
    data[at + 6] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"1 file\(s\) cannot be read as images"):
        load_dataset(path)
    assert len(load_dataset(path, skip_bad=True).manifest["quarantined"]) == 1


def test_check_split_and_worker_processes(tmp_path: Path) -> None:
    files = members() | {"b/copy.png": png(0)}
    path = write_zip(tmp_path / "set.zip", files)
    report = check_source(find_source(path))
    assert any(finding.kind == "label-conflict" for finding in report.findings)
    counts = write_split(path, tmp_path / "out")
    assert sum(counts.values()) == 61
    for file in (tmp_path / "out").rglob("*.png"):
        assert file.read_bytes() in files.values()
    source = find_source(path)
    source.scan()
    source.read(0, 1, Frame((8, 6, 1)))
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(
        copy.read(0, 2, Frame((8, 6, 1)))[0], source.read(0, 2, Frame((8, 6, 1)))[0]
    )
    with pytest.raises(DataError, match="no image files to link to"):
        write_split(path, tmp_path / "linked", link=True)


def test_a_changed_archive_is_packed_again(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", members())
    before = load_dataset(path).fingerprint
    write_zip(path, members() | {"a/more.png": png(77)})
    assert load_dataset(path).fingerprint != before


def test_a_packed_archive_opens_again_without_being_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("set.zip", "set.tar.gz"):
        path = KINDS[name](tmp_path / name, members())
        before = load_dataset(path)
        with monkeypatch.context() as patch:
            patch.setattr(ArchiveTree, "_index", lambda _: pytest.fail("listed"))
            assert load_dataset(path).fingerprint == before.fingerprint
        assert load_dataset(path, verify=True).fingerprint == before.fingerprint


def test_a_missing_member_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="no such file"):
        ArchiveTree(write_zip(tmp_path / "set.zip", members())).read("a/none.png")
