"""What commands share: options on how a run is computed, and what is printed: warnings, text that is no markup."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convtrials.core.console import writes_unicode
from convtrials.core.log import get_logger, quiet
from convtrials.training.engine.device import ALLOWED, DEVICE

if TYPE_CHECKING:
    from rich.console import Console

    from convtrials.data.dataset import Dataset

_log = get_logger(__name__)

#: The panel of options that change how fast a result comes, hardly the result.
COMPUTING = "How it is computed"


def _known_precision(asked: str | None) -> str | None:
    if asked not in (None, "fp32", "bf16"):
        raise typer.BadParameter(f"{asked!r}: allowed are fp32 and bf16", param_hint="--precision")
    return asked


def _known_device(asked: str | None) -> str | None:
    if asked is not None and not DEVICE.fullmatch(asked):
        raise typer.BadParameter(f"{asked!r}: allowed are {ALLOWED}", param_hint="--device")
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
    str | None,
    typer.Option(
        callback=_known_device,
        help="cpu, cuda, cuda:N or mps; by default the first CUDA GPU if there is one, else the CPU.",
        rich_help_panel=COMPUTING,
    ),
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


def show_dataset(dataset: "Dataset") -> None:
    """Say what was asked for and what it was read as, before work begins."""
    from convtrials.data.summary import summary_lines

    for line in summary_lines(dataset):
        _log.info(line)


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
    """Print a value for a program that reads it; in ASCII where standard output is not UTF-8, as JSON must be."""
    import json
    import sys

    print(json.dumps(value, indent=2, ensure_ascii=not writes_unicode(sys.stdout)))
