"""What images came from, by a pattern over their paths or by a table; and patterns that would take for ever."""

import time
from pathlib import Path

import numpy as np
import pytest
from little_tables import PIXELS, labels, refusal, write_csv, write_images
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.data import groups, patterns
from convtrials.data.check import check_source
from convtrials.data.export import write_split
from convtrials.data.open import load_dataset, reopen_dataset
from convtrials.data.options import DatasetOptions
from convtrials.data.sources.find import find_source


def folder(place: Path, parts: tuple[str, ...] = ("",)) -> Path:
    """``CLASS/p<patient>_<number>.png``: ten patients with an image of each of four classes."""
    for part in parts:
        for number in range(40):
            home = place / part / labels()[number]
            home.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PIXELS[number] // (1 + len(part))).save(home / f"p{number // 4}_{number}.png")
    return place


def test_a_pattern_names_groups(tmp_path: Path) -> None:
    data = load_dataset(folder(tmp_path), groups=r"/(p\d+)_")
    assert data.groups is not None
    assert data.group_names == tuple(f"p{n}" for n in range(10))
    assert data.groups_are_sampled
    assert data.group_kind == "group"
    for group in range(10):
        assert len(set(data.split[data.groups == group])) == 1
        assert (data.groups == group).sum() == 4
    assert load_dataset(tmp_path, groups=r"p\d+").group_names == data.group_names  # the whole match
    assert load_dataset(tmp_path, groups=r"(?P<patient>p\d+)_").group_kind == "patient"
    assert load_dataset(tmp_path).groups is None


def test_an_image_without_a_group_is_refused(tmp_path: Path) -> None:
    text = refusal(folder(tmp_path), groups=r"/(p[1-9])_")
    assert "names no group in 4 of 40 paths, such as cat/p0_0.png" in text
    assert "names no group in 40" in refusal(tmp_path, groups=r"()p")


def test_a_table_names_groups(tmp_path: Path) -> None:
    source = folder(tmp_path / "images")
    rows = [(f"{labels()[n]}/p{n // 4}_{n}.png", f"{n // 4:03d}") for n in range(40)]
    for forms in (
        rows,
        [(path.split("/")[1], group) for path, group in rows],
        [(path[4:-4], group) for path, group in rows],
    ):
        table = write_csv(tmp_path / "people.csv", forms, ["path", "patient_id"])
        data = load_dataset(source, groups=str(table))
        assert data.group_names == tuple(f"{n:03d}" for n in range(10))
        assert data.group_kind == "patient"
    write_csv(table, [*rows[1:], ("other.png", "7")], ["path", "writer"])
    assert "no group for 1 of 40 images, such as cat/p0_0.png" in refusal(source, groups=str(table))
    write_csv(table, [*rows, (rows[0][0], "9")], ["path", "writer"])
    assert "is in group '000' and in '9'" in refusal(source, groups=str(table))
    write_csv(table, [("a", "b", "c")], ["one", "two", "three"])
    assert "columns of path and group are needed" in refusal(source, groups=str(table))
    assert "no.csv" in refusal(source, groups=str(tmp_path / "no.csv"))


def test_a_changed_table_of_groups_is_read_again(tmp_path: Path) -> None:
    source = folder(tmp_path / "images")
    rows = [(f"p{n // 4}_{n}.png", f"{n // 4}") for n in range(40)]
    table = write_csv(tmp_path / "people.csv", rows, ["path", "group"])
    first = load_dataset(source, groups=str(table))
    write_csv(table, [(path, f"{int(group) // 2}") for path, group in rows], ["path", "group"])
    assert len(load_dataset(source, groups=str(table)).group_names) == 5
    assert len(first.group_names) == 10


def test_a_group_in_two_given_splits_is_a_finding(tmp_path: Path) -> None:
    source = find_source(folder(tmp_path, ("train", "val", "test")))
    report = check_source(source, DatasetOptions.make({"groups": r"(?P<patient>p\d)_"}))
    finding = next(one for one in report.findings if one.kind == "group-leakage")
    assert finding.summary == "leakage by group: 10 of 10 patient(s) in more than one split"
    assert report.spoiled
    assert not any(one.kind == "group-leakage" for one in check_source(source).findings)


def test_tables_with_paths_have_groups_too(tmp_path: Path) -> None:
    names = write_images(tmp_path / "images")
    file = write_csv(tmp_path / "t.csv", zip(names, labels(), strict=True), ["file", "label"])
    data = load_dataset(file, groups=r"(\d\d)\d\.png")
    assert len(data.group_names) == 4
    counts = write_split(file, tmp_path / "out", groups=r"(\d\d)\d\.png")
    assert counts == data.counts()


def test_sources_without_files_have_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.arange(40) % 4)
    assert "no files with paths" in refusal(tmp_path / "a.npz", groups="x")


def test_reopened_with_groups(tmp_path: Path) -> None:
    data = load_dataset(folder(tmp_path), groups=r"/(p\d+)_")
    record = {"source": str(tmp_path), "options": data.manifest["options"], "fingerprint": data.fingerprint}
    assert reopen_dataset(record).group_names == data.group_names


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"^(\w+\d*)*-$"])
def test_a_pattern_that_takes_for_ever_ends(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "PATTERN_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(DataError, match="take for ever"):
        groups._from_paths(pattern, ["a" * 60 + "!"] * 3)
    assert time.monotonic() - started < 60


def test_lengths_are_bounded() -> None:
    with pytest.raises(DataError, match="at most 1,000"):
        groups._from_paths("a" * 1001, ["a"])
    with pytest.raises(DataError, match="characters"):
        groups._from_paths("a", ["a" * 5000])
    assert groups._from_paths("é+", ["caféé", "é"]) == (["éé", "é"], "group")
