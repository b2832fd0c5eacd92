"""How the blocks of docs/results.md write shares and tables."""


def percent(value: float | None) -> str:
    """Write an accuracy."""
    return "–" if value is None else f"{100 * value:.2f}%"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table; the first column is text, the others stand to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
