"""The rows of a calibration as a CSV file, and the tables of docs/calibration.md that come from it.

A table stands between ``<!-- begin calibration NAME -->`` and ``<!-- end calibration NAME -->``; `TABLES` lists the
names. The words around the tables are written by hand.
"""

import csv
import io
import re
from pathlib import Path

import numpy as np

from benchmarks.calibration.tally import PEERS
from convtrials.core.files import write_text

#: Where the page and the rows lie in the folder of the documentation.
PAGE, ROWS = Path("calibration.md"), Path("calibration", "rows.csv")
#: True differences, in percentage points.
EFFECTS = ("0.25", "0.5", "1", "2")
PEER_COLUMNS = dict(zip(PEERS, ("paired_t", "welch", "one_run_z"), strict=True))
#: Percent of studies, of techniques or of runs; `half_width` in points. Empty: does not apply.
COLUMNS = (
    "world", "seeds", "images", "techniques", "studies", "false_call", "coverage", "false_equivalent",
    *(f"called_{effect}" for effect in EFFECTS), "half_width", "runs_saved",
    *(f"runs_saved_{effect}" for effect in ("0", *EFFECTS)), *PEER_COLUMNS.values(), "judged",
)  # fmt: skip
_MARK = re.compile(r"(<!-- begin calibration (\S+) -->\n).*?(<!-- end calibration \2 -->)", flags=re.DOTALL)

CsvRow = dict[str, str]


def csv_row(row: dict) -> CsvRow:
    """Round a row of a tally as the CSV file has it."""
    effects = {f"{100 * float(name):g}": count for name, count in row["by_effect"].items()}
    several, sequential = len(effects) > 1, len(row["seeds"]) > 1
    cells = {
        "world": row["scenario"],
        "seeds": "-".join(str(n) for n in sorted({row["seeds"][0], row["seeds"][-1]})),
        "images": str(row["images"]),
        "techniques": str(row["techniques"]),
        "studies": str(row["studies"]),
        "false_call": f"{100 * row['false_call']:.1f}",
        "coverage": f"{100 * row['coverage']:.1f}",
        "false_equivalent": f"{100 * row['false_equivalent']:.1f}" if several else "",
        "half_width": f"{100 * np.mean([count['half_width'] for count in effects.values()]):.2f}",
        "runs_saved": f"{100 * row['runs_saved']:.0f}" if sequential else "",
        "judged": row["judged"],
    }
    for effect, count in effects.items():
        if several and effect != "0":
            cells[f"called_{effect}"] = f"{100 * count['called']:.0f}"
        if several and sequential:
            cells[f"runs_saved_{effect}"] = f"{100 * count['runs_saved']:.0f}"
    cells |= {PEER_COLUMNS[name]: f"{100 * share:.1f}" for name, share in row["peers"].items()}
    return {column: cells.get(column, "") for column in COLUMNS}


def write(docs: Path, rows: list[CsvRow]) -> None:
    """Write the rows, and the tables of the page that stands in the same folder."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (docs / ROWS).parent.mkdir(exist_ok=True)
    write_text(docs / ROWS, text.getvalue())
    write_text(docs / PAGE, filled((docs / PAGE).read_text(encoding="utf-8"), rows))


def read_rows(docs: Path) -> list[CsvRow]:
    """Read the rows that `write` wrote."""
    return [*csv.DictReader(io.StringIO((docs / ROWS).read_text(encoding="utf-8")))]


def filled(page: str, rows: list[CsvRow]) -> str:
    """Return the page with its tables made from the rows."""
    return _MARK.sub(lambda found: f"{found[1]}{TABLES[found[2]](rows)}\n{found[3]}", page)


def summary(rows: list[CsvRow]) -> str:
    """Say what the rows say together."""
    judged = [row for row in rows if row["judged"] != "contrast"]
    kept = sum(row["judged"] == "PASS" for row in judged)
    false_calls = max(float(row["false_call"]) for row in judged)
    coverage = min(float(row["coverage"]) for row in judged)
    (known,) = _find(rows, "effects", seeds="5", images="15000", techniques="5")
    worst = {name: max(float(row[column] or 0) for row in rows) for name, column in PEER_COLUMNS.items()}
    others = ", ".join(f"{rate:.0f}% ({name})" for name, rate in worst.items())
    studies = max(int(row["studies"]) for row in rows)
    return f"""\
