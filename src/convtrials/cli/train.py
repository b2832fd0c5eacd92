"""``convtrials train``: one recipe, one seed, one dataset, and a report at the end."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from convtrials.cli import data_options as opt
from convtrials.cli.terminal import (
    COMPUTING,
    ChannelsLastOption,
    DeviceOption,
    LogToOption,
    PrecisionOption,
    show_dataset,
)

if TYPE_CHECKING:
    from convtrials.data.dataset import Dataset
    from convtrials.training.engine.execution import Precision
    from convtrials.training.recipe.recipe import Recipe
    from convtrials.training.run_directory import Run

#: Exit code of a run whose loss became NaN or infinite: an outcome, not bad input.
DIVERGED = 3

_RECIPE = "Recipe"
_DATA = opt.DATA


def train(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="alexnet, vgg11, ... or module:factory.", rich_help_panel=_RECIPE),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            help="glyphs, emnist36, or a path to images. [dim]Default: glyphs.[/dim]",
            rich_help_panel=_DATA,
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            "-r",
            help="YAML file, or small: a recipe for small data. Flags override it.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the training split.", rich_help_panel=_RECIPE)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate (its peak).", rich_help_panel=_RECIPE)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", "-b", help="Images per micro-batch.", rich_help_panel=_RECIPE),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="sgd, adam, adamw, muon, ... or module:Name.", rich_help_panel=_RECIPE)
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="constant, cosine, ... or module:name.", rich_help_panel=_RECIPE)
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Multiplies channels and hidden units.", rich_help_panel=_RECIPE)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key of the recipe: optimizer.lr=0.01.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides initial weights, order and random draws.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory; by default runs/MODEL-DATA-RECIPE-seedN."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run directory; no other flag is needed.")
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Evaluate and build the report at the end.")
    ] = True,
    train_data: Annotated[
        str | None,
        typer.Option(
            "--train",
            metavar="SRC",
            help="Images to train on, where each split has a place of its own.",
            rich_help_panel=_DATA,
        ),
    ] = None,
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
    split_seed: opt.SplitSeed = 0,
    groups: opt.Groups = None,
    labels_from_names: opt.LabelsFromNames = None,
    columns: opt.Columns = None,
    fold: opt.Fold = None,
    skip_bad: opt.SkipBad = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-j", min=1, help="Processes that decode images.", rich_help_panel=COMPUTING
        ),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, help="Seconds between checkpoints.", rich_help_panel=COMPUTING)
    ] = 60.0,
    log_to: LogToOption = None,
    precision: PrecisionOption = None,
    channels_last: ChannelsLastOption = None,
    device: DeviceOption = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads; by default the fastest number.", rich_help_panel=COMPUTING),
    ] = None,
) -> None:
    """Train a network, classify the test split once, and write a report.

    The same command again goes on where a run was stopped or killed, bit
    for bit. Precedence: defaults, then the recipe file, then flags.
    """
    if resume is not None:
        _refuse_others(context)
        run = _resume(resume, checkpoint_every, log_to or None)
    else:
        flags = {
            "model": model,
            "epochs": epochs,
            "optimizer.name": optimizer,
            "optimizer.lr": lr,
            "batch_size": batch_size,
            "schedule": schedule,
            "width": width,
            "image_size": image_size,
            "fit": fit,
            "pad": pad,
        }
        resolved = _recipe(
            recipe, {key: value for key, value in flags.items() if value is not None}, settings or []
        )
        _check_early(resolved, log_to or ())
        dataset = _load(
            data if data is not None or train_data is not None else "glyphs",
            resolved,
            workers=workers,
            train=train_data,
            val=val,
            test=test,
            channels=channels,
            bits=bits,
            samples_per_class=samples_per_class,
            classes=classes,
            ratios=ratios,
            split_seed=split_seed,
            groups=groups,
            labels_from_names=labels_from_names,
            columns=columns,
            fold=fold,
            skip_bad=skip_bad,
        )
        show_dataset(dataset)
        from convtrials.training.engine.train import train as train_run

        run = train_run(
            resolved,
            dataset,
            seed=seed,
            out=out,
            precision=cast("Precision | None", precision),
            threads=threads,
            channels_last=channels_last,
            device=device,
            checkpoint_seconds=checkpoint_every,
            log_to=log_to or None,
        )
    _print_end(run, report)


def _recipe(path: Path | None, flags: dict[str, Any], settings: list[str]) -> "Recipe":
    from convtrials.training.recipe.recipe import Recipe, merged, parse_setting

    changes = dict(parse_setting(text) for text in settings) | flags
    if path is not None:
        return Recipe.load(path, changes)
    return Recipe.make(merged({}, changes), where="command line")


def _check_early(recipe: "Recipe", log_to: Sequence[str]) -> None:
    """Find a mistyped model or a missing file before minutes are spent on packing images."""
    from convtrials.core.custom import find
    from convtrials.core.errors import RecipeError
    from convtrials.models.registry import model_name
    from convtrials.training.loggers.log_to import check_loggers

    check_loggers(log_to)
    model_name(recipe.model)
    for key, name in recipe.custom_parts().items():
        find(key, name)
    if recipe.initial_weights and not Path(recipe.initial_weights).expanduser().exists():
        raise RecipeError(f"initial_weights: {recipe.initial_weights}: no such file or folder")


def _refuse_others(context: typer.Context) -> None:
    """A resumed run has its recipe, data and execution already: another flag would be a misunderstanding."""
    allowed = ("resume", "report", "checkpoint_every", "log_to")
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in allowed and source is not None and source.name == "COMMANDLINE":
            flag = {"settings": "set"}.get(name, name).replace("_", "-")
            raise typer.BadParameter(
                f"the run has its own; leave out --{flag}, or train a new run without --resume",
                param_hint="--resume",
            )


def _load(source: str | None, recipe: "Recipe", *, workers: int | None, **typed: Any) -> "Dataset":
    from convtrials.data.open import load_dataset

    options = opt.dataset_options(**typed) | recipe.dataset_options()
    given = {key: value for key, value in options.items() if value is not None}
    return load_dataset(source, workers=workers, **given)


def _resume(folder: Path, checkpoint_every: float, log_to: Sequence[str] | None) -> "Run":
    from convtrials.training.engine.train import resume

    return resume(folder, checkpoint_seconds=checkpoint_every, log_to=log_to)


def _print_end(run: "Run", report: bool) -> None:
    """Say how the run ended; evaluate and draw where there is something to draw."""
    result = run.result
    if result.diverged:
        print(
            f"{run.folder}: diverged after {result.diverged_at} steps: the {result.diverged_in} loss is not "
            f"finite\n{result.advice}",
            file=sys.stderr,
        )
        raise typer.Exit(DIVERGED)
    if report and run.predictions_path.is_file():
        from convtrials.cli.evaluate import evaluate

        evaluate(run.folder)
        return
    print(f"{run.folder}: val accuracy {result.val_accuracy:.2%} after {result.epochs} epochs")
    if run.predictions_path.is_file():
        from convtrials.cli.terminal import print_warnings

        print_warnings(one.text for one in run.warnings())
