"""What commands print: warnings, and text that is not to be read as markup."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from convtrials.core.log import quiet

if TYPE_CHECKING:
    from rich.console import Console


def print_warnings(texts: Iterable[str], console: "Console | None" = None) -> None:
    """Print each as ``warning: ...``, yellow on a terminal."""
    from rich.console import Console

    console = console or Console()
    one_line = not console.is_terminal  # for programs that look for it
    for text in texts:
        console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=one_line)


def without_lines(context: typer.Context, wanted: bool) -> bool:
    """Take a flag under which a command shows neither lines on how it goes on nor progress."""
    if wanted:
        context.with_resource(quiet())
    return wanted


def plain(text: str) -> str:
    """Return text for a console, whose brackets are no markup."""
    from rich.markup import escape

    return escape(text)


def print_json(value: Any) -> None:
    """Print a value for a program that reads it."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))
