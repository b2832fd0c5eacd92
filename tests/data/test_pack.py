"""Packs: written once, opened fast, rebuilt when the source or the pack changed, never half there."""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.core.streams import stream_generator
from convtrials.data import parallel
from convtrials.data.open import load_dataset, reopen_dataset
from convtrials.data.parallel import WorkerPool
from convtrials.data.sources.folder import FolderSource
from convtrials.data.store import source_paths
from convtrials.training.engine.identity import describe_dataset


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("CONVTRIALS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pixels(label: int, number: int) -> np.ndarray:
    return stream_generator(label, "test", number).integers(0, 256, (8, 8), dtype=np.uint8)


def make_folder(folder: Path, per_class: int = 20) -> Path:
    for label in range(3):
        (folder / f"c{label}").mkdir(parents=True)
        for number in range(per_class):
            Image.fromarray(pixels(label, number)).save(folder / f"c{label}" / f"{number:04d}.png")
    return folder


def packs(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "packs").iterdir())


def test_the_manifest_says_what_is_in_the_pack(tmp_path: Path) -> None:
    data = load_dataset(make_folder(tmp_path / "set"), split_seed=4, ratios=(0.5, 0.25, 0.25))
    manifest = json.loads((data.folder / "manifest.json").read_text())
    assert manifest["counts"] == {"train": 30, "val": 15, "test": 15}
    assert manifest["class_counts"] == [20, 20, 20]
    assert (manifest["options"]["split_seed"], manifest["options"]["ratios"]) == (4, [0.5, 0.25, 0.25])
    assert manifest["location"] == str(tmp_path / "set")
    train = data.images[data.indices("train")] / 255.0
    assert data.mean[0] == pytest.approx(train.mean(), abs=1e-12)
    assert data.std[0] == pytest.approx(train.std(), abs=1e-12)
    assert isinstance(data.images, np.memmap)
    assert not data.images.flags.writeable


def test_the_second_open_reads_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_dataset(make_folder(tmp_path / "set"))
    monkeypatch.setattr(FolderSource, "read", lambda *_: pytest.fail("read"))
    monkeypatch.setattr(FolderSource, "scan", lambda *_: pytest.fail("scanned"))
    started = time.perf_counter()
    second = load_dataset(tmp_path / "set")
    assert time.perf_counter() - started < 0.1
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.images, first.images)


def test_an_added_file_is_seen_and_an_old_state_is_packed_once(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "set")
    first = load_dataset(folder)
    Image.fromarray(pixels(9, 9)).save(folder / "c1" / "new.png")
    assert len(load_dataset(folder)) == 61
    (folder / "c1" / "new.png").unlink()
    again = load_dataset(folder)
    assert (again.fingerprint, again.folder) == (first.fingerprint, first.folder)
    assert len(packs(cache)) == 2


def test_verify_sees_a_file_changed_in_place(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set")
    first = load_dataset(folder)
    with open(folder / "c0" / "0000.png", "r+b") as file:
        Image.fromarray(255 - pixels(0, 0)).save(file, "PNG")
    assert load_dataset(folder).fingerprint == first.fingerprint
    verified = load_dataset(folder, verify=True)
    assert verified.fingerprint != first.fingerprint
    assert load_dataset(folder).fingerprint == verified.fingerprint


def test_verify_mends_flipped_bits_in_the_pack(tmp_path: Path, cache: Path) -> None:
    first = load_dataset(make_folder(tmp_path / "set"))
    expected = np.array(first.images)
    with open(first.folder / "images.npy", "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x01\x02\x03")
    load_dataset(tmp_path / "set", verify=True)
    np.testing.assert_array_equal(load_dataset(tmp_path / "set").images, expected)
    assert len(packs(cache)) == 1


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "split.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "short", "garbled"])
def test_a_damaged_pack_is_built_again(tmp_path: Path, name: str, damage: str) -> None:
    first = load_dataset(make_folder(tmp_path / "set", 5))
    expected, file = np.array(first.images), first.folder / name
    if damage == "gone":
        file.unlink()
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:-5])
    else:
        file.write_bytes(b"x" * 50 + file.read_bytes()[50:])
    again = load_dataset(tmp_path / "set")
    np.testing.assert_array_equal(again.images, expected)
    assert again.fingerprint == first.fingerprint


