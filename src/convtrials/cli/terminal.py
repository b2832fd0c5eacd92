"""What commands share: options on how a run is computed, and what is printed: warnings, text that is no markup."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convtrials.core.log import quiet

if TYPE_CHECKING:
    from rich.console import Console

#: The panel of options that change how fast a result comes, hardly the result.
COMPUTING = "How it is computed"


def _known_precision(asked: str | None) -> str | None:
    if asked not in (None, "fp32", "bf16"):
        raise typer.BadParameter(f"{asked!r}: allowed are fp32 and bf16", param_hint="--precision")
    return asked


PrecisionOption = Annotated[
    str | None,
    typer.Option(
        callback=_known_precision, help="fp32 or bf16; by default the faster.", rich_help_panel=COMPUTING
    ),
]
ChannelsLastOption = Annotated[
    bool | None,
    typer.Option(
        "--channels-last/--no-channels-last",
        help="Memory format of images; by default the faster.",
        rich_help_panel=COMPUTING,
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.", rich_help_panel=COMPUTING)
]
LogToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--log-to",
        metavar="SERVICE",
        help="mlflow or wandb: send curves there too; may be repeated. none ends it.",
    ),
]


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
