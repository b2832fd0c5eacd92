"""``convtrials data``: pack, info, check, split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convtrials.cli.terminal import plain, print_json, without_lines
from convtrials.core.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from convtrials.data.check import CheckReport, Finding
    from convtrials.data.dataset import Dataset

app = typer.Typer(
    no_args_is_help=True,
    help="Pack, inspect, check and split labelled images.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: Exit code of a check that found what would spoil a result.
SPOILED = 1
#: Files named of each finding; ``--json`` names all.
SHOWN = 8

_Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="glyphs, emnist36, or a path: a folder of class folders, a folder split into train/val/test, "
        "a directory of IDX files, an .npz.",
        show_default=False,
    ),
]
_ImageSize = Annotated[
    int | None,
    typer.Option(min=1, help="Pixels per side. [dim]Default: as the images are, up to 224; else 64.[/dim]"),
]
_Channels = Annotated[
    int | None, typer.Option(help="1 (grey) or 3. [dim]Default: 1 where every image is grey.[/dim]")
]
_Samples = Annotated[
    int | None,
    typer.Option(min=1, help="Use at most this many images per class, the same ones each time."),
]
_Ratios = Annotated[
    str, typer.Option(metavar="TRAIN,VAL,TEST", help="Shares of the splits that SRC does not have.")
]
_Classes = Annotated[
    str | None, typer.Option(metavar="NAME,NAME,...", help="Use these classes only. [dim]Default: all.[/dim]")
]
_Seed = Annotated[
    int,
    typer.Option("--split-seed", "--seed", help="Seed of the split; train has the same option."),
]
_SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out unreadable files and list them, instead of stopping.")
]
_Json = Annotated[bool, typer.Option("--json", callback=without_lines, help="Print everything as JSON.")]


@app.command()
def pack(
    source: _Source,
    image_size: _ImageSize = None,
    channels: _Channels = None,
    samples_per_class: _Samples = None,
    ratios: _Ratios = "0.7,0.15,0.15",
    seed: _Seed = 0,
    skip_bad: _SkipBad = False,
    classes: _Classes = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare the pack with its source; pack again if anything differs."),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-j", min=1, help="Processes that decode. [dim]Default: one per core.[/dim]"
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Decode a dataset once, into one file that opens at once from then on.

    Training does this by itself; do it here to see the progress, to choose a size, or after images changed in place.
    """
    data = _load(
        source,
        ratios,
        classes,
        image_size=image_size,
        channels=channels,
        samples_per_class=samples_per_class,
        split_seed=seed,
        skip_bad=skip_bad,
        verify=verify,
        workers=workers,
    )
    _show(data, as_json)


@app.command()
def info(
    source: _Source,
    image_size: _ImageSize = None,
    channels: _Channels = None,
    samples_per_class: _Samples = None,
    ratios: _Ratios = "0.7,0.15,0.15",
    seed: _Seed = 0,
    skip_bad: _SkipBad = False,
    classes: _Classes = None,
    as_json: _Json = False,
) -> None:
    """Show what a dataset holds: classes, sizes, splits, fingerprint. Packs it if it is new."""
    data = _load(
        source,
        ratios,
        classes,
        image_size=image_size,
        channels=channels,
        samples_per_class=samples_per_class,
        split_seed=seed,
        skip_bad=skip_bad,
    )
    _show(data, as_json, every_class=True)


@app.command()
def check(
    source: _Source,
    ratios: _Ratios = "0.7,0.15,0.15",
    seed: _Seed = 0,
    as_json: _Json = False,
) -> None:
    """Check every image, and list what would spoil a result.

    Unreadable files, empty classes, the same picture under two classes or in two splits (leakage) end with exit code
    1; duplicates within a class, other files, imbalance, and too few images are notes. Where SRC is
    not split, findings are those of the split that --ratios and --split-seed make.
    """
    from convtrials.data.check import check_source
    from convtrials.data.sources.find import find_source

    report = check_source(find_source(source), ratios=parse_ratios(ratios), split_seed=seed)
    if as_json:
        print_json(report.as_dict())
    else:
        _show_report(report)
    if report.spoiled:
        raise typer.Exit(SPOILED)


@app.command()
def split(
    source: _Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.", show_default=False)],
    samples_per_class: _Samples = None,
    ratios: _Ratios = "0.7,0.15,0.15",
    seed: _Seed = 0,
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies.")] = False,
    skip_bad: _SkipBad = False,
    classes: _Classes = None,
    as_json: _Json = False,
) -> None:
    """Write OUT/train, OUT/val and OUT/test with a folder per class, as split-folders does.

    Training with the same seed and ratios has the same split. Images that are not files are written as PNG.
    """
    from convtrials.data.export import write_split

    counts = write_split(
        source,
        out,
        ratios=parse_ratios(ratios),
        split_seed=seed,
        samples_per_class=samples_per_class,
        classes=parse_classes(classes),
        link=link,
        skip_bad=skip_bad,
    )
    if as_json:
        print_json({"out": str(out), **counts})
    else:
        shown = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        _console().print(f"[bold]{plain(str(out))}[/bold]: {shown}", soft_wrap=True)


