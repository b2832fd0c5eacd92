"""How the blocks of docs/results.md write shares, differences, intervals and tables."""

from collections.abc import Callable

from convtrials.core.intervals import TOO_WIDE, too_wide


def percent(value: float | None) -> str:
    """Write an accuracy."""
    return "–" if value is None else f"{100 * value:.2f}%"


def points(value: float | None) -> str:
    """Write a difference of accuracies in percentage points, signed."""
    return "–" if value is None else f"{100 * value:+.2f}"


def span(low: float | None, high: float | None, write: Callable[[float | None], str]) -> str:
    """Write an interval."""
    return "–" if low is None or high is None else f"{write(low)} to {write(high)}"


def difference_span(low: float | None, high: float | None) -> str:
    """Write an interval of differences; one that says nothing is called so."""
    if low is not None and high is not None and too_wide(low, high, "accuracy"):
        return TOO_WIDE
    return span(low, high, points)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table; the first column is text, the others stand to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
