"""``convtrials study publish`` and ``study merge``: small copies of studies, and studies trained in pieces."""

from pathlib import Path
from typing import Annotated

import typer


def publish(
    study: Annotated[Path, typer.Argument(help="Study directory, finished or not.")],
    out: Annotated[
        Path, typer.Argument(help="Folder to write: new, empty, or with an earlier copy of this study.")
    ],
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Build the report and copy its pictures.")
    ] = True,
) -> None:
    """Write a small copy of a study, for a repository or a paper.

    It holds plan, verdicts, costs, and what each run answered for each test
    image: enough to judge the study again (convtrials study report OUT). It
    holds no weights, no times of day and no paths of this machine.
    """
    from rich.console import Console

    from convtrials.reports.study.report import build_study_report
    from convtrials.study.directory import StudyDirectory
    from convtrials.study.publish import check_target
    from convtrials.study.publish import publish as write_copy
    from convtrials.study.run_study import write_study_documents

    check_target(out, StudyDirectory(study).plan.fingerprint)
    if pictures:
        write_study_documents(study)
        build_study_report(study)
    size = write_copy(study, out, pictures=pictures)
    names = sorted(path.name for path in out.iterdir() if not path.with_suffix(".png").is_file())
    drawn = len([*out.glob("*.png")])
    Console().print(
        f"{out}: {', '.join(names)}, {drawn} picture{'' if drawn == 1 else 's'}; {size / 1e6:.2f} MB",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def merge(
    studies: Annotated[
        list[Path],
        typer.Argument(help="Study directories, or published copies; the first one's plan counts."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write: new or empty.")],
    report: Annotated[bool, typer.Option("--report/--no-report", help="Build the report at the end.")] = True,
) -> None:
    """Make one study of several that were trained in pieces.

    Further seeds of the same arms, other techniques against the same baseline,
    or one study on two machines. Runs are linked or copied, never moved, and
    judged together by the plan of the first study. Pieces that do not fit are
    refused: other data, metric, recipes, or computed otherwise.
    """
    from convtrials.cli.study import _end, _report
    from convtrials.study.merge import merge_studies
    from convtrials.study.published_study import is_published

    merge_studies(studies, out)
    if is_published(out):
        report_copy(out)
        return
    if report:
        _report(out)
    if incomplete := _end(out):
        raise typer.Exit(incomplete)


def report_copy(folder: Path) -> None:
    """Show the verdicts of a published copy, and how today's statistics judge its runs."""
    from rich.console import Console

    from convtrials.cli.study_view import verdict_table
    from convtrials.cli.terminal import print_warnings
    from convtrials.study.published_study import PublishedStudy

    study, console = PublishedStudy.read(folder), Console()
    changed = study.changed_verdicts()
    now = {one.name: one for one in study.judged.verdicts.techniques}
    console.print()
    console.print(verdict_table(study.verdicts, study.costs))
    console.print()
    for one in study.verdicts.techniques:
        console.print(f"• {one.sentence or f'{one.name}: {one.verdict}'}", highlight=False, markup=False)
    print_warnings((one.text for one in study.verdicts.warnings), console)
    for remark in study.how.plan_remarks:
        console.print(f"note: {remark}", style="bold", highlight=False, markup=False)
    console.print(f"published copy: {folder}", highlight=False, markup=False, soft_wrap=True)
    if not changed:
        console.print("Judged again from its runs: the same verdicts.", highlight=False)
        return
    console.print("Judged again from its runs, these verdicts would be different today:", style="bold")
    for name in changed:
        console.print(f"• {now[name].sentence}", highlight=False, markup=False)
