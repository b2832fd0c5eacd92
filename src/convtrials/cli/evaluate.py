"""``convtrials evaluate``: the numbers and the report of a finished run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convtrials.cli.terminal import print_json, without_lines
from convtrials.core.files import read_json
from convtrials.core.log import get_logger

_log = get_logger(__name__)

if TYPE_CHECKING:
    from convtrials.data.dataset import Dataset
    from convtrials.training.run_directory import Run


def evaluate(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Where the dataset is now, if it has moved.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", callback=without_lines, help="Print only the report's path.")
    ] = False,
) -> None:
    """Measure a run on its test split and write its report.

    Writes report.html (one self-contained page), metrics.json and figures/ into the run directory. Pictures with
    images need the dataset; where it is gone or has changed they are left out, and the report says so. A place given
    with --data must hold it.
    """
    from convtrials.reports.run.report import build_report
    from convtrials.training.run_directory import load_run

    opened = load_run(run)
    opened.read_predictions()  # a run that cannot be evaluated must not wait for its dataset
    dataset, problem = open_data(opened, data)
    page = build_report(opened, dataset, remark=problem)
    if problem is not None:
        _log.info(f"note: pictures with images are left out: {problem}")
    if as_json:
        print_json(read_json(run / "metrics.json"))
    elif quiet:
        typer.echo(page)
    else:
        _print_table(run, page)


def open_data(run: "Run", source: str | None) -> "tuple[Dataset | None, str | None]":
    """Return the run's dataset, or None and why it cannot be opened.

    A place that was typed must hold the dataset: a mistyped one is an error, and nothing is written.
    """
    from convtrials.core.errors import DataError

    try:
        return run.open_dataset(source), None
    except DataError as problem:
        if source is not None:
            raise
        return None, str(problem)


def _print_table(run: Path, page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from convtrials.cli.terminal import print_warnings
    from convtrials.core.files import read_json
    from convtrials.reports.run.headlines import headlines

    metrics = read_json(run / "metrics.json")
    table = Table("on the test split", "value", "95% interval", box=None, pad_edge=False, header_style="dim")
    table.columns[1].justify = "right"
    for one in headlines(metrics):
        table.add_row(one.label, f"[bold]{one.value}[/bold]", one.interval)
    console = Console()
    console.print()
    console.print(table)
    console.print(f"{metrics['images']:,} images, {metrics['classes']} classes", style="dim", highlight=False)
    print_warnings((one["text"] for one in metrics["warnings"]), console)
    # A long path must stay one line, so that it can be clicked and copied.
    console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
