"""Medians, ratios round by round, and the table that tells them."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.race.contestant import Contestant
from benchmarks.race.errors import BenchError
from benchmarks.race.race import Row
from benchmarks.race.results import ratios, share_of_peak, summarise
from benchmarks.race.table import check_place, markdown_table, put_into
from convtrials.core.files import read_json, write_json


def row(name: str, rates: list[float], *, group: str = "alone", why: str = "", **options: Any) -> Row:
    rounds = [
        {"images_per_second": rate, "images": 10, "seconds": 1.0, "cpu_seconds": 2.0, "loss": float("nan")}
        for rate in rates
    ]
    facts = {"parameters": 7, "choice": f"{name} | fast", "versions": {"python": "3.11", "torch": "2.13.0"}}
    return Row(Contestant(name, name, group, (), **options), facts, rounds, why)


@pytest.fixture
def result() -> dict[str, Any]:
    """Ours at 400, 100 and 900 images/s while a peer has 100, 50 and 150: by hand 4, 2 and 6, median 4."""
    rows = [
        row("ours", [400, 100, 900], reference=True),
        row("peer", [100, 50, 150]),
        row("gone", [80], why="out of memory"),
        row("notebook", [1, 0.5, 2.5], same_network=False),
        row("ours-together", [500, 500, 480], group="together", reference=True),
        row("peer-together", [250, 200, 240], group="together"),
    ]
    entries = summarise(rows)
    for entry in entries:
        entry["share_of_peak"] = share_of_peak(entry, 2_000_000, {"bf16": 1.6e9, "fp32": 0.5e9})
    setting = {
        "model": "alexnet",
        "width": 1.0,
        "batch_size": 256,
        "data": "glyphs",
        "image": [28, 28, 1],
        "classes": 36,
        "parameters": 7,
        "forward_flops": 338_000_000,
        "training_flops": 2_000_000,
        "rounds": 3,
        "round": {"seconds": 4.0},
    }
    return {
        "format": 1,
        "command": "python -m benchmarks.race",
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {"processor": "A Processor", "usable_cores": 2, "python": "3.11.7"},
        "setting": setting,
        "matmul": {"n": 4096, "threads": 2, "bf16": 1.6e12, "fp32": 0.5e12},
        "contestants": entries,
    }


def test_ratios_are_taken_round_by_round() -> None:
    # The medians are 400 and 100 in the first case as well, but not in the second: 300 / 120 would be 2.5.
    assert ratios([400, 100, 900], [100, 50, 150]) == {"median": 4, "min": 2, "max": 6}
    assert ratios([300, 100, 600], [100, 120, 400])["median"] == pytest.approx(1.5)
    with pytest.raises(ValueError, match="zip"):
        ratios([1, 2], [1])


def test_everybody_is_compared_with_ours_of_the_same_group(result: dict[str, Any]) -> None:
    entries = {entry["name"]: entry for entry in result["contestants"]}
    assert entries["peer"]["images_per_second"] == {"median": 100, "min": 50, "max": 150}
    assert entries["peer"]["ours_over_this"] == {"median": 4, "min": 2, "max": 6}
    assert entries["peer-together"]["ours_over_this"] == {"median": 2, "min": 2, "max": 2.5}
    assert entries["notebook"]["ours_over_this"]["median"] == 360
    assert entries["gone"]["status"] == "failed"
    assert entries["gone"]["why"] == "out of memory"
    assert "images_per_second" not in entries["gone"]


def test_the_share_of_the_peak(result: dict[str, Any]) -> None:
    entries = {entry["name"]: entry for entry in result["contestants"]}
    assert entries["ours"]["share_of_peak"] == pytest.approx(400 * 2e6 / 1.6e9)
    assert entries["notebook"]["share_of_peak"] is None  # other work an image
    assert entries["gone"]["share_of_peak"] is None
    assert share_of_peak(entries["ours"], 2_000_000, {}) is None


def test_without_ours_there_are_figures_and_no_ratios() -> None:
    ours, peer = summarise([row("ours", [400], reference=True, why="crashed"), row("peer", [100])])
    assert ours["status"] == "failed"
    assert peer["images_per_second"]["median"] == 100
    assert "ours_over_this" not in peer


def test_the_table_has_every_row_in_its_group(result: dict[str, Any]) -> None:
    lines = markdown_table(result).splitlines()
    assert "| peer | 100 (50 to 150) | 4.00 (2.00 to 6.00) | peer \\| fast |" in lines
    assert "| ours | 400 (100 to 900) |  | ours \\| fast |" in lines
    assert "| gone | not measured | | out of memory |" in lines
    assert any(
        line.startswith("| notebook | 1.0 (0.5 to 2.5)") and "another network" in line for line in lines
    )
    side_by_side = lines.index("| *runs side by side, one thread each* | | | |")
    assert lines.index("| ours | 400 (100 to 900) |  | ours \\| fast |") < side_by_side
    assert lines[side_by_side + 2].startswith("| peer-together | 240 (200 to 250) | 2.00")
    rows = [line for line in lines if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
    text = "\n".join(lines)
    assert "ours: 0.00 GFLOP per image, at 50% of the speed of the faster matrix product." in text
    assert "1.60 TFLOP/s in bf16, 0.50 in fp32" in text
    assert "Packages: torch 2.13.0." in text
    assert "python -m benchmarks.race" in text


def test_the_table_is_the_same_from_the_file(result: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "bench.json", result)  # a loss that is not finite is in it
    json.loads((tmp_path / "bench.json").read_text(), parse_constant=pytest.fail)
    assert markdown_table(read_json(tmp_path / "bench.json")) == markdown_table(result)


def test_only_the_place_of_the_model_is_replaced(result: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    other = "kept\n<!-- bench:begin vgg11 -->\n<!-- bench:end vgg11 -->\n"
    page.write_text("# Speed\n<!-- bench:begin -->\nold\n<!-- bench:end -->\n" + other)
    put_into(page, result)
    first = page.read_text()
    assert first.startswith("# Speed\n<!-- bench:begin -->\n**alexnet**")
    assert first.endswith("<!-- bench:end -->\n" + other)
    assert "old" not in first
    put_into(page, result)
    assert page.read_text() == first
    result["setting"]["model"] = "vgg11"
    put_into(page, result)
    assert page.read_text().startswith(first[: first.index("<!-- bench:begin vgg11 -->")])
    assert "<!-- bench:begin vgg11 -->\n**vgg11**" in page.read_text()


def test_a_page_without_a_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- bench:begin -->\n<!-- bench:end -->\n")
    check_place(page, "alexnet")
    with pytest.raises(BenchError, match="put <!-- bench:begin vgg11 -->"):
        check_place(page, "vgg11")  # else it would overwrite the other network's table
    page.write_text("<!-- bench:end -->\n<!-- bench:begin -->\n")
    with pytest.raises(BenchError, match="no place"):
        check_place(page, "alexnet")
    with pytest.raises(BenchError, match="not readable"):
        check_place(tmp_path, "alexnet")


def test_a_page_that_is_not_there_is_made_with_its_place(result: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "new.md"
    check_place(page, "alexnet")
    assert not page.exists()
    put_into(page, result)
    first = page.read_text()
    assert first == f"<!-- bench:begin alexnet -->\n{markdown_table(result)}\n<!-- bench:end alexnet -->\n"
    put_into(page, result)
    assert page.read_text() == first
    with pytest.raises(BenchError, match=r"nowhere/new\.md: must be a file in a folder that exists"):
        check_place(tmp_path / "nowhere" / "new.md", "alexnet")
