"""A picture of a report: how it is drawn, what it says, and the numbers behind it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.files import atomic_path
from convtrials.reports.style import DPI, figure_style

#: Cells of a table: text, numbers, or nothing.
Row = Sequence[str | int | float | None]


@dataclass(frozen=True, eq=False)
class Picture:
    """One figure of a report.

    Attributes
    ----------
    name : str
        File name without ending; ``name.png`` and ``name.csv`` lie side by side.
    title : str
        Heading, in plain words.
    caption : str
        How to read it, a sentence or two.
    alt : str
        What it shows, for those who do not see it.
    draw : callable
        Returns the matplotlib figure.
    header : tuple of str
        Column names of the table.
    rows : sequence of rows
        The numbers shown.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Any]
    header: tuple[str, ...]
    rows: Sequence[Row]

    def save(self, folder: Path) -> Path:
        """Write ``name.png`` and ``name.csv`` into `folder`, each whole or not at all; return the PNG's path."""
        target = folder / f"{self.name}.png"
        with figure_style(), atomic_path(target) as temporary:
            self.draw().savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
        with (
            atomic_path(folder / f"{self.name}.csv") as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(self.header)
            writer.writerows([["" if cell is None else cell for cell in row] for row in self.rows])
        return target
