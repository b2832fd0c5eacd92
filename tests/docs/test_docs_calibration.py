"""The tables of the calibration's page are those of its rows, and the simulator writes such rows."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from docs_pages import ROOT

from benchmarks.calibration import __main__ as calibration
from benchmarks.calibration.page import COLUMNS, PAGE, ROWS, TABLES, filled, read_rows

DOCS = ROOT / "docs"


def test_the_tables_are_those_of_the_rows() -> None:
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    assert all(f"<!-- begin calibration {name} -->" in page for name in TABLES)
    assert filled(page, read_rows(DOCS)) == page


def test_the_rows_are_those_of_the_scenarios() -> None:
    expected = [
        (one.name, len(looks) > 1, str(images), str(techniques))
        for one in calibration.SCENARIOS
        for images in one.images
        for techniques in one.techniques
        for looks in one.looks
    ]
    found = [(row["world"], "-" in row["seeds"], row["images"], row["techniques"]) for row in read_rows(DOCS)]
    assert found == expected


def test_a_tiny_simulation_writes_the_same_columns(tmp_path: Path) -> None:
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    (tmp_path / PAGE).write_text(page, encoding="utf-8")
    script = [sys.executable, "-m", "benchmarks.calibration"]
    done = subprocess.run(
        [*script, "--studies", "2", "--processes", "1", "--docs", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: two studies prove no promise
    header = ",".join(COLUMNS)
    written = (tmp_path / ROWS).read_text(encoding="utf-8").split("\n")
    assert written[0] == header == (DOCS / ROWS).read_text(encoding="utf-8").split("\n")[0]
    rows, kept = read_rows(tmp_path), read_rows(DOCS)
    for row, other in zip(rows, kept, strict=True):
        same = "world", "seeds", "images", "techniques"
        assert [row[key] for key in same] == [other[key] for key in same]
        assert {key for key in COLUMNS if row[key] and key[:6] != "called" and "_saved_" not in key} <= {
            key for key in COLUMNS if other[key]
        }
    assert Counter(row["studies"] for row in rows) == {"2": 218, "1": 2}
    written_page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert written_page != page
    assert filled(written_page, kept) == page  # the words between the tables stay
