"""``convtrials demo``: a whole study in about a minute, from nothing but the installed package."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

#: The study, in the package.
DEMO = Path(__file__).parents[1] / "study" / "demo.yaml"

#: What follows the verdicts.
NEXT = """\
Next, with your own images (a folder with one folder per class):
  convtrials data check PHOTOS
  convtrials train --data PHOTOS --recipe small
The demo's study file, to copy and change: {study}"""


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Study directory; by default runs/demo.")
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the report in a browser, where there is a screen.")
    ] = True,
) -> None:
    """See what a study is: 25 runs on drawn digits, verdicts, a report.

    Trains a small AlexNet and four changed copies of it, five seeds each, on
    the CPU: about a minute on two cores. Needs no data and no network. Stopped
    or killed, the same command goes on where it was.
    """
    from convtrials.cli.study import show_study
    from convtrials.core.log import get_logger
    from convtrials.core.process import available_cores
    from convtrials.study.directory import StudyDirectory
    from convtrials.study.plan.study_file import read_study_file
    from convtrials.study.prepare import open_data, prepare
    from convtrials.training.engine.execution import ComputeOptions

    folder = out or Path(os.environ.get("CONVTRIALS_RUNS", "runs")) / "demo"
    # Known beforehand: so small a network gains nothing from a second thread, and measuring takes seconds.
    options = ComputeOptions(workers=available_cores(), threads=1, device="cpu")
    directory, spec = StudyDirectory(folder), read_study_file(DEMO)
    runs = len(spec.arms) * spec.most
    get_logger(__name__).info(
        f"A study on drawn digits: is a changed recipe better than the baseline? {runs} runs, about a minute."
    )
    dataset = open_data(spec)
    plan = prepare(directory, spec, dataset, options, file=DEMO, may_change=False)
    incomplete = show_study(directory, plan, dataset, options)
    print()
    print(NEXT.format(study=folder / "study.yaml"))
    if open_page and has_screen():
        import webbrowser

        webbrowser.open((folder / "report.html").resolve().as_uri())
    if incomplete:
        raise typer.Exit(incomplete)


def has_screen() -> bool:
    """Return whether a person sits before a screen that a browser can open on."""
    if not sys.stdout.isatty() or os.environ.get("CI") or os.environ.get("SSH_CONNECTION"):
        return False
    graphical = ("DISPLAY", "WAYLAND_DISPLAY")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in graphical)
