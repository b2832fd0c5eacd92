"""One dataset through every door: folder, archives, tables, Parquet, arrays and joined sources give the same."""

import csv
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from convtrials.core.log import quiet
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset, reopen_dataset, source_name
from convtrials.data.split import SPLITS

NAMES = ("cat", "dog", "é", "owl 2", "Zebra", "κ", "a|b", "x-y")
SIDE = 8


@dataclass(frozen=True)
class Little:
    """A dataset as it was drawn; image k has the number k in its pixels."""

    classes: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...] | None
    colour: bool

    def pixels(self, number: int) -> np.ndarray:
        # Smooth, so that a table's pixels show in which order colours are.
        rows, columns, colours = np.indices((SIDE, SIDE, 3 if self.colour else 1))
        return (number + 2 * rows + 3 * columns + 60 * colours).astype(np.uint8)

    def png(self, number: int) -> bytes:
        out = io.BytesIO()
        pixels = self.pixels(number)
        Image.fromarray(pixels if self.colour else pixels[..., 0]).save(out, "PNG")
        return out.getvalue()

    def group(self, number: int) -> str:
        return f"g{number % 7}"

    def weight(self, number: int) -> float:
        return 1 + number / 4

    def path(self, number: int) -> str:
        split = "" if self.splits is None else f"{self.splits[number]}/"
        return f"{split}{self.labels[number]}/{self.group(number)}-{number:03d}.png"

    @property
    def numbers(self) -> range:
        return range(len(self.labels))


@st.composite
def little_datasets(draw: st.DrawFn) -> Little:
    classes = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True))
    labels: list[str] = []
    splits: list[str] = []
    given_split = draw(st.booleans())
    for name in classes:
        count = draw(st.integers(9, 14))
        labels += [name] * count
        splits += [draw(st.sampled_from(SPLITS)) if n > 2 else SPLITS[n] for n in range(count)]
    order = draw(st.permutations(range(len(labels))))
    return Little(
        tuple(sorted(classes)),
        tuple(labels[one] for one in order),
        tuple(splits[one] for one in order) if given_split else None,
        draw(st.booleans()),
    )


