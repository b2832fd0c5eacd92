"""How the blocks of docs/results.md write accuracies and tables; differences are written as everywhere."""

from convtrials.core import formatting
from convtrials.core.formatting import NOTHING


def percent(value: float | None) -> str:
    """Write an accuracy."""
    return formatting.percent(value, 2)


def span(low: float | None, high: float | None) -> str:
    """Write an interval of accuracies."""
    return NOTHING if low is None or high is None else f"{percent(low)} to {percent(high)}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table; the first column is text, the others stand to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
