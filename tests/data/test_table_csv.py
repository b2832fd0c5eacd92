"""CSV in every way it is written, and what is no CSV."""

import contextlib
import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from little_tables import labels, refusal, write_csv, write_images

from convtrials.core.errors import DataError
from convtrials.data.open import load_dataset
from convtrials.data.sources import table_csv
from convtrials.data.sources.find import find_source
from convtrials.data.sources.table import first_look, open_file, read_rows
from convtrials.data.sources.table_csv import open_csv
from convtrials.data.sources.tree import DiskTree

#: Text as it may stand in a cell: delimiters, quotes, line ends, accents; no space at the ends, which is not kept.
CELL = st.text(st.sampled_from("ab01é猫,;\t\"'|.- \n"), min_size=1, max_size=8).map(str.strip).filter(bool)
WORD = st.text(st.sampled_from("abcé0 ,\"'"), min_size=1, max_size=6).map(str.strip).filter(bool)
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def listing_of(path: Path) -> tuple[list[str], list[str]]:
    """Images and labels that a table says."""
    table = first_look([open_file(DiskTree(path.parent), path.name)], [255], {}, None)
    rows = read_rows(table)
    names = rows.labelled.names
    return rows.images, [names[code] if code >= 0 else "" for code in rows.labelled.codes]


@SETTINGS
@given(
    labels=st.lists(WORD, min_size=2, max_size=12),
    extra=st.lists(CELL, min_size=12, max_size=12),
    delimiter=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    order=st.permutations(["file", "label", "remark"]),
    by_pandas=st.booleans(),
)
def test_any_table_reads_back(
    tmp_path: Path,
    labels: list[str],
    extra: list[str],
    delimiter: str,
    quoting: Any,
    end: str,
    encoding: str,
    order: list[str],
    by_pandas: bool,
) -> None:
    files = [f"{number}.png" for number in range(len(labels))]
    frame = pandas.DataFrame({"file": files, "label": labels, "remark": extra[: len(labels)]})[list(order)]
    path = tmp_path / "t.csv"
    if by_pandas:
        frame.to_csv(path, index=False, sep=delimiter, quoting=quoting, lineterminator=end, encoding=encoding)
    else:
        with open(path, "w", newline="", encoding=encoding) as file:
            writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
            writer.writerow(frame.columns)
            writer.writerows(frame.itertuples(index=False))
    several = any(part in labels for label in labels if "," in label for part in re.split(r"\s*,\s*", label))
    if several:  # such as "a,b" next to "a"
        with pytest.raises(DataError, match="several classes"):
            listing_of(path)
        return
    images, found = listing_of(path)
    assert images == files
    assert found == labels


@SETTINGS
@given(
    values=st.lists(st.lists(st.integers(0, 255), min_size=16, max_size=16), min_size=1, max_size=30),
    delimiter=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    floats=st.booleans(),
)
def test_any_pixels_read_back(
    tmp_path: Path, values: list[list[int]], delimiter: str, quoting: Any, end: str, floats: bool
) -> None:
    rows = np.array(values)
    frame = pandas.DataFrame(rows.astype(float) if floats else rows, columns=[f"pixel{n}" for n in range(16)])
    frame.insert(0, "label", [f"k{n % 3}" for n in range(len(rows))])
    frame.to_csv(tmp_path / "t.csv", index=False, sep=delimiter, quoting=quoting, lineterminator=end)
    file = open_csv(DiskTree(tmp_path), "t.csv")
    found = np.concatenate(list(file.numbers(range(1, 17))))
    np.testing.assert_array_equal(found, rows)
    backwards = np.concatenate(list(file.numbers(range(16, 0, -1))))
    np.testing.assert_array_equal(backwards, rows[:, ::-1])


@SETTINGS
@given(data=st.binary(min_size=1, max_size=400))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    (tmp_path / "t.jsonl").write_bytes(data)
    for name in ("t.csv", "t.jsonl"):
        with contextlib.suppress(DataError):  # any other exception fails
            find_source(tmp_path / name).scan()


def test_spreadsheets_of_other_countries(tmp_path: Path) -> None:
    names = write_images(tmp_path / "images")
    text = "Datei;Gewicht;label\r\n" + "".join(
        f"{name};0,5;{own}\r\n" for name, own in zip(names, labels(), strict=True)
    )
    (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig")
    assert len(load_dataset(tmp_path / "t.csv", columns={"image": "Datei"})) == 40


def test_latin_1_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("file,label\na.png,Käse\n".encode("latin-1"))
    text = refusal(tmp_path / "t.csv")
    assert "not UTF-8 text (byte 0xe4)" in text
    assert "save it as UTF-8" in text
    late = b"file,label\n" + b"a.png,x\n" * 100_000 + b"b.png,K\xe4se\n"
    (tmp_path / "t.csv").write_bytes(late)
    assert "not UTF-8" in refusal(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("\n\n\n", "empty"),
        ("file,label\n", "no rows"),
        ("file\na.png\n", "one column"),
        ('file,label\n"a.png,cat\nb.png,dog\n', "not CSV"),
        ("file,label\na.png,cat\nb.png,dog,owl\n", "line 3: 3 fields, 2 columns"),
        ("file,label\na.png,cat\nb.png\n", "line 3: 1 fields, 2 columns"),
        ("PK\x03\x04", "spreadsheet"),
        ('file,label\na.png,"' + "x" * 200_000 + '"\n', "not CSV"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert part in refusal(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("[1, 2]\n", "one JSON object a line"),
        ('{"file_name": "a.png", "label": "x"}\n{"file_name"\n', "line 2: not JSON"),
        ('{"file_name": "a.png", "label": ["x", "y"]}\n', "label is a list"),
        ("[" * 100_000 + "\n", "not JSON"),
    ],
)
def test_what_is_no_json(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "metadata.jsonl").write_text(text)
    assert part in refusal(tmp_path / "metadata.jsonl")


def test_lines_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_csv, "MAX_LINE", 1 << 16)
    (tmp_path / "t.csv").write_bytes(b"a," * (1 << 16))
    assert "a line of more than" in refusal(tmp_path / "t.csv")


def test_column_names_may_have_spaces_and_repeat(tmp_path: Path) -> None:
    names = write_images(tmp_path / "images")
    file = write_csv(
        tmp_path / "t.csv", zip(names, labels(), labels(), strict=True), [" File Name ", "x", "x"]
    )
    assert "2 columns are named 'x'" in refusal(file, columns={"label": "x"})


def test_a_tab_file(tmp_path: Path) -> None:
    names = write_images(tmp_path / "images")
    frame = pandas.DataFrame({"file": names, "label": labels()})
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    assert len(load_dataset(tmp_path / "t.tsv")) == 40
    frame.to_csv(tmp_path / "index.csv")  # with the index that pandas adds
    assert len(load_dataset(tmp_path / "index.csv")) == 40
    buffer = io.StringIO()
    frame.to_csv(buffer, sep="\t", index=False)
    assert (tmp_path / "t.tsv").read_text() == buffer.getvalue()