def write_files(own: Little, folder: Path) -> Path:
    for number in own.numbers:
        target = folder / own.path(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(own.png(number))
    return folder


def as_folder(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    return write_files(own, place / "data"), {}


def as_zip(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    with zipfile.ZipFile(place / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in reversed(own.numbers):
            archive.writestr(f"top/{own.path(number)}", own.png(number))
    return place / "data.zip", {}


def as_tar(own: Little, place: Path, ending: str = ".tar", mode: str = "w") -> tuple[Any, dict[str, Any]]:
    with tarfile.open(place / f"data{ending}", mode) as archive:  # type: ignore[call-overload]
        for number in own.numbers:  # not in the order of their paths
            info = tarfile.TarInfo(own.path(number))
            info.size = len(own.png(number))
            archive.addfile(info, io.BytesIO(own.png(number)))
    return place / f"data{ending}", {}


def as_tar_gz(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    return as_tar(own, place, ".tar.gz", "w:gz")


def rows_of(own: Little) -> list[dict[str, Any]]:
    rows = []
    for number in own.numbers:
        row: dict[str, Any] = {
            "label": own.labels[number],
            "patient": own.group(number),
            "sample_weight": own.weight(number),
        }
        if own.splits is not None:
            row["split"] = own.splits[number]
        rows.append(row)
    return rows


def write_flat(own: Little, folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    for number in own.numbers:
        (folder / f"{own.group(number)}-{number:03d}.png").write_bytes(own.png(number))
    return [f"{own.group(number)}-{number:03d}.png" for number in own.numbers]


def as_csv_of_paths(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    names = write_flat(own, place / "table" / "images")
    with open(place / "table" / "table.csv", "w", newline="", encoding="utf-8") as file:
        rows = [{"file": name, **row} for name, row in zip(names, rows_of(own), strict=True)]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return place / "table", {}


def as_jsonl_of_paths(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    names = write_flat(own, place / "lines")
    rows = [{"file_name": name, **row} for name, row in zip(names, rows_of(own), strict=True)]
    (place / "lines" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return place / "lines", {}


def as_zipped_table(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    folder, _ = as_csv_of_paths(own, place / "zipped")
    with zipfile.ZipFile(place / "table.zip", "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder).as_posix())
    return place / "table.zip", {}


def as_csv_of_pixels(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    with open(place / "pixels.csv", "w", newline="", encoding="utf-8") as file:
        rows = rows_of(own)
        size = own.pixels(0).size
        writer = csv.writer(file)
        writer.writerow([*rows[0], *(f"pixel{n}" for n in range(size))])
        for number, row in enumerate(rows):
            writer.writerow([*row.values(), *own.pixels(number).ravel().tolist()])
    return place / "pixels.csv", {}


def as_parquet(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"image": {"bytes": own.png(n), "path": None}, **row} for n, row in enumerate(rows_of(own))]
    parquet.write_table(pa.Table.from_pylist(rows), place / "data.parquet", row_group_size=5)
    return place / "data.parquet", {}


def as_npz(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    arrays: dict[str, Any] = {}
    for part in SPLITS if own.splits is not None else ("",):
        numbers = [n for n in own.numbers if own.splits is None or own.splits[n] == part]
        end = f"_{part}" if part else ""
        arrays[f"images{end}"] = np.stack([own.pixels(n) for n in numbers])
        arrays[f"labels{end}"] = np.array([own.labels[n] for n in numbers])
        arrays[f"groups{end}"] = np.array([own.group(n) for n in numbers])
    np.savez_compressed(place / "data.npz", **arrays)
    return place / "data.npz", {}


def as_three_folders(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    assert own.splits is not None
    write_files(own, place / "three")
    return place / "three" / "train", {"val": place / "three" / "val", "test": place / "three" / "test"}


def as_a_folder_and_a_table(own: Little, place: Path) -> tuple[Any, dict[str, Any]]:
    assert own.splits is not None
    write_files(own, place / "mixed")
    shutil.rmtree(place / "mixed" / "test")
    numbers = [n for n in own.numbers if own.splits[n] == "test"]
    with open(place / "test.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *(f"pixel{n}" for n in range(own.pixels(0).size))])
        for n in numbers:
            writer.writerow([own.labels[n], *own.pixels(n).ravel().tolist()])
    return place / "mixed" / "train", {"val": place / "mixed" / "val", "test": place / "test.csv"}


Door = Callable[[Little, Path], tuple[Any, dict[str, Any]]]
FILES: tuple[Door, ...] = (as_folder, as_zip, as_tar, as_tar_gz)
TABLES: tuple[Door, ...] = (
    as_csv_of_paths, as_jsonl_of_paths, as_zipped_table, as_csv_of_pixels, as_parquet,
)  # fmt: skip
DOORS: tuple[Door, ...] = (*FILES, *TABLES, as_npz)
JOINED: tuple[Door, ...] = (as_three_folders, as_a_folder_and_a_table)


@contextmanager
def fresh_place() -> Iterator[Path]:
    with TemporaryDirectory() as folder, quiet():
        os.environ["CONVTRIALS_CACHE"] = str(Path(folder) / "cache")
        place = Path(folder) / "work"
        (place / "zipped").mkdir(parents=True)
        yield place


def check(own: Little, data: Dataset, chosen: set[str], *, grouped: bool, weighted: bool) -> list[int]:
    """Compare every image with what was drawn; returns the numbers that are there."""
    numbers = [int(image[0, 0, 0]) for image in data.images]
    assert len(set(numbers)) == len(numbers)
    assert data.class_names == tuple(name for name in own.classes if name in chosen)
    for place, number in enumerate(numbers):
        np.testing.assert_array_equal(data.images[place], own.pixels(number))
        assert data.class_names[data.labels[place]] == own.labels[number]
        if own.splits is not None:
            assert SPLITS[data.split[place]] == own.splits[number]
        if grouped:
            assert data.groups is not None
            assert data.group_names[data.groups[place]] == own.group(number)
        if weighted:
            assert data.weights is not None
            assert data.weights[place] == own.weight(number)
    if grouped and own.splits is None:  # groups are whole
        assert data.groups is not None
        assert all(len(set(data.split[data.groups == group])) == 1 for group in set(data.groups.tolist()))
    return numbers


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVTRIALS_CACHE", "unused")  # put back at the end; each example has its own


@given(own=little_datasets(), data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_door_gives_the_same_images_labels_splits_groups_and_weights(
    own: Little, data: st.DataObject
) -> None:
    options: dict[str, Any] = {}
    chosen = set(own.classes)
    if len(own.classes) > 2 and data.draw(st.booleans(), "some classes"):
        chosen = set(data.draw(st.permutations(own.classes))[:2])
        options["classes"] = tuple(chosen)
    if data.draw(st.booleans(), "fewer"):
        options["samples_per_class"] = 7
    with fresh_place() as place:
        fingerprints, everything = set(), []
        for door in (*DOORS, *(JOINED if own.splits is not None else ())):
            source, more = door(own, place)
            table = door in TABLES
            if door not in (*TABLES, as_npz, as_a_folder_and_a_table):
                more = {**more, "groups": r"(?P<patient>g\d+)-\d+\.png$"}
            grouped = door is not as_a_folder_and_a_table
            opened = load_dataset(source, **options, **more)
            numbers = check(own, opened, chosen, grouped=grouped, weighted=table)
            expected = [n for n in own.numbers if own.labels[n] in chosen]
            if "samples_per_class" in options:
                assert np.bincount(opened.labels).tolist() == [7] * len(chosen)
            else:
                assert sorted(numbers) == expected
            if door in FILES:
                fingerprints.add(opened.fingerprint)
                everything.append(numbers)
            record = {
                "source": source_name(opened),
                "options": opened.manifest["options"],
                "fingerprint": opened.fingerprint,
            }
            record = json.loads(json.dumps(record))
            shutil.rmtree(os.environ["CONVTRIALS_CACHE"])
            assert reopen_dataset(record).fingerprint == opened.fingerprint
        assert len(fingerprints) == 1
        assert all(one == everything[0] for one in everything)


@given(own=little_datasets(), data=st.data())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_stay_with_their_images_where_bad_ones_are_left_out(own: Little, data: st.DataObject) -> None:
    bad = set(data.draw(st.lists(st.sampled_from(own.numbers), max_size=5)))
    files = Little.png

    def broken(self: Little, number: int) -> bytes:
        return b"no image" if number in bad else files(self, number)

    with pytest.MonkeyPatch.context() as patch, fresh_place() as place:
        patch.setattr(Little, "png", broken)
        for door in (*FILES, as_csv_of_paths, as_zipped_table, as_parquet):
            source, _ = door(own, place)
            opened = load_dataset(source, skip_bad=True)
            table = door in TABLES
            numbers = check(own, opened, set(own.classes), grouped=table, weighted=table)
            assert sorted(numbers) == sorted(set(own.numbers) - bad)
            assert len(opened.manifest["quarantined"]) == len(bad)