def test_a_fingerprint_is_the_data_and_nothing_else(tmp_path: Path) -> None:
    one = load_dataset(make_folder(tmp_path / "one"))
    two = load_dataset(make_folder(tmp_path / "two"))
    assert one.fingerprint == two.fingerprint
    assert one.folder != two.folder
    assert load_dataset(tmp_path / "one", split_seed=1).fingerprint != one.fingerprint
    Image.fromarray(pixels(9, 9)).save(tmp_path / "two" / "c0" / "0000.png")
    assert load_dataset(tmp_path / "two", verify=True).fingerprint != one.fingerprint


def test_bad_files_stop_or_are_left_out_by_name(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "set")
    for number in range(5):
        (folder / "c1" / f"{number:04d}.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(DataError, match=r"5 file\(s\).*c1/0000\.png.*and 2 more\n.*--skip-bad"):
        load_dataset(folder)
    assert packs(cache) == []
    data = load_dataset(folder, skip_bad=True)
    assert [item["path"] for item in data.manifest["quarantined"]] == [
        f"c1/{number:04d}.png" for number in range(5)
    ]
    assert len(data) == 55
    for place, path in enumerate(source_paths(data) or ()):
        np.testing.assert_array_equal(data.images[place, ..., 0], pixels(int(path[1]), int(path[3:7])))
    for file in folder.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match="none of the 60 files"):
        load_dataset(folder, skip_bad=True, verify=True, image_size=8, channels=1)


def test_fewer_images_of_each_class(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set")
    data = load_dataset(folder, samples_per_class=7)
    np.testing.assert_array_equal(np.bincount(data.labels), [7, 7, 7])
    for place, path in enumerate(source_paths(data) or ()):
        np.testing.assert_array_equal(data.images[place, ..., 0], pixels(int(path[1]), int(path[3:7])))
    assert len(load_dataset(folder, samples_per_class=99)) == 60


def test_many_processes_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "set", 100)
    (folder / "c2" / "0050.png").write_bytes(b"bad")
    one = load_dataset(folder, skip_bad=True)
    monkeypatch.setattr(parallel, "POOL_FROM", 2)
    monkeypatch.setattr(parallel, "BLOCK_IMAGES", 37)
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    two = load_dataset(folder, skip_bad=True, verify=True)
    assert two.fingerprint == one.fingerprint
    assert two.manifest == one.manifest


def test_a_script_without_a_main_guard_may_use_processes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        from convtrials.data import parallel
        from convtrials.data.open import load_dataset
        parallel.POOL_FROM, parallel.available_cores, parallel.BLOCK_IMAGES = 2, lambda: 2, 20
        print("started", len(load_dataset({str(folder)!r})))
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "started 60\n", done.stderr


def end_process(_: object) -> None:
    os._exit(9)


def test_a_process_that_dies_is_told() -> None:
    with WorkerPool(2) as pool, pytest.raises(DataError, match="ended from outside"):
        list(pool.map(end_process, [1, 2, 3]))


def raise_one(task: int) -> int:
    if task == 3:
        raise DataError("three")
    return task


def test_an_error_in_a_process_is_raised_here() -> None:
    with WorkerPool(2) as pool:
        assert sorted(answer for _, answer in pool.map(raise_one, [0, 1, 2, 4, 5])) == [0, 1, 2, 4, 5]
        with pytest.raises(DataError, match="three"):
            list(pool.map(raise_one, list(range(6))))


class TwoPartError(Exception):
    """Cannot be put together again from what it keeps."""

    def __init__(self, place: str, reason: str):
        super().__init__(f"{place} {reason}")


class HoldingError(Exception):
    """Cannot be taken apart: it holds a function without a name."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.hold = lambda: reason


def raise_odd(task: int) -> object:
    if task == 1:
        raise TwoPartError("here", "broke")
    if task == 2:
        raise HoldingError("it broke")
    return lambda: task


@pytest.mark.parametrize(
    ("task", "message"),
    [(1, "TwoPartError: here broke"), (2, "HoldingError: it broke"), (3, "Error: .*lambda")],
)
def test_an_error_that_cannot_travel_keeps_its_reason(task: int, message: str) -> None:
    with WorkerPool(2) as pool, pytest.raises(DataError, match=message):
        list(pool.map(raise_odd, [task, task]))


def test_two_processes_pack_one_source_at_once(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "set", 150)
    command = f"""
