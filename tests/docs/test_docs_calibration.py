"""The page of all calibration rows is what its writer makes of them."""

from typing import Any

import pytest
from calibration_tally import PEERS, page
from docs_pages import ROOT

PAGE = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def row(line: str) -> dict[str, Any]:
    """A line of the table as the figures that it was made of, as far as the words above it need them."""
    scenario, seeds, images, techniques, false_call, coverage, _, called, _, _, judged = cells(line)
    by_effect = dict(pair.split(": ") for pair in called.split("; ") if pair)
    return {
        "scenario": scenario,
        "seeds": [int(number) for number in seeds.split("-")],
        "images": int(images.replace(",", "")),
        "techniques": int(techniques),
        "false_call": float(false_call) / 100,
        "coverage": float(coverage) / 100,
        "by_effect": {
            f"{float(effect) / 100:g}": {"called": float(c) / 100} for effect, c in by_effect.items()
        },
        "peers": {},
        "judged": judged,
    }


def test_the_words_above_the_table_are_those_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = PAGE.split("\n\nFalse calls of other tests")
    head, table = first.split("\n\n| studies ")
    rows = {tuple(cells(line)[:4]): row(line) for line in table.split("\n")[2:]}
    *peers, count = second.strip().split("\n")[4:]
    for line in peers:
        *figures, _ = cells(line)[4:]
        found = dict(zip(PEERS, [float(figure) / 100 for figure in figures], strict=True))
        rows[tuple(cells(line)[:4])]["peers"] = found
    monkeypatch.setattr("calibration_tally.table", lambda rows: "TABLE")
    assert page([*rows.values()], 1000) == f"{head}\n\nTABLE\n{count}"
