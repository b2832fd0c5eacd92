"""``convtrials data``: pack, info, check, split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convtrials.cli import data_options as opt
from convtrials.cli.terminal import plain, print_json, without_lines

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

_SOURCE = typer.Argument(
    metavar="SRC",
    help="glyphs, emnist36, or a path: a folder of class folders or splits, a table, an archive, IDX, .npz.",
    show_default=False,
)
_Source = Annotated[str | None, _SOURCE]
_NeededSource = Annotated[str, _SOURCE]
_Seed = Annotated[
    int,
    typer.Option(
        "--split-seed",
        "--seed",
        help="Seed of the split; train has the same option.",
        rich_help_panel=opt.DATA,
    ),
]
_Json = Annotated[bool, typer.Option("--json", callback=without_lines, help="Print everything as JSON.")]


@app.command()
def pack(
    source: _Source = None,
    train: opt.TrainSource = None,
    val: opt.ValSource = None,
    test: opt.TestSource = None,
    image_size: opt.ImageSize = None,
    channels: opt.Channels = None,
    fit: opt.FitOption = None,
    pad: opt.PadOption = None,
    bits: opt.Bits = None,
    samples_per_class: opt.Samples = None,
    classes: opt.Classes = None,
    ratios: opt.Ratios = opt.DEFAULT_RATIOS_TEXT,
    split_seed: _Seed = 0,
    groups: opt.Groups = None,
    columns: opt.Columns = None,
    fold: opt.Fold = None,
    skip_bad: opt.SkipBad = False,
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
    given = {name: value for name, value in locals().items() if name not in ("source", "as_json")}
    _show(_load(source, **given), as_json)


@app.command()
def info(
    source: _Source = None,
    train: opt.TrainSource = None,
    val: opt.ValSource = None,
    test: opt.TestSource = None,
    image_size: opt.ImageSize = None,
    channels: opt.Channels = None,
    fit: opt.FitOption = None,
    pad: opt.PadOption = None,
    bits: opt.Bits = None,
    samples_per_class: opt.Samples = None,
    classes: opt.Classes = None,
    ratios: opt.Ratios = opt.DEFAULT_RATIOS_TEXT,
    split_seed: _Seed = 0,
    groups: opt.Groups = None,
    columns: opt.Columns = None,
    fold: opt.Fold = None,
    skip_bad: opt.SkipBad = False,
    as_json: _Json = False,
) -> None:
    """Show what a dataset holds: classes, sizes, splits, fingerprint. Packs it if it is new."""
    given = {name: value for name, value in locals().items() if name not in ("source", "as_json")}
    _show(_load(source, **given), as_json, every_class=True)


@app.command()
def check(
    source: _Source = None,
    train: opt.TrainSource = None,
    val: opt.ValSource = None,
    test: opt.TestSource = None,
    bits: opt.Bits = None,
    ratios: opt.Ratios = opt.DEFAULT_RATIOS_TEXT,
    split_seed: _Seed = 0,
    groups: opt.Groups = None,
    columns: opt.Columns = None,
    fold: opt.Fold = None,
    as_json: _Json = False,
) -> None:
    """Check every image, and list what would spoil a result.

    Unreadable files, empty classes, the same picture under two classes or in two splits (leakage) end with exit code
    1; duplicates within a class, other files, imbalance, and too few images are notes. Where SRC is
    not split, findings are those of the split that --ratios and --split-seed make.
    """
    given = {name: value for name, value in locals().items() if name not in ("source", "as_json")}
    from convtrials.data.check import check_source
    from convtrials.data.open import one_source
    from convtrials.data.options import DatasetOptions
    from convtrials.data.sources.find import find_source

    given = _options(**given)
    place = one_source(source, given.pop("train", None))
    options = DatasetOptions.make(given)
    report = check_source(find_source(place, options), options)
    if as_json:
        print_json(report.as_dict())
    else:
        _show_report(report)
    if report.spoiled:
        raise typer.Exit(SPOILED)


@app.command()
def split(
    source: _NeededSource,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.", show_default=False)],
    val: opt.ValSource = None,
    test: opt.TestSource = None,
    samples_per_class: opt.Samples = None,
    classes: opt.Classes = None,
    ratios: opt.Ratios = opt.DEFAULT_RATIOS_TEXT,
    split_seed: _Seed = 0,
    groups: opt.Groups = None,
    columns: opt.Columns = None,
    fold: opt.Fold = None,
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies.")] = False,
    skip_bad: opt.SkipBad = False,
    as_json: _Json = False,
) -> None:
    """Write OUT/train, OUT/val and OUT/test with a folder per class, as split-folders does.

    Training with the same seed and ratios has the same split. Images that are not files are written as PNG.
    With --test, SRC holds the images to train on.
    """
    given = {
        name: value for name, value in locals().items() if name not in ("source", "out", "as_json", "link")
    }
    from convtrials.data.export import write_split

    counts = write_split(source, out, link=link, **_options(**given))
    if as_json:
        print_json({"out": str(out), **counts})
    else:
        shown = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        _console().print(f"[bold]{plain(str(out))}[/bold]: {shown}", soft_wrap=True)


def _options(**typed: Any) -> dict[str, Any]:
    """Return keywords of `load_dataset`; what was not given is left out."""
    return {key: value for key, value in opt.dataset_options(**typed).items() if value is not None}


def _load(source: str | None, *, verify: bool = False, workers: int | None = None, **typed: Any) -> "Dataset":
    from convtrials.data.open import load_dataset

    return load_dataset(source, verify=verify, workers=workers, **_options(**typed))


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
