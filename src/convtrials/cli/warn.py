"""What a reader must know, in a terminal: a line each."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def print_warnings(texts: Iterable[str], console: "Console | None" = None) -> None:
    """Print each as ``warning: ...``, yellow on a terminal."""
    from rich.console import Console

    console = console or Console()
    one_line = not console.is_terminal  # for programs that look for it
    for text in texts:
        console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=one_line)
