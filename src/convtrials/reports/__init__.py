"""Figures and the self-contained HTML report of a run."""

from typing import TYPE_CHECKING

from convtrials.core.lazy import lazy_names

if TYPE_CHECKING:
    from convtrials.reports.run.report import build_report

__all__ = ["build_report"]

# NumPy, SciPy and the data package come with it: only building a report waits for them.
__getattr__, __dir__ = lazy_names(__name__, {"build_report": f"{__name__}.run.report"})
