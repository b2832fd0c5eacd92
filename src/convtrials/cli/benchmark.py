"""``convtrials benchmark``: what classifying costs, engine by engine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from convtrials.cli.terminal import without_lines
from convtrials.core.log import get_logger

_log = get_logger(__name__)


def benchmark(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    batch_sizes: Annotated[
        str, typer.Option("--batch-sizes", "-b", metavar="N,N", help="Images per call.")
    ] = "1,512",
    engines: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME", help="torch-fp32, torch-int8, onnx-fp32, ...; by default all."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Results as JSON.")] = Path("bench-inference.json"),
    table: Annotated[
        Path | None,
        typer.Option(
            help="Markdown file whose block <!-- inference:begin --> ... end gets the table; created if missing."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Threads; by default one per core.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Rounds of each engine and batch size.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, max=3600, help="Length of one round.")] = 1.0,
    images: Annotated[
        int | None, typer.Option(min=1, help="Use at most this many test images for the accuracy.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Where the dataset is now, if it has moved.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", callback=without_lines, help="No progress, no table.")
    ] = False,
) -> None:
    """Measure a run's inference: latency, throughput and accuracy lost, torch and ONNX Runtime, fp32 to int8.

    Engines take turns, so that what else the machine does hits all alike. An engine that cannot be had here is in the
    table with the reason.
    """
    sizes = parse_sizes(batch_sizes)
    from convtrials.core.files import write_json
    from convtrials.deploy.extra import DeployError
    from convtrials.deploy.inference_bench import bench_inference, check_batch_sizes
    from convtrials.deploy.inference_engines import check_engine_names
    from convtrials.deploy.inference_table import check_block, markdown, replace_block
    from convtrials.deploy.predictor import check_usable
    from convtrials.training.run_directory import Run

    asked = [name.strip() for name in (engines or "").split(",") if name.strip()]
    check_engine_names(asked)
    check_batch_sizes(sizes)
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise DeployError(f"--out {out}: must be a file in a folder that exists")
    if table is not None:
        check_block(table)
    directory = Run(run)
    check_usable(directory)  # a run that is not finished must not wait for its dataset
    document = bench_inference(
        directory,
        directory.open_dataset(data),
        engines=asked,
        batch_sizes=sizes,
        threads=threads,
        rounds=rounds,
        seconds=seconds,
        most_images=images,
    )
    write_json(out, document)
    if table is not None:
        if not table.exists():
            _log.info(f"{table}: a new file")
        replace_block(table, markdown(document))
    if not quiet:
        _show(document)
    typer.echo(out)


def parse_sizes(text: str) -> list[int]:
    """Read ``1,512``.

    Raises
    ------
    typer.BadParameter
        If a part is no whole number.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: allowed are whole numbers, such as 1,512", param_hint="--batch-sizes"
        ) from None


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from convtrials.deploy.inference_table import accuracy_table, explanation, speed_table

    console = Console()
    for headings, rows in (speed_table(document), accuracy_table(document)):
        table = Table(*headings, box=None, pad_edge=False, header_style="dim")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print()
    for engine in document["engines"]:
        if not engine["available"]:
            console.print(
                f"{engine['name']}: not available: {engine['reason']}", markup=False, highlight=False
            )
    for line in explanation(document):
        console.print(line, style="dim", markup=False, highlight=False)
