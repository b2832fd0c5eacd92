"""``runs.csv``: one line per run, for spreadsheets and data frames."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.files import atomic_path
from convtrials.study.results.metrics import verdict_metric
from convtrials.training.run_directory import Run


@dataclass(frozen=True)
class RunRow:
    """A run of a study, as the table has it.

    Attributes
    ----------
    arm : str
        ``baseline``, or the technique's name.
    seed : int
        The run's actual seed.
    run : Run
        Its directory; it need not exist.
    used_in_verdict : bool
        Whether the verdict rests on it: a look uses the first seeds only, whatever else has ended.
    status : str, optional
        What to call a run without a result: ``failed``, ``running``; by default ``unfinished`` once it has begun,
        else ``missing``. A result's own status goes first.
    score : float, optional
        The test metric as people know it, of a run that finished well.
    """

    arm: str
    seed: int
    run: Run
    used_in_verdict: bool
    status: str | None = None
    score: float | None = None


def write_runs_table(
    target: Path,
    rows: Iterable[RunRow],
    *,
    metric: str,
    home: Path | None = None,
) -> None:
    """Write the table atomically, UTF-8, with one header line and one line per run.

    Columns: ``arm``, ``seed``, ``status`` (finished, diverged, or `RunRow.status`), ``test_METRIC``, ``val_accuracy``,
    ``epochs``, ``steps``, ``seconds``, ``cpu_seconds``, ``images_per_second`` (over all training steps),
    ``used_in_verdict`` (true or false) and ``folder`` (seen from the folder of the table). What does not
    exist is empty.

    Parameters
    ----------
    target : Path
        The file to write.
    rows : iterable of RunRow
        In the order of the table.
    metric : str
        The study's metric: names the column.
    home : Path, optional
        What folders of runs are seen from; by default the folder of the table.

    Raises
    ------
    StudyError
        An unknown metric.
    RunError
        A file of an ended run is missing or damaged.
    """
    verdict_metric(metric)
    lines = [_line(row, metric, home or Path(target).parent) for row in rows]
    header = (
        "arm", "seed", "status", f"test_{metric}", "val_accuracy", "epochs", "steps", "seconds", "cpu_seconds",
        "images_per_second", "used_in_verdict", "folder",
    )  # fmt: skip
    with (
        atomic_path(target) as temporary,
        # A folder's name may be bytes that are no UTF-8; they are written as they are.
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.DictWriter(file, header, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _line(row: RunRow, metric: str, home: Path) -> dict[str, Any]:
    line = {
        "arm": row.arm,
        "seed": row.seed,
        "status": row.status or ("unfinished" if row.run.exists else "missing"),
        "used_in_verdict": str(row.used_in_verdict).lower(),
        "folder": _seen_from(home, row.run.folder),
    }
    if not row.run.finished:
        return line
    result, images = row.run.result, row.run.images_seen
    line |= {
        "status": result.status,
        "epochs": result.epochs,
        "steps": result.steps,
        "seconds": result.train_seconds,
        "cpu_seconds": result.cpu_seconds,
        "images_per_second": images / result.train_seconds if images and result.train_seconds else "",
    }
    if not result.diverged:
        line |= {f"test_{metric}": row.score, "val_accuracy": result.val_accuracy}
    return line


def _seen_from(home: Path, folder: Path) -> str:
    return folder.relative_to(home).as_posix() if folder.is_relative_to(home) else str(folder)
