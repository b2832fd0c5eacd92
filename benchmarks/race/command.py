"""``python -m benchmarks.race``: how fast this machine trains, with us and with our peers."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from convtrials.cli.main import run_app

app = typer.Typer(
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PEERS = "Peers"
_OURS = "How ours is computed"
_HANGS = "When a contestant counts as hung"


@app.command()
def command(
    model: Annotated[str, typer.Option("--model", "-m", help="alexnet or vgg11.")] = "alexnet",
    width: Annotated[
        float, typer.Option(min=0.01, max=16, help="Multiplies channels and hidden units.")
    ] = 1.0,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=2, help="Images a step.")] = 256,
    data: Annotated[
        str,
        typer.Option("--data", "-d", help="glyphs, emnist36, or a path to images; a few thousand are taken."),
    ] = "glyphs",
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often everybody trains, in turn.")] = 5,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, max=3600, help="Length of a round; 4 by default.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Steps of a round, in place of seconds.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Results as JSON; by default bench-MODEL.json.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="A Markdown file: its table between the bench marks is replaced, or it is made."),
    ] = None,
    start_limit: Annotated[
        float,
        typer.Option(
            min=0.1, max=86_400, help="Seconds until a contestant must be ready.", rich_help_panel=_HANGS
        ),
    ] = 900.0,
    round_limit: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=86_400,
            help="Seconds that a round may take beyond its length.",
            rich_help_panel=_HANGS,
        ),
    ] = 120.0,
    peers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Of keras, lightning, plain, notebook; or all. Installed once, apart.",
            rich_help_panel=_PEERS,
        ),
    ] = None,
    environments: Annotated[
        Path | None,
        typer.Option(
            envvar="CONVTRIALS_BENCH",
            help="Where peers are installed; by default in the cache.",
            rich_help_panel=_PEERS,
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32 or bf16; by default the faster.", rich_help_panel=_OURS)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Of a run alone; by default what is fastest.", rich_help_panel=_OURS),
    ] = None,
    peak: Annotated[
        bool, typer.Option("--peak/--no-peak", help="Time a matrix product: what the machine could do.")
    ] = True,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Train the same network with us and with peers, in turn, and compare.

    Without --peers ours alone is measured, and nothing is installed.
    """
    if precision not in (None, "fp32", "bf16"):
        raise typer.BadParameter(f"{precision!r}: allowed are fp32 and bf16", param_hint="--precision")
    if seconds is not None and steps is not None:
        raise typer.BadParameter(
            "a round has a length in seconds or in steps, not both", param_hint="--steps"
        )
    out = out if out is not None else Path(f"bench-{model}.json")
    asked = _check_early(peers, width, out, table, model)
    from benchmarks.race.benchmark import Wanted, run_benchmark
    from benchmarks.race.environments import default_folder
    from convtrials.core.files import write_json
    from convtrials.core.progress import progress_task

    wanted = Wanted(
        model=model,
        width=width,
        batch_size=batch_size,
        data=data,
        peers=asked,
        rounds=rounds,
        round={"steps": steps} if steps is not None else {"seconds": seconds or 4.0},
        start_limit=start_limit,
        round_limit=round_limit,
        environments=(environments or default_folder()).expanduser().absolute(),
        precision=precision,
        threads=threads,
        peak_size=4096 if peak else 0,
    )
    with _stop_told(), progress_task("bench", wanted.units) as task:
        result = run_benchmark(
            wanted, task, command=shlex.join(["python", "-m", "benchmarks.race", *sys.argv[1:]])
        )
    write_json(out, result)
    written = [f"results: {out}"]
    if table is not None:
        from benchmarks.race.table import put_into

        written.append(f"table: {table}{'' if table.exists() else ' (a new file)'}")
        put_into(table, result)
    _print_table(result)
    for line in written:
        typer.echo(line)
    if any(entry["name"] == "ours" and entry["status"] != "measured" for entry in result["contestants"]):
        raise typer.Exit(1)


def _check_early(
    peers: str | None, width: float, out: Path, table: Path | None, model: str
) -> tuple[str, ...]:
    """Find what cannot work before minutes are spent on measuring; return the peers that are asked for."""
    from benchmarks.race.errors import BenchError
    from benchmarks.race.lineup import check_peers
    from benchmarks.race.network import describe_network
    from benchmarks.race.table import check_place

    describe_network(model, width=width, channels=1, classes=2)
    asked = check_peers(peers)
    if table is not None:
        check_place(table, model)
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise BenchError(f"--out {out}: must be a file in a folder that exists")
    return asked


@contextlib.contextmanager
def _stop_told() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the contestants too, and say so in a line."""
    from convtrials.core.errors import Interrupted
    from convtrials.core.process import StopRequest

    def stop(times: int, number: int) -> None:
        if times == 1:  # while everything is being ended, a second one would only leave something behind
            raise Interrupted("stopped; nothing is left running, and nothing was written")

    with StopRequest(stop).listening():
        yield


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from benchmarks.race.table import images

    setting = result["setting"]
    title = f"{setting['model']}, width {setting['width']:g}, batch {setting['batch_size']}"
    table = Table(
        "training", "images/s", "range", "ours / this", "how", title=title, box=None, pad_edge=False
    )
    for column in table.columns[1:4]:
        column.justify = "right"
    for entry in result["contestants"]:
        label = entry["label"].replace("`", "")
        if entry["status"] != "measured":
            table.add_row(label, "[red]none[/red]", "", "", escape(entry["why"]))
            continue
        ratio = entry.get("ours_over_this")
        times = "" if ratio is None or entry["reference"] else f"[bold]{ratio['median']:.2f}[/bold]"
        rate, _, reach = images(entry["images_per_second"]).rstrip(")").partition(" (")
        table.add_row(label, rate, f"[dim]{reach}[/dim]", times, escape(entry["choice"]))
    console = Console()
    console.print()
    console.print(table)
    for entry in result["contestants"]:
        if entry["reference"] and entry.get("share_of_peak") is not None:
            share = f"{entry['share_of_peak']:.0%} of the speed of the faster matrix product"
            console.print(f"{entry['label']}: {share}", style="dim", highlight=False)


def main() -> None:
    """Run the command line of the race."""
    run_app(app)
