"""Figures and the self-contained HTML report of a run."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convtrials.reports.run.report import build_report

__all__ = ["build_report"]


def __getattr__(name: str) -> Any:
    # NumPy, SciPy and the data room come with it: only who builds a report waits for them.
    if name != "build_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from convtrials.reports.run.report import build_report

    return build_report


def __dir__() -> list[str]:
    return list(__all__)
