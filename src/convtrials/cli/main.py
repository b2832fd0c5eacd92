"""The command line's entry: verbs, global flags, and errors in a line or two."""

import sys
from typing import Annotated

import typer

from convtrials._version import __version__
from convtrials.cli import data, study
from convtrials.cli.benchmark import benchmark
from convtrials.cli.demo import demo
from convtrials.cli.doctor import doctor
from convtrials.cli.evaluate import evaluate
from convtrials.cli.export import export
from convtrials.cli.models import models
from convtrials.cli.train import train
from convtrials.core.console import print_any_text
from convtrials.core.errors import ConvtrialsError, Interrupted
from convtrials.core.log import lines_to, print_line

#: Exit codes: bad input, and a stop that was asked for (128 + SIGINT, as shells count).
BAD_INPUT, STOPPED = 2, 130

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]convtrials demo[/bold]",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"convtrials {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Controlled trials for convolutional image classifiers.

    Bring labelled images and a CNN and ask whether a technique helps: baseline
    and variant are trained under the same conditions, as often as needed, and
    the answer is better, worse, equivalent or not enough evidence.
    """
    context.with_resource(lines_to(print_line))  # the application is us: whatever a library does with logging


app.command(rich_help_panel="Try a technique")(demo)
app.add_typer(study.app, name="study", rich_help_panel="Try a technique")
app.command(rich_help_panel="Train and inspect")(train)
app.command(rich_help_panel="Train and inspect")(evaluate)
app.command(rich_help_panel="Train and inspect")(export)
app.command(rich_help_panel="Train and inspect")(benchmark)
app.add_typer(data.app, name="data", rich_help_panel="Prepare")
app.command(rich_help_panel="Prepare")(models)
app.command(rich_help_panel="Prepare")(doctor)


@app.command(hidden=True, add_help_option=False, context_settings={"ignore_unknown_options": True})
def bench(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Say what replaces this former group of commands."""
    raise ConvtrialsError(
        "bench: for inference type `convtrials benchmark RUN`, for training `python -m benchmarks.race` in a clone"
    )


def main() -> None:
    """Run the command line of convtrials."""
    run_app(app)


def run_app(commands: typer.Typer) -> None:
    """Run a command line; errors and stops end it with one or two lines and their exit code."""
    print_any_text()  # file names need not be UTF-8, and consoles need not either
    try:
        commands()
    except ConvtrialsError as error:
        if "--debug" in sys.argv:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except OSError as error:  # not foreseen: still a line, not a traceback
        if "--debug" in sys.argv:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except Interrupted as stop:
        print(f"\n{stop}", file=sys.stderr)
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