def _load(source: str, ratios: str, classes: str | None, **options: Any) -> "Dataset":
    from convtrials.data.open import load_dataset

    return load_dataset(source, ratios=parse_ratios(ratios), classes=parse_classes(classes), **options)


def parse_ratios(text: str) -> tuple[float, ...]:
    """Read ``0.7,0.15,0.15`` as given to ``--ratios``; shares must be sound and sum to 1."""
    from convtrials.data.split import check_ratios

    try:
        values = [float(item) for item in text.split(",")]
    except ValueError as error:
        raise DataError(
            f"--ratios {text}: three numbers with commas are needed, such as 0.7,0.15,0.15"
        ) from error
    return check_ratios(values)


def parse_classes(text: str | None) -> tuple[str, ...] | None:
    """Read ``0,1,2`` as given to ``--classes``; None where nothing was given."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _show(data: "Dataset", as_json: bool, *, every_class: bool = False) -> None:
    if as_json:
        facts = {key: value for key, value in data.manifest.items() if key != "files"}
        print_json({"folder": str(data.folder), **facts})
        return
    from rich.table import Table

    table = Table(
        box=None, show_header=False, title=plain(data.name), title_justify="left", title_style="bold"
    )
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in {**_content(data), **_origin(data)}.items():
        table.add_row(name, plain(value))
    _console().print(table)
    if every_class:
        _show_classes(dict(zip(data.class_names, data.manifest["class_counts"], strict=True)))


def _content(data: "Dataset") -> dict[str, str]:
    """Say what is in a dataset."""
    height, width, channels = data.image_shape
    counts = ", ".join(f"{count:,} {name}" for name, count in data.counts().items())
    return {
        "source": data.manifest["location"],
        "images": f"{len(data):,} of {height} x {width}, {'grey' if channels == 1 else 'colour'}",
        "classes": f"{len(data.class_names)}: {_shortened(data.class_names)}",
        "split": f"{counts} (by {data.manifest['split_by']})",
        "pixels": f"mean {_numbers(data.mean)}, deviation {_numbers(data.std)} (training split, 0 to 1)",
        "fingerprint": data.fingerprint,
        "pack": str(data.folder),
    }


def _origin(data: "Dataset") -> dict[str, str]:
    """Say what images came from, and which files are not in; only what there is."""
    from convtrials.data.store import source_paths

    rows = {}
    if data.groups is not None:
        kind = "a sample, each in one split" if data.groups_are_sampled else "a fixed factor, in every split"
        rows["groups"] = f"{len(data.group_names)} of kind {data.group_kind}: {kind}"
    if paths := source_paths(data):
        rows["files"] = f"{paths[0]} to {paths[-1]}; all are listed in the pack's paths.json"
    if left_alone := data.manifest.get("left_alone"):
        rows["left alone"] = f"{left_alone:,} other file(s) (see: convtrials data check)"
    if bad := data.manifest["quarantined"]:
        rows["left out"] = f"{len(bad)} unreadable file(s), first: {bad[0]['path']}"
    return rows


def _show_classes(counts: dict[str, int]) -> None:
    from rich.columns import Columns

    widest = max(map(len, counts))
    items = [f"[cyan]{plain(name.ljust(widest))}[/cyan] {count:>7,}" for name, count in counts.items()]
    _console().print(Columns(items, padding=(0, 3)))


def _shortened(names: tuple[str, ...], most: int = 40) -> str:
    return " ".join(names[:most]) + (f" ... and {len(names) - most} more" if len(names) > most else "")


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def _show_report(report: "CheckReport") -> None:
    console = _console()
    counts = ", ".join(f"{count:,} {name}" for name, count in report.splits.items())
    console.print(f"[bold]{plain(report.location)}[/bold]", soft_wrap=True)
    console.print(
        f"{report.images:,} images, {len(report.classes)} classes; split by {report.split_by}: {counts}"
    )
    for finding in report.findings:
        _show_finding(finding, console)
    if report.spoiled:
        console.print("[bold red]Results from this data would be wrong.[/bold red]")
    elif report.too_few:
        console.print(
            "[bold yellow]Nothing here is wrong, but some results would say little: see the notes.[/bold yellow]"
        )
    else:
        console.print("[bold green]Nothing here would spoil a result.[/bold green]")


def _show_finding(finding: "Finding", console: "Console") -> None:
    sign = "[bold red]spoils[/bold red]" if finding.spoils else "[yellow]note[/yellow]  "
    console.print(f"{sign}  {plain(finding.summary)}", soft_wrap=True)
    for item in finding.items[:SHOWN]:
        console.print(f"          {plain(item)}", style="dim", soft_wrap=True)
    if len(finding.items) > SHOWN:
        console.print(
            f"          ... and {len(finding.items) - SHOWN:,} more (--json names all)", style="dim"
        )
    if finding.remedy:
        console.print(f"          [green]->[/green] {plain(finding.remedy)}")
