"""``convtrials train``: one recipe, one seed, one dataset, and a report at the end."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from convtrials.cli.terminal import COMPUTING, ChannelsLastOption, DeviceOption, LogToOption, PrecisionOption

if TYPE_CHECKING:
    from convtrials.data.dataset import Dataset
    from convtrials.training.engine.execution import Precision
    from convtrials.training.recipe.recipe import Recipe
    from convtrials.training.run_directory import Run

#: Exit code of a run whose loss became NaN or infinite: an outcome, not bad input.
DIVERGED = 3

_RECIPE = "Recipe"
_DATA = "Data"


def train(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="alexnet, vgg11, ... or module:factory.", rich_help_panel=_RECIPE),
    ] = None,
    data: Annotated[
        str,
        typer.Option("--data", "-d", help="glyphs, emnist36, or a path to images.", rich_help_panel=_DATA),
    ] = "glyphs",
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
    image_size: Annotated[
        int | None, typer.Option(help="Pixels per side; by default as the images are.", rich_help_panel=_DATA)
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 (grey) or 3; by default as the images are.", rich_help_panel=_DATA)
    ] = None,
    samples_per_class: Annotated[
        int | None, typer.Option(min=1, help="Use this many images per class.", rich_help_panel=_DATA)
    ] = None,
    ratios: Annotated[
        str,
        typer.Option(
            metavar="TRAIN,VAL,TEST",
            help="Shares of the splits that the data does not have.",
            rich_help_panel=_DATA,
        ),
    ] = "0.7,0.15,0.15",
    split_seed: Annotated[int, typer.Option(help="Seed of the split.", rich_help_panel=_DATA)] = 0,
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME,...", help="Use these classes only.", rich_help_panel=_DATA),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out unreadable files and list them.", rich_help_panel=_DATA),
    ] = False,
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
        }
        resolved = _recipe(
            recipe, {key: value for key, value in flags.items() if value is not None}, settings or []
        )
        _check_early(resolved, log_to or ())
        from convtrials.cli.data import parse_classes, parse_ratios

        dataset = _load(
            data,
            resolved,
            channels=channels,
            samples_per_class=samples_per_class,
            ratios=parse_ratios(ratios),
            split_seed=split_seed,
            skip_bad=skip_bad,
            classes=parse_classes(classes),
            workers=workers,
        )
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
    if recipe.initial_weights and not Path(recipe.initial_weights).is_file():
        raise RecipeError(f"initial_weights: {recipe.initial_weights}: no such file")


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


def _load(source: str, recipe: "Recipe", **options: Any) -> "Dataset":
    from convtrials.data.open import load_dataset

    return load_dataset(source, image_size=recipe.image_size, **options)


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
