"""A study on disk, as Python sees it: verdicts, warnings, a data frame, a table in a notebook."""

import html
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convtrials.core.console import for_print
from convtrials.core.errors import StudyError
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.plan import Plan, seeds_of
from convtrials.study.results.metrics import scale_of
from convtrials.study.results.verdict_row import VerdictRow, ranked, verdict_rows
from convtrials.study.run_study import judged_now
from convtrials.study.schemas import Costs, Verdicts

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class StudyResult:
    """What a study says: finished, or as far as its runs have ended.

    Examples
    --------
    >>> import convtrials as ct
    >>> result = ct.load_study("runs/gelu")
    >>> print(result.verdict("gelu"))  # doctest: +ELLIPSIS
    gelu...
    >>> result.complete
    True
    """

    folder: Path

    @cached_property
    def _plan(self) -> Plan:
        return StudyDirectory(self.folder).plan

    @cached_property
    def _judged(self) -> tuple[Verdicts, Costs]:
        """What was written at the end; of an unfinished study, what its runs say now."""
        study = StudyDirectory(self.folder)
        if study.verdicts_path.is_file():
            written = study.verdicts
            if written.complete and written.plan == self._plan.fingerprint:
                return written, study.costs
        now = judged_now(self.folder)
        return now.verdicts, now.costs

    @property
    def _verdicts(self) -> Verdicts:
        return self._judged[0]

    @cached_property
    def _rows(self) -> list[VerdictRow]:
        return verdict_rows(*self._judged)

    @property
    def complete(self) -> bool:
        """Whether every technique has its verdict; False while more runs may change one."""
        return self._verdicts.complete

    def verdict(self, technique: str) -> VerdictRow:
        """Return the verdict on one technique: word, difference, interval, cost; ``str()`` gives its sentence.

        Raises
        ------
        StudyError
            There is no such technique.
        """
        for row in self._rows:
            if row.name == technique:
                return row
        names = ", ".join(row.name for row in self._rows)
        raise StudyError(f"{technique!r:.80} is not a technique of {self.folder}; there are: {names}")

    def verdicts(self) -> dict[str, str]:
        """Return the sentence of each technique, by name."""
        return {row.name: row.sentence for row in self._rows}

    def warnings(self) -> list[str]:
        """Return what must be known before believing the verdicts, the most serious first; empty where all is well."""
        return [one.text for one in self._verdicts.warnings]

    def publish(self, out: str | Path, *, pictures: bool = True) -> Path:
        """Write a small copy that can be judged again, without weights, times of day and paths of the machine.

        Parameters
        ----------
        out : path
            A new or empty folder, or one that holds an earlier copy of this study.
        pictures : bool
            Take along what the report has drawn.

        Raises
        ------
        StudyError
            `out` holds something else, or the study has no finished run.
        """
        from convtrials.study.publish import publish

        publish(self.folder, out, pictures=pictures)
        return Path(out)

    def document(self) -> dict[str, Any]:
        """Return what ``verdicts.json`` holds, or would hold by now."""
        return self._verdicts.to_dict()

    def to_frame(self) -> "pandas.DataFrame":
        """Return the verdicts as a pandas data frame: a row per technique, the columns of `VerdictRow`."""
        import pandas  # late: half a second

        columns = [field.name for field in fields(VerdictRow)]
        frame: Any = pandas.DataFrame([asdict(row) for row in self._rows], columns=columns)
        return frame.set_index("name")

    def __str__(self) -> str:
        return for_print("\n".join(filter(None, (self._open(), *self.verdicts().values(), *self.warnings()))))

    def _repr_html_(self) -> str:
        """Show the verdicts as a table in a notebook, with what they rest on."""
        spec, verdicts = self._plan.spec, self._verdicts
        scale = scale_of(spec.metric)
        header = (
            "technique",
            "verdict",
            f"{'gain' if scale.lower_is_better else 'difference'}, {scale.unit}",  # above 0 where it is better
            f"{verdicts.level} interval",
            "p",
            "cost",
        )
        lines = [
            (row.name, _word(row), row.gain, row.interval, row.p_written, row.cost_written)
            for row in ranked(self._rows)
        ]
        facts = (
            f"metric: {scale.label}; margin: {scale.amount(spec.margin)}; {seeds_of(spec)} seeds per arm; "
            f"{verdicts.test_images:,} test images"
        )
        title = spec.title or f"Study {self.folder.name}"
        notes = filter(None, (self._open(), *(f"Warning: {text}" for text in self.warnings())))
        return "\n".join(
            [
                f"<div><strong>{html.escape(title)}</strong><br>{html.escape(facts)}",
                "<table>",
                f"<tr>{_cells('th', header)}</tr>",
                *(f"<tr>{_cells('td', line)}</tr>" for line in lines),
                "</table>",
                *(f"<p>{html.escape(note)}</p>" for note in notes),
                "</div>",
            ]
        )

    def _open(self) -> str:
        """Say that a study is not finished; nothing of a finished one."""
        if self.complete:
            return ""
        return "This study is not finished: its verdicts may still change."


def load_study(folder: str | Path) -> StudyResult:
    """Open a study directory, finished or not.

    Raises
    ------
    StudyError
        There is no study, or its files are damaged.

    Examples
    --------
    >>> load_study("runs/gelu").verdict("gelu").seeds
    2
    """
    result = StudyResult(Path(folder))
    _ = result._verdicts  # a study that cannot be read is refused here
    return result


def _word(row: VerdictRow) -> str:
    if row.waiting:
        return "no result yet"
    return row.word if row.final else f"{row.word} so far"


def _cells(tag: str, texts: tuple[str, ...]) -> str:
    return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
