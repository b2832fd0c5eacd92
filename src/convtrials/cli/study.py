"""``convtrials study``: run a controlled trial, see how it stands, and report what it found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from convtrials.cli.study_copies import merge, publish, report_copy
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
    from convtrials.study.directory import StudyDirectory
    from convtrials.study.plan.plan import Plan
    from convtrials.training.engine.execution import ComputeOptions, Precision


app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Compare techniques with a baseline: better, worse, equivalent, or not enough evidence.",
)


@app.command()
def run(
    study: Annotated[
        Path, typer.Argument(help="A study file (YAML), a plan.json, or a study directory to continue.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Study directory; by default runs/NAME-OF-FILE.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Where the dataset is, in place of the file's.")
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Build the report at the end.")] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-j",
            min=1,
            help="Runs at a time; by default measured.",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads of each run; by default measured.", rich_help_panel=COMPUTING),
    ] = None,
    precision: PrecisionOption = None,
    channels_last: ChannelsLastOption = None,
    device: DeviceOption = None,
    replicas: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Seeds of one arm trained at once, in one process; by default 1, on a GPU measured.",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, help="Seconds between checkpoints of a run.", rich_help_panel=COMPUTING)
    ] = 60.0,
    log_to: LogToOption = None,
) -> None:
    """Train baseline and techniques under the same conditions, and give verdicts.

    Finished runs are never repeated. After a stop or a kill the same command
    continues, unfinished runs from their checkpoints. The same command in a
    second terminal shares the work.
    """
    from convtrials.training.engine.execution import ComputeOptions

    options = ComputeOptions(
        workers=workers,
        threads=threads,
        precision=cast("Precision | None", precision),
        device=device,
        checkpoint_seconds=checkpoint_every,
        replicas=replicas,
        channels_last=channels_last,
        log_to=log_to or None,
    )
    directory, plan, dataset = _begin(study, out, data, options)
    if incomplete := show_study(directory, plan, dataset, options, report=report):
        raise typer.Exit(incomplete)


def show_study(
    directory: "StudyDirectory",
    plan: "Plan",
    dataset: "Dataset",
    options: "ComputeOptions",
    *,
    report: bool = True,
) -> int:
    """Run a prepared study with a view of how it stands, draw its report, print its verdicts; return the exit code."""
    from rich.console import Console

    from convtrials.cli.study_view import LiveView, print_verdicts
    from convtrials.study.run_study import run_study

    with LiveView(Console(stderr=True)) as view:
        run_study(directory, plan, dataset, options, show=view)
    if report:
        from convtrials.reports.study.report import build_study_report

        build_study_report(directory.folder)
    return print_verdicts(directory.folder)


def _begin(
    study: Path, out: Path | None, data: str | None, options: "ComputeOptions"
) -> "tuple[StudyDirectory, Plan, Dataset]":
    """Prepare a study from a file, or go on with a directory."""
    import os

    from convtrials.core.errors import StudyError
    from convtrials.study.directory import StudyDirectory
    from convtrials.study.plan.plan import read_plan
    from convtrials.study.plan.study_file import read_study_file
    from convtrials.study.prepare import open_data, prepare, reopen_study

    if study.is_dir():
        if out is not None and out.resolve() != study.resolve():
            raise StudyError(f"{study}: a study directory goes on where it is; leave out --out")
        directory, plan, dataset = reopen_study(study, data=data)
        show_dataset(dataset)
        return directory, prepare(directory, plan.spec, dataset, options), dataset
    if study.suffix == ".json":
        spec = read_plan(study, recorded=False).spec
        spec = spec if data is None else spec.model_copy(update={"source": data})
    else:
        spec = read_study_file(study, data=data)
    folder = out or Path(os.environ.get("CONVTRIALS_RUNS", "runs")) / study.stem
    directory = StudyDirectory(folder)
    if study.suffix == ".json" and folder.resolve() == study.parent.resolve():
        raise StudyError(f"{study}: choose another --out; to go on with a study, name its directory")
    dataset = open_data(spec)
    show_dataset(dataset)
    if study.suffix != ".json":
        return directory, prepare(directory, spec, dataset, options, file=study), dataset
    if dataset.fingerprint != read_plan(study).dataset_fingerprint:
        raise StudyError(
            f"{study}: {spec.source} is not the data of this plan: it has changed, or is another dataset"
        )
    like = StudyDirectory(study.parent) if (study.parent / "execution.json").is_file() else None
    return directory, prepare(directory, spec, dataset, options, like=like), dataset


@app.command()
def status(
    study: Annotated[Path, typer.Argument(help="Study directory.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep the view open and refresh it.")
    ] = False,
) -> None:
    """Show the status of a study: every run, time left, and the verdicts so far.

    Works from any terminal, while the study runs and after it.
    """
    import time

    from rich.console import Console
    from rich.live import Live

    from convtrials.cli.study_view import print_plan_notes, study_table
    from convtrials.study.run_study import status_reader

    read_state = status_reader(study)
    console = Console()
    print_plan_notes(study)
    if not follow or not console.is_terminal:
        console.print(study_table(read_state()))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            state = read_state()
            live.update(study_table(state), refresh=True)
            if state.decision.complete:
                return
            time.sleep(1.0)


@app.command()
def report(
    study: Annotated[
        Path, typer.Argument(help="Study directory, finished or not; or a published copy, to judge it again.")
    ],
) -> None:
    """Write verdicts.json, costs.json, runs.csv, figures and one self-contained page.

    For a published copy nothing is written: the command shows its verdicts,
    and what they would be today.
    """
    from convtrials.cli.study_view import print_verdicts
    from convtrials.reports.study.report import build_study_report
    from convtrials.study.published_study import is_published
    from convtrials.study.run_study import write_study_documents

    if is_published(study):
        report_copy(study)
        return
    write_study_documents(study)
    build_study_report(study)
    print_verdicts(study)


for command in (publish, merge):
    app.command()(command)
