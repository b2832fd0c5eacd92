"""Damaged and hostile files of every kind end in one or two lines, never in a traceback, a crash or wrong data."""

import io
import os
import random
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from png_16_bits import colour_16_bits

from convtrials.core.errors import DataError
from convtrials.data import patterns
from convtrials.data.export import write_split
from convtrials.data.from_frame import frame_dataset
from convtrials.data.open import load_dataset
from convtrials.data.options import DatasetOptions
from convtrials.data.parallel import in_another_process
from convtrials.data.sources.archive import ArchiveTree

PIXELS = np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8)
LABELS = np.arange(12) % 2
JUNK = (
    *(
        b"",
        b"\0",
        b'"',
        b",",
        b"\n",
        b"\r",
        b"9" * 400,
        b"-1",
        b"nan",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"1e999",
    ),
    *(b"../", b"/", b"\xed\xa0\x80", b"{", b"[", b"null", b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff"),
)


def png(number: int, size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((size, size), number, np.uint8)).save(out, "PNG")
    return out.getvalue()


def zipped(how: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for number in range(12):
            archive.writestr(f"{'ab'[number % 2]}/{number}.png", png(number))
    return out.getvalue()


def tarred(mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for number in range(12):
            info = tarfile.TarInfo(f"{'ab'[number % 2]}/{number}.png")
            info.size = len(png(number))
            archive.addfile(info, io.BytesIO(png(number)))
    return out.getvalue()


def saved(save: Callable[..., Any], *values: Any, **named: Any) -> bytes:
    out = io.BytesIO()
    save(out, *values, **named)
    return out.getvalue()


def parquets() -> list[bytes]:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def written(table: Any) -> bytes:
        out = io.BytesIO()
        parquet.write_table(table, out)
        return out.getvalue()

    names = ["ab"[label] for label in LABELS]
    files = pa.table({"image": [{"bytes": png(n), "path": f"{n}.png"} for n in range(12)], "label": names})
    columns = {f"pixel{n}": pa.array(column) for n, column in enumerate(PIXELS.reshape(12, 64).T)}
    return [written(files), written(pa.table({"label": names, **columns}))]


def mats() -> list[bytes]:
    from scipy.io import savemat

    part = {"images": PIXELS.reshape(12, 64), "labels": LABELS[:, None]}
    both = {"dataset": {"train": part, "test": part, "mapping": np.array([[0, 48], [1, 49]])}}
    return [saved(savemat, both), saved(savemat, both, do_compression=True)]


def wide_csv() -> bytes:
    header = ",".join(["label", *(f"pixel{n}" for n in range(64))])
    rows = [",".join(["ab"[k], *map(str, image.ravel())]) for k, image in zip(LABELS, PIXELS, strict=True)]
    return "\n".join([header, *rows]).encode()


def csv_of_paths() -> bytes:
    rows = [f"{number}.png,{'ab'[number % 2]},train,{number},1.5" for number in range(12)]
    return "\n".join(["image,label,split,group,weight", *rows]).encode()


def json_lines() -> bytes:
    return "\n".join(f'{{"file_name":"{n}.png","label":"{"ab"[n % 2]}"}}' for n in range(12)).encode()


#: Ending, sound files, and how many damaged ones are tried: .mat files are each read by a process of their own.
KINDS: dict[str, tuple[str, Callable[[], list[bytes]], int]] = {
    "zip": (".zip", lambda: [zipped(zipfile.ZIP_STORED), zipped(zipfile.ZIP_DEFLATED)], 150),
    "tar": (".tar", lambda: [tarred("w")], 100),
    "compressed tar": (".tar.gz", lambda: [tarred("w:gz"), tarred("w:bz2"), tarred("w:xz")], 150),
    "npz": (".npz", lambda: [saved(np.savez, images=PIXELS, labels=LABELS)], 150),
    "npy": (".npy", lambda: [saved(np.save, PIXELS)], 150),
    "mat": (".mat", mats, 4),
    "parquet": (".parquet", parquets, 150),
    "csv": (".csv", lambda: [wide_csv(), csv_of_paths()], 100),
    "jsonl": (".jsonl", lambda: [json_lines()], 100),
}


def damaged(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        place = chance.randrange(len(out) or 1)
        match chance.randrange(5):
            case 0 if out:
                out[place] = chance.randrange(256)
            case 1:
                del out[place : place + chance.choice([1, 4, 50, 1000])]
            case 2:
                out[place:place] = chance.choice(JUNK)
            case 3:
                out[place : place + 8] = out[chance.randrange(len(out) or 1) :][:8]
            case 4 if chance.random() < 0.3:
                del out[place:]
    return bytes(out)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_a_line(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ending, make, count = KINDS[kind]
    sound, chance = make(), random.Random(f"{kind} 1")
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    for number in range(count):
        file = tmp_path / f"file{ending}"
        if kind == "npy":
            file = tmp_path / "arrays"
            file.mkdir(exist_ok=True)
            (file / "labels.npy").write_bytes(saved(np.save, LABELS))
            (file / "images.npy").write_bytes(damaged(sound[0], chance))
        else:
            file.write_bytes(damaged(chance.choice(sound), chance))
        said = outcome(file, skip_bad=number % 3 == 0)
        assert len(said.splitlines()) <= 3, said
        assert len(said) < 1500, said


def outcome(file: Path, **options: Any) -> str:
    """What is said of a file; nothing where it is read."""
    try:
        load_dataset(file, **options)
    except DataError as error:
        return str(error)
    return ""


def test_a_reader_that_ends_its_process_is_an_error() -> None:
    assert in_another_process(abs, -3) == 3
    with pytest.raises(DataError, match="ended"):
        in_another_process(os._exit, 139)


def test_a_row_of_another_number_of_fields_is_refused_in_wide_tables(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    lines = wide_csv().decode().split("\n")
    last = [f"{line.partition(',')[2]},{line.partition(',')[0]}" for line in lines]
    for rows, row in ((lines, 6), (last, 6), (lines, 1)):
        for changed in (rows[row] + ",9", rows[row].replace(",", ",7,", 1), rows[row].partition(",")[2]):
            file.write_text("\n".join([*rows[:row], changed, *rows[row + 1 :]]))
            with pytest.raises(DataError, match=rf"line {row + 1}: 6[46] fields, 65 columns"):
                load_dataset(file)
    file.write_text("\n".join(line + "," if row else line for row, line in enumerate(lines)))
    with pytest.raises(DataError, match="66 fields"):
        load_dataset(file)
    quoted = [line.replace("a,", '"a, ""\nb",', 1) if row else line for row, line in enumerate(lines)]
    file.write_text("\n".join(quoted))
    assert load_dataset(file).class_names == ('a, "\nb', "b")
    file.write_text("\n".join([*quoted, quoted[1] + ",3"]))
    with pytest.raises(DataError, match="line 21: 66 fields"):
        load_dataset(file)


def test_json_of_impossible_numbers_and_paths(tmp_path: Path) -> None:
    file = tmp_path / "table.jsonl"
    file.write_text('{"file_name": "a.png", "label": ' + "1" * 5000 + "}\n")
    with pytest.raises(DataError, match="line 1: not JSON"):
        load_dataset(file)
    file.write_text('{"file_name": "\\ud800/a.png", "label": "x"}\n{"file_name": "b.png", "label": "y"}\n')
    with pytest.raises(DataError, match="is no path"):
        load_dataset(file)


def test_parquet_of_text_that_is_none(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    bad = pa.StringArray.from_buffers(
        2, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xff\xfe")
    )
    parquet.write_table(pa.table({"image": [b"x", b"y"], "label": bad}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column label: text that is not UTF-8 \(byte 0xff\)"):
        load_dataset(tmp_path / "t.parquet")
    nested = pa.array([{"bytes": {"bytes": b"1"}}] * 2)
    parquet.write_table(pa.table({"image": nested, "label": ["a", "b"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="column image: type struct"):
        load_dataset(tmp_path / "t.parquet")


@pytest.mark.parametrize("pattern", ["a{99999999999}(b)", "(" * 5000 + ")" * 5000])
@pytest.mark.parametrize("option", ["groups", "labels_from_names"])
def test_patterns_beyond_all_bounds(option: str, pattern: str) -> None:
    with pytest.raises(DataError, match=f"^{option}: .*regular expression"):
        DatasetOptions.make({option: pattern})


def test_a_pattern_of_labels_that_takes_for_ever_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "PATTERN_SECONDS", 1.0)
    (tmp_path / f"{'a' * 60}!.png").write_bytes(png(1))
    started = time.monotonic()
    with pytest.raises(DataError, match=r"labels_from_names: .* take for ever"):
        load_dataset(tmp_path, labels_from_names="((a+)+)$")
    assert time.monotonic() - started < 20


def write_folder(folder: Path, sizes: tuple[int, ...] = (8,)) -> Path:
    for number in range(40):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (folder / "ab"[number % 2] / f"{number}.png").write_bytes(png(number, sizes[number % len(sizes)]))
    return folder


def test_options_that_a_source_does_not_heed_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder")
    np.savez(tmp_path / "arrays.npz", images=PIXELS, labels=LABELS)
    (tmp_path / "table.csv").write_bytes(wide_csv())
    given: tuple[tuple[Any, dict[str, Any], str], ...] = (
        ("glyphs", {"bits": 4, "samples_per_class": 12}, "bits: .* pixels of 8 bits"),
        ("glyphs", {"fold": "1", "samples_per_class": 12}, "fold: .* is no table"),
        ("glyphs", {"labels_from_names": "(a)", "samples_per_class": 12}, "labels_from_names: "),
        (folder, {"columns": {"label": "x"}}, "columns: .* is no table"),
        (folder, {"bits": 12}, "bits 12: .* images of 8 bits"),
        (folder, {"bits": 12, "image_size": 8, "channels": 1}, "bits 12: .* images of 8 bits"),
        (tmp_path / "arrays.npz", {"bits": 12}, "bits 12: .* images of 8 bits"),
        (tmp_path / "arrays.npz", {"labels_from_names": "(a)"}, "labels_from_names: .* no folder"),
        (tmp_path / "arrays.npz", {"columns": {"label": "x"}}, "columns: .* is no table"),
        (tmp_path / "table.csv", {"labels_from_names": "(a)"}, "labels_from_names: .* no folder"),
    )
    for source, options, message in given:
        with pytest.raises(DataError, match=message):
            load_dataset(source, **options)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"image": list(PIXELS), "label": ["a", "b"] * 6})
    for option in ("val", "test", "labels_from_names"):
        with pytest.raises(DataError, match=f"^{option}: "):
            frame_dataset(frame, None, None, None, {option: "(a)"})


def write_tiff(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def test_bits_are_not_given_to_16_bit_colour_or_to_transparent_images(tmp_path: Path) -> None:
    for number in range(8):
        place = tmp_path / "colour" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(colour_16_bits(4000))
    with pytest.raises(DataError, match="16-bit colour, of which only the high 8 bits"):
        load_dataset(tmp_path / "colour", bits=12)
    for number in range(8):
        place = tmp_path / "clear" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGBA", (8, 8), (3, 3, 3, 200)).save(place)
    with pytest.raises(DataError, match="bits below 8 are read of grey and RGB"):
        load_dataset(tmp_path / "clear", bits=4)


def test_a_written_split_has_the_brightness_of_a_pack(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 4096, (40, 8, 8), dtype=np.uint16)
    np.savez(tmp_path / "arrays.npz", images=values, labels=np.arange(40) % 2)
    packed = load_dataset(tmp_path / "arrays.npz")
    write_split(tmp_path / "arrays.npz", tmp_path / "out")
    again = load_dataset(tmp_path / "out")
    assert {image.tobytes() for image in again.images} == {image.tobytes() for image in packed.images}


def test_tables_that_are_joined_keep_each_its_own_white(tmp_path: Path) -> None:
    for number in range(12):
        write_tiff(
            tmp_path / "train" / "ab"[number % 2] / f"{number}.tif",
            np.full((8, 8), 300 * number, np.uint16),
        )
    (tmp_path / "test.csv").write_bytes(wide_csv())
    data = load_dataset(tmp_path / "train", test=tmp_path / "test.csv")
    np.testing.assert_array_equal(data.images[data.split == 2][..., 0], PIXELS)


def test_of_two_files_of_one_name_in_an_archive_the_later_counts(tmp_path: Path) -> None:
    zip_file, tar_file = tmp_path / "d.zip", tmp_path / "d.tar"
    with zipfile.ZipFile(zip_file, "w") as files:
        files.writestr("a/1.png", png(7))
        with pytest.warns(UserWarning, match="Duplicate name"):
            files.writestr("a/1.png", png(90, 20))
        files.writestr("b/1.png", png(3))
    with tarfile.open(tar_file, "w") as archive:
        for name, number in (("a/1.png", 7), ("a/1.png", 90), ("b/1.png", 3)):
            info = tarfile.TarInfo(name)
            info.size = len(png(number))
            archive.addfile(info, io.BytesIO(png(number)))
    for file in (zip_file, tar_file):
        image = Image.open(io.BytesIO(ArchiveTree(file).read("a/1.png")))
        assert np.asarray(image).max() == 90, file


def test_links_within_an_archive_are_followed_and_others_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    os.symlink("../a/0.png", folder / "b" / "link.png")
    os.symlink("../c", folder / "b" / "away")
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.add(folder, "data")
    tarred = load_dataset(tmp_path / "data.tar")
    assert tarred.fingerprint == load_dataset(folder, skip_bad=True).fingerprint
    assert len(tarred) == 41
    assert any("1 link(s)" in note for note in tarred.notes)


def test_an_archive_that_is_packed_opens_again_unlisted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.zip").write_bytes(zipped(zipfile.ZIP_STORED))
    first = load_dataset(tmp_path / "data.zip")
    monkeypatch.setattr(ArchiveTree, "_index", lambda self: pytest.fail("listed again"))
    assert load_dataset(tmp_path / "data.zip").fingerprint == first.fingerprint
    monkeypatch.undo()
    assert load_dataset(tmp_path / "data.zip", classes=("a", "b"), split_seed=1).fingerprint
    with zipfile.ZipFile(tmp_path / "data.zip", "a") as archive:
        archive.writestr("a/99.png", png(99))
    assert len(load_dataset(tmp_path / "data.zip")) == 13
