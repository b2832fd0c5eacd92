"""Build a study's report: figures and page, inside the study directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from convtrials.core.errors import StudyError
from convtrials.core.files import write_text
from convtrials.core.progress import progress_task
from convtrials.reports.html import PageFigure
from convtrials.reports.picture import Picture
from convtrials.reports.study.page import render_study_page
from convtrials.reports.study.record import StudyArm, StudyRecord, read_study

#: Every picture that a study may have, in the order of the page.
PICTURES = ("forest", "single-runs", "seeds", "learning-curves", "cost", "class-pairs", "per-class-f1", "roc")


def build_study_report(folder: str | Path) -> Path:
    """Write the report of a study, finished or not.

    Parameters
    ----------
    folder : path
        The study directory, with ``plan.json``, ``verdicts.json`` and ``dataset.json`` at least.

    Returns
    -------
    Path
        ``DIR/report.html``, self-contained. Next to it are ``figures/*.png`` with ``*.csv``.

    Raises
    ------
    StudyError, RunError
        Where the directory is no study, has no verdicts yet, or a file in it is missing or damaged.
    """
    study = read_study(Path(folder))
    figures = study.folder / "figures"
    with progress_task("report", len(PICTURES) + 1, log_steps=False) as task:
        try:
            drawn: list[tuple[Picture, Path]] = []
            for picture in study_pictures(study):
                task.show(picture.title)
                drawn.append((picture, picture.save(figures)))
                task.advance()
            # A picture of an earlier report that this one does not draw would show another study.
            for name in set(PICTURES) - {picture.name for picture, _ in drawn}:
                for ending in ("png", "csv"):
                    (figures / f"{name}.{ending}").unlink(missing_ok=True)
            page = render_study_page(study, [PageFigure.of(picture, png) for picture, png in drawn])
            write_text(study.folder / "report.html", page)
        except OSError as problem:
            raise StudyError(f"{folder}: the report cannot be written ({problem})") from problem
        task.advance()
    return study.folder / "report.html"


def study_pictures(study: StudyRecord) -> Iterator[Picture]:
    """Yield the pictures of a study, in the order of the page; those without anything to show are left out."""
    # Late, for they import what draws.
    from convtrials.reports.study.cost import cost_picture
    from convtrials.reports.study.forest import forest_picture
    from convtrials.reports.study.learning_curves import curves_picture
    from convtrials.reports.study.seeds import seeds_picture
    from convtrials.reports.study.single_runs import single_runs_picture

    if any(arm.difference is not None for arm in study.techniques):
        yield forest_picture(study)
    for picture in (single_runs_picture, seeds_picture, curves_picture, cost_picture):
        made = picture(study)
        if made is not None:
            yield made
    yield from _of_predictions(study)


def _of_predictions(study: StudyRecord) -> Iterator[Picture]:
    """Yield the pictures that need predictions: of the baseline and of one or two techniques."""
    from convtrials.reports.study.class_pairs import pairs_picture
    from convtrials.reports.study.classes import classes_picture, roc_arms_picture
    from convtrials.reports.study.predictions import TestImages, gather_predictions

    compared = [
        arm
        for arm in study.ranked
        if arm.difference is not None and arm.finished and _holds(arm) and not study.mark_of(arm)
    ]
    if not compared or not study.baseline.finished or not study.class_names:
        return
    images = TestImages()
    baseline = gather_predictions(study.baseline, study.class_names, images, curves=True)
    best = gather_predictions(compared[0], study.class_names, images, curves=True)
    if baseline is None or best is None:
        return
    worst = _worst(compared)
    ends = (
        [best]
        if worst is None
        else [best, gather_predictions(worst, study.class_names, images, curves=False)]
    )
    # Which classes a network confuses that has learned nothing is chance: neither gain nor loss.
    pairs = None
    if not study.mark_of(study.baseline):
        pairs = pairs_picture(baseline, [one for one in ends if one is not None], study.class_names)
    for picture in (
        pairs,
        classes_picture(baseline, best, study.class_names),
        roc_arms_picture(baseline, best),
    ):
        if picture is not None:
            yield picture


def _holds(arm: StudyArm) -> bool:
    """Return whether all runs of a technique came to an end, so that their mean stands for the technique."""
    return arm.technique is not None and arm.technique.verdict not in ("unstable", "failed")


def _worst(compared: list[StudyArm]) -> StudyArm | None:
    return compared[-1] if len(compared) > 1 else None
