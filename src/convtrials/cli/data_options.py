"""The options of a dataset on the command line: the same for every command that opens data."""

from typing import Annotated, Any

import typer

from convtrials.core.errors import DataError

#: How these options are headed in ``--help``.
DATA = "Data"


def _option(*names: str, help: str, **rest: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=DATA, **rest)


ImageSize = Annotated[
    int | None,
    _option(
        "--image-size",
        min=1,
        help="Pixels per side. [dim]Default: as the images are, up to 224; else 64.[/dim]",
    ),
]
Channels = Annotated[
    int | None, _option("--channels", help="1 (grey) or 3. [dim]Default: 1 where every image is grey.[/dim]")
]
Samples = Annotated[
    int | None,
    _option(
        "--samples-per-class", min=1, help="At most this many images of each class, the same ones each time."
    ),
]
Ratios = Annotated[
    str,
    _option("--ratios", metavar="TRAIN,VAL,TEST", help="Shares of the splits that the data does not have."),
]
SplitSeed = Annotated[int, _option("--split-seed", help="Another seed, another split.")]
SkipBad = Annotated[
    bool, _option("--skip-bad", help="Leave out unreadable files and list them, instead of stopping.")
]
Classes = Annotated[
    str | None,
    _option("--classes", metavar="NAME,NAME,...", help="Use these classes only. [dim]Default: all.[/dim]"),
]
TrainSource = Annotated[
    str | None,
    _option("--train", metavar="SRC", help="Images to train on, where each split has a place of its own."),
]
ValSource = Annotated[
    str | None,
    _option("--val", metavar="SRC", help="Images to validate on. [dim]Default: cut from --train.[/dim]"),
]
TestSource = Annotated[str | None, _option("--test", metavar="SRC", help="Images to test on.")]
FitOption = Annotated[
    str | None,
    _option(
        "--fit",
        metavar="HOW",
        help="How images of other sizes become one: cover (cut the ends off), pad, stretch. "
        "[dim]Default: cover.[/dim]",
    ),
]
PadOption = Annotated[
    str | None,
    _option("--pad", metavar="WITH", help="edge, black, white, grey or '#rrggbb', with --fit pad."),
]
Bits = Annotated[
    int | None,
    _option(
        "--bits",
        min=1,
        max=32,
        help="Bits of brightness, such as 12 in 16-bit files. [dim]Default: found over all images.[/dim]",
    ),
]
Groups = Annotated[
    str | None,
    _option(
        "--groups",
        metavar="REGEX|CSV",
        help="What each image came from (patient, writer): found in its path, or a table of path and group.",
    ),
]
Columns = Annotated[
    str | None,
    _option(
        "--columns",
        metavar="ROLE=NAME,...",
        help="Columns of a table: label=breed,image=file. Also split, group, fold, weight.",
    ),
]
Fold = Annotated[
    str | None,
    _option("--fold", metavar="NAME", help="The fold that is the test split, in a table with folds."),
]

DEFAULT_RATIOS_TEXT = "0.7,0.15,0.15"


def dataset_options(
    ratios: str, classes: str | None = None, columns: str | None = None, **others: Any
) -> dict[str, Any]:
    """Return keywords of `load_dataset` from what was typed."""
    return {
        "ratios": parse_ratios(ratios),
        "classes": parse_classes(classes),
        "columns": parse_columns(columns),
        **others,
    }


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


def parse_columns(text: str | None) -> dict[str, str] | None:
    """Read ``label=breed,image=file`` as given to ``--columns``; None where nothing was given."""
    if text is None:
        return None
    columns: dict[str, str] = {}
    for item in text.split(","):
        role, sign, name = item.partition("=")
        if not sign or not name.strip():
            raise DataError(f"--columns {text}: ROLE=NAME is needed, such as label=breed,image=file")
        if role.strip() in columns:
            raise DataError(f"--columns {text}: {role.strip()} is given twice")
        columns[role.strip()] = name.strip()
    return columns