from convtrials.data.open import load_dataset
print(load_dataset({str(folder)!r}).fingerprint)
"""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], ended
    assert len({out for out, _ in ended}) == 1
    assert len(packs(cache)) == 1


def test_what_a_killed_process_left_is_swept(tmp_path: Path, cache: Path) -> None:
    import socket

    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    left = cache / "packs" / f".building-{socket.gethostname()}-{ended.stdout.strip()}-abcd"
    alive = cache / "packs" / f".building-{socket.gethostname()}-{os.getpid()}-abcd"
    for folder in (left, alive):
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"half")
    load_dataset(make_folder(tmp_path / "set"))
    assert not left.exists()
    assert alive.exists()


def test_a_full_disk_is_told_in_a_line_and_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "set")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(DataError, match="No space left on device; make room there, or set CONVTRIALS_CACHE"):
        load_dataset(folder)
    assert packs(cache) == []


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "set")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CONVTRIALS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="cannot write the pack below"):
        load_dataset(folder)


@pytest.mark.parametrize("name", ["packs", "index"])
def test_a_file_in_the_place_of_a_cache_folder_is_told(tmp_path: Path, cache: Path, name: str) -> None:
    folder = make_folder(tmp_path / "set")
    cache.mkdir()
    (cache / name).write_text("in the way")
    with pytest.raises(DataError, match=f"cannot write the pack below {cache}: .*{name}: File exists"):
        load_dataset(folder)


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "set")

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / "c1"))

    monkeypatch.setattr(FolderSource, "read", denied)
    with pytest.raises(DataError, match=r"c1: cannot be read: Permission denied$"):
        load_dataset(folder)
    monkeypatch.setattr(FolderSource, "stamp", denied)
    with pytest.raises(DataError, match=r"c1: cannot be read: Permission denied$"):
        load_dataset(folder)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a system that reserves disk space")
def test_a_file_size_limit_is_told_not_a_crash(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set", 100)
    command = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
from convtrials.core.errors import DataError
from convtrials.data.open import load_dataset
try:
    load_dataset({str(folder)!r})
except DataError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert "cannot write the pack" in done.stdout, done.stderr


def test_a_set_of_hundreds_of_megabytes_packs_in_little_memory(tmp_path: Path) -> None:
    count = 300_000
    for kind, axes, size in (("images-idx3", (count, 28, 28), count * 784), ("labels-idx1", (count,), count)):
        file = tmp_path / f"big-train-{kind}-ubyte"
        with open(file, "wb") as stream:
            stream.write(bytes([0, 0, 8, len(axes)]) + b"".join(axis.to_bytes(4) for axis in axes))
            stream.truncate(4 + 4 * len(axes) + size)
    command = f"""
import resource
import convtrials.data.pack, convtrials.data.sources.idx_folder
from convtrials.data.open import load_dataset
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load_dataset({str(tmp_path)!r})
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=120, check=False
    )
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert int(done.stdout) < 90, done.stderr  # MiB, for 224 MiB of pixels


def test_some_classes_alone_are_the_same_images_under_new_labels(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set")
    everything = load_dataset(folder)
    part = load_dataset(folder, classes=["c2", "c0"])
    assert part.class_names == ("c0", "c2")  # the source's order, whatever order was asked for
    assert part.counts() == {"train": 28, "val": 6, "test": 6}
    kept = np.flatnonzero(everything.labels != 1)
    np.testing.assert_array_equal(part.images, everything.images[kept])
    np.testing.assert_array_equal(part.labels, everything.labels[kept] // 2)
    assert part.fingerprint != everything.fingerprint
    assert part.manifest["options"]["classes"] == ["c2", "c0"]
    assert "classes" not in everything.manifest["options"]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["c0", "c9"], "'c9' is not a class"),
        ([0, 1], "'0' is not a class of this dataset; did you mean c0"),
        (["c0", "c0"], "is listed twice"),
        (["c1"], "must be two names or more"),
    ],
)
def test_classes_that_cannot_be_are_refused(tmp_path: Path, classes: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_dataset(make_folder(tmp_path / "set"), classes=classes)


def test_chosen_classes_come_back_when_a_run_opens_its_data_again(tmp_path: Path, cache: Path) -> None:
    part = load_dataset(make_folder(tmp_path / "set"), classes=["c0", "c1"])
    record = describe_dataset(part).to_dict()
    shutil.rmtree(cache)
    assert reopen_dataset(record).fingerprint == part.fingerprint
