"""Build a run's report: metrics, figures and page, all inside the run directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import RunError
from convtrials.core.files import write_json, write_text
from convtrials.core.progress import progress_task
from convtrials.data.dataset import Dataset
from convtrials.evaluation.metrics import evaluate_predictions
from convtrials.evaluation.mistakes import most_confused_pairs
from convtrials.reports.html import PageFigure, render_page
from convtrials.reports.picture import Picture
from convtrials.reports.run.reproduce import commands
from convtrials.reports.words import summary
from convtrials.training.run_record import RunRecord, read_run, warnings_of

#: Pictures that need the images themselves.
_IMAGE_PICTURES = ("confused-pairs", "worst-mistakes")

#: Number of pictures at most, for the progress bar.
_PICTURES = 8


def build_report(
    run: Path | RunRecord,
    dataset: Dataset | None = None,
    *,
    silent: bool = False,
    remark: str | None = None,
    resamples: int = 1000,
) -> Path:
    """Evaluate a finished run and write its report.

    Parameters
    ----------
    run : Path or RunRecord
        The run directory, or what `read_run` made of it.
    dataset : Dataset or None
        The data of the run, for pictures with images and for sampled groups. Ignored, with a remark in the report,
        where its fingerprint is not the run's.
    silent : bool
        Show no progress.
    remark : str or None
        Why there is no dataset, told in the report.
    resamples : int
        Bootstrap resamples behind each interval; 0 leaves intervals out.

    Returns
    -------
    Path
        ``RUN/report.html``, self-contained. Beside it are ``metrics.json`` and ``figures/*.png`` with ``*.csv``.

    Raises
    ------
    RunError
        Where the run directory is absent, partial or damaged, or the run diverged.
    """
    record = run if isinstance(run, RunRecord) else read_run(Path(run))
    folder = record.folder
    usable, remarks = _usable_dataset(record, dataset, remark)
    with progress_task("report", _PICTURES + 2, silent=silent, log_steps=False) as task:
        task.show("metrics")
        metrics = _measure(record, usable, resamples)
        task.advance()
        drawn: list[tuple[Picture, Path]] = []
        try:
            for picture in _pictures(record, metrics, usable):
                task.show(picture.title)
                drawn.append((picture, picture.save(folder / "figures")))
                task.advance()
            if usable is not None:
                _remove_stale(folder / "figures", {picture.name for picture, _ in drawn})
            figures = [PageFigure.of(picture, png) for picture, png in drawn]
            page = _page(record, metrics, figures, [*remarks, *metrics["notes"]])
            write_json(folder / "metrics.json", _with_origin(metrics, record))
            write_text(folder / "report.html", page)
        except OSError as problem:
            raise RunError(f"{folder}: the report cannot be written ({problem})") from problem
        task.advance()
    return folder / "report.html"


def _usable_dataset(
    record: RunRecord, dataset: Dataset | None, remark: str | None
) -> tuple[Dataset | None, list[str]]:
    """Return the dataset if it is the run's own, else None and why."""
    left_out = "The pictures with images are left out: "
    if dataset is None:
        return None, [left_out + (remark or "the report was built without the dataset.")]
    trained_on = record.dataset.get("fingerprint")
    if dataset.fingerprint != trained_on or tuple(dataset.class_names) != record.class_names:
        return None, [
            f"{left_out}the dataset at hand (fingerprint {dataset.fingerprint[:12]}) is not the one of the run "
            f"({str(trained_on)[:12]})."
        ]
    found = record.predictions
    if found.indices.max() >= len(dataset):
        return None, [f"{left_out}predictions point at images beyond the dataset's {len(dataset):,}."]
    if not np.array_equal(dataset.labels[found.indices], found.labels):
        return None, [f"{left_out}the labels of the predictions are not those of the dataset."]
    return dataset, []


def _measure(record: RunRecord, dataset: Dataset | None, resamples: int) -> dict[str, Any]:
    found = record.predictions
    groups: NDArray[Any] | None = None
    if dataset is not None and dataset.groups is not None and dataset.groups_are_sampled:
        groups = dataset.groups[found.indices]
    metrics = evaluate_predictions(
        found.probabilities, found.labels, record.class_names, resamples=resamples, groups=groups
    )
    warnings = warnings_of(record, metrics["roc_auc"]["macro"])
    return {"warnings": [one.as_dict() for one in warnings], **metrics}


def _with_origin(metrics: dict[str, Any], record: RunRecord) -> dict[str, Any]:
    origin = {key: record.dataset.get(key) for key in ("name", "fingerprint")}
    return {"split": "test", "dataset": origin, "seed": record.result.get("seed"), **metrics}


def _pictures(record: RunRecord, metrics: dict[str, Any], dataset: Dataset | None) -> Iterator[Picture]:
    # Late, for they import what draws.
    from convtrials.reports.run.confusion import confusion_picture
    from convtrials.reports.run.image_grids import confused_pairs_picture, worst_mistakes_picture
    from convtrials.reports.run.learning_curves import learning_curves
    from convtrials.reports.run.per_class import per_class_picture
    from convtrials.reports.run.ranking_curves import precision_recall_picture, roc_picture
    from convtrials.reports.run.reliability import reliability_picture

    names, found = record.class_names, record.predictions
    confusion = np.array(metrics["confusion_matrix"], dtype=np.int64)
    if record.history:
        yield learning_curves(record.history, record.result.get("best_epoch"))
    yield confusion_picture(confusion, names)
    if dataset is not None:
        with_images = (
            confused_pairs_picture(found, confusion, dataset),
            worst_mistakes_picture(found, dataset),
        )
        yield from (picture for picture in with_images if picture is not None)
    yield per_class_picture(metrics["per_class"], metrics["f1"]["macro"])
    yield reliability_picture(metrics["reliability"], metrics["expected_calibration_error"])
    yield roc_picture(found, names)
    yield precision_recall_picture(found, names)


def _remove_stale(folder: Path, drawn: set[str]) -> None:
    """Remove earlier pictures with images that today's predictions give no reason for.

    Not for want of the dataset: those on disk were drawn from the run's own, and may be hard to draw again.
    """
    for name in set(_IMAGE_PICTURES) - drawn:
        for ending in ("png", "csv"):
            (folder / f"{name}.{ending}").unlink(missing_ok=True)


def _page(record: RunRecord, metrics: dict[str, Any], figures: list[PageFigure], remarks: list[str]) -> str:
    confusion = np.array(metrics["confusion_matrix"], dtype=np.int64)
    names = record.class_names
    pairs = [
        (names[pair.true], names[pair.predicted], pair.count, int(confusion[pair.true].sum()))
        for pair in most_confused_pairs(confusion, 1)
    ]
    return render_page(
        record,
        metrics,
        figures,
        model=str(record.settings.get("model", "network")),
        summary=summary(metrics, pairs),
        commands=commands(record),
        remarks=remarks,
    )