**{kept} of {len(judged)} rows keep the promise** of at most 5% false calls and at least 95% coverage, within two
standard errors of the simulation ({studies:,} studies per row).
The worst row has {false_calls:.1f}% false calls; the lowest coverage is {coverage:.1f}%.
With five seeds, five techniques and 15,000 test images a true difference of 1 point is found in {known["called_1"]}%
of cases, one of 0.5 points in {known["called_0.5"]}%, one of 0.25 points in {known["called_0.25"]}%.
The usual tests make false calls in far more of the same studies: in up to {others}."""


def false_calls(rows: list[CsvRow]) -> str:
    """Studies without any effect: false calls of ours and of other tests."""
    seeds = ("3", "5", "10", "3-10", "3-20")
    header = [
        "images",
        "techniques",
        *(f"{n} seeds" for n in seeds),
        "paired t / Welch / one run, at 5 seeds",
    ]
    lines = []
    for row in _find(rows, "no effects", seeds="5"):
        here = {"images": row["images"], "techniques": row["techniques"]}
        own = [_find(rows, "no effects", seeds=n, **here)[0]["false_call"] for n in seeds]
        others = " / ".join(f"{float(row[column]):.0f}" for column in PEER_COLUMNS.values())
        lines.append([*_size(row), *own, others])
    return _table(header, lines)


def power(rows: list[CsvRow]) -> str:
    """How often a true difference is called, with five seeds."""
    header = [
        "images",
        "techniques",
        *(f"{effect} point{'' if effect == '1' else 's'}" for effect in EFFECTS),
        "half width",
        "coverage %",
    ]
    lines = [
        [*_size(row), *(row[f"called_{effect}"] for effect in EFFECTS), row["half_width"], row["coverage"]]
        for row in _find(rows, "effects", seeds="5")
    ]
    return _table(header, lines)


def looking_early(rows: list[CsvRow]) -> str:
    """What stopping saves, and what it costs in power."""
    header = ["images", "techniques", "coverage %", "runs saved %, no effect anywhere"]
    header += ["runs saved % at 0 / 0.5 / 1 points", "1 point called %, with 10 seeds for all"]
    lines = []
    for row in _find(rows, "effects", seeds="3-10"):
        here = {"images": row["images"], "techniques": row["techniques"]}
        (without,) = _find(rows, "no effects", seeds="3-10", **here)
        (ten,) = _find(rows, "effects", seeds="10", **here)
        saved = " / ".join(row[f"runs_saved_{effect}"] for effect in ("0", "0.5", "1"))
        called = f"{row['called_1']}, {ten['called_1']}"
        lines.append([*_size(row), row["coverage"], without["runs_saved"], saved, called])
    return _table(header, lines)


def harder_worlds(rows: list[CsvRow]) -> str:
    """The highest rate of false calls in each world, over its sizes."""
    worlds = dict.fromkeys(row["world"] for row in rows if row["world"] not in ("no effects", "effects"))
    seeds = ("3", "5", "10", "3-10")
    lines = []
    for world in worlds:
        worst = [
            max((row["false_call"] for row in _find(rows, world, seeds=n)), key=float, default="")
            for n in seeds
        ]
        lines.append([world, *worst])
    return _table(["world", *(f"{n} seeds" for n in seeds)], lines)


#: Name in the page's marks -> what makes the block.
TABLES = {
    "summary": summary,
    "false-calls": false_calls,
    "power": power,
    "looking-early": looking_early,
    "harder-worlds": harder_worlds,
}


def _find(rows: list[CsvRow], world: str, **cells: str) -> list[CsvRow]:
    return [
        row for row in rows if row["world"] == world and all(row[key] == cell for key, cell in cells.items())
    ]


def _size(row: CsvRow) -> list[str]:
    return [f"{int(row['images']):,}", row["techniques"]]


def _table(header: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *lines])
