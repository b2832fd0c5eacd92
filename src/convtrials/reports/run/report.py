"""Build a run's report: metrics, figures and page, all inside the run directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import RunError
from convtrials.core.files import write_json, write_text
from convtrials.core.progress import progress_task
from convtrials.data.dataset import Dataset
from convtrials.evaluation.evaluate import evaluate_predictions
from convtrials.evaluation.mistakes import most_confused_pairs
from convtrials.evaluation.predictions import Predictions
from convtrials.reports.html import PageFigure
from convtrials.reports.picture import Picture
from convtrials.reports.run.headlines import headlines, learned, summary
from convtrials.reports.run.page import describe_run, render_page
from convtrials.training.run_directory import Run, load_run
from convtrials.training.run_documents import DatasetDescription, HistoryEntry, RunResult

#: Pictures that need the images themselves.
_IMAGE_PICTURES = ("confused-pairs", "worst-mistakes")

#: Number of pictures at most, for the progress bar.
_PICTURES = 8


def build_report(
    run: Run | str | Path,
    dataset: Dataset | None = None,
    *,
    remark: str | None = None,
    resamples: int = 1000,
) -> Path:
    """Evaluate a finished run and write its report.

    Parameters
    ----------
    run : Run or path
        The run, or its directory.
    dataset : Dataset or None
        The data of the run, for pictures with images and for sampled groups. Ignored, with a remark in the report,
        where its fingerprint is not the run's.
    remark : str or None
        Why there is no dataset, for the report.
    resamples : int
        Bootstrap resamples behind each interval; 0 leaves intervals out.

    Returns
    -------
    Path
        ``RUN/report.html``, self-contained. Next to it are ``metrics.json`` and ``figures/*.png`` with ``*.csv``.

    Raises
    ------
    RunError
        Where the run directory is absent, partial or damaged, or the run diverged.
    """
    run = run if isinstance(run, Run) else load_run(run)
    # All is read before anything is drawn or written: a damaged file must not leave half a report.
    predictions, history, described = run.read_predictions(), run.read_history(), describe_run(run)
    names, data, result = run.class_names_of(predictions), run.dataset, run.result
    usable, remarks = _usable_dataset(data, predictions, dataset, remark)
    with progress_task("report", _PICTURES + 2, log_steps=False) as task:
        task.show("metrics")
        measured = _measure(predictions, names, usable, resamples)
        warnings = run.warnings(measured["roc_auc"]["macro"], predictions)
        metrics = {"warnings": [one.as_dict() for one in warnings], **measured}
        task.advance()
        drawn: list[tuple[Picture, Path]] = []
        try:
            for picture in _pictures(predictions, history, result, metrics, usable):
                task.show(picture.title)
                drawn.append((picture, picture.save(run.folder / "figures")))
                task.advance()
            if usable is not None:
                _remove_stale(run.folder / "figures", {picture.name for picture, _ in drawn})
            page = render_page(
                described,
                metrics=metrics,
                headlines=headlines(metrics),
                learned=learned(metrics),
                figures=[PageFigure.of(picture, png) for picture, png in drawn],
                summary=summary(metrics, _most_confused(metrics)),
                remarks=[*remarks, *metrics["notes"]],
            )
            origin = {"name": data.name, "fingerprint": data.fingerprint}
            document = {"split": "test", "dataset": origin, "seed": result.seed, **metrics}
            write_json(run.folder / "metrics.json", document)
            write_text(run.folder / "report.html", page)
        except OSError as problem:
            raise RunError(f"{run.folder}: the report cannot be written ({problem})") from problem
        task.advance()
    return run.folder / "report.html"


def _usable_dataset(
    described: DatasetDescription, predictions: Predictions, dataset: Dataset | None, remark: str | None
) -> tuple[Dataset | None, list[str]]:
    """Return the dataset if it is the run's own, else None and why."""
    left_out = "The pictures with images are left out: "
    if dataset is None:
        return None, [left_out + (remark or "the report was built without the dataset.")]
    if dataset.fingerprint != described.fingerprint or tuple(dataset.class_names) != described.class_names:
        return None, [
            f"{left_out}the dataset at hand (fingerprint {dataset.fingerprint[:12]}) is not the one of the run "
            f"({described.fingerprint[:12]})."
        ]
    if predictions.indices.max() >= len(dataset):
        return None, [f"{left_out}predictions point at images beyond the dataset's {len(dataset):,}."]
    if not np.array_equal(dataset.labels[predictions.indices], predictions.labels):
        return None, [f"{left_out}the labels of the predictions are not those of the dataset."]
    return dataset, []


def _measure(
    predictions: Predictions, names: Sequence[str], dataset: Dataset | None, resamples: int
) -> dict[str, Any]:
    groups: NDArray[Any] | None = None
    if dataset is not None and dataset.groups is not None and dataset.groups_are_sampled:
        groups = dataset.groups[predictions.indices]
    return evaluate_predictions(
        predictions.probabilities, predictions.labels, names, resamples=resamples, groups=groups
    )


def _pictures(
    predictions: Predictions,
    history: Sequence[HistoryEntry],
    result: RunResult,
    metrics: dict[str, Any],
    dataset: Dataset | None,
) -> Iterator[Picture]:
    # Late, for they import what draws.
    from convtrials.reports.run.confusion import confusion_picture
    from convtrials.reports.run.image_grids import confused_pairs_picture, worst_mistakes_picture
    from convtrials.reports.run.learning_curves import learning_curves
    from convtrials.reports.run.per_class import per_class_picture
    from convtrials.reports.run.ranking_curves import precision_recall_picture, roc_picture
    from convtrials.reports.run.reliability import reliability_picture

    names = metrics["class_names"]
    confusion = np.array(metrics["confusion_matrix"], dtype=np.int64)
    yield learning_curves(history, result.best_epoch)
    yield confusion_picture(confusion, names)
    if dataset is not None:
        with_images = (
            confused_pairs_picture(predictions, confusion, dataset),
            worst_mistakes_picture(predictions, dataset),
        )
        yield from (picture for picture in with_images if picture is not None)
    yield per_class_picture(metrics["per_class"], metrics["f1"]["macro"])
    yield reliability_picture(metrics["reliability"], metrics["expected_calibration_error"])
    yield roc_picture(predictions, names)
    yield precision_recall_picture(predictions, names)


def _remove_stale(folder: Path, drawn: set[str]) -> None:
    """Remove earlier pictures with images that today's predictions give no reason for.

    Not for want of the dataset: those on disk were drawn from the run's own, and may be hard to draw again.
    """
    for name in set(_IMAGE_PICTURES) - drawn:
        for ending in ("png", "csv"):
            (folder / f"{name}.{ending}").unlink(missing_ok=True)


def _most_confused(metrics: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """Return the most confused pair as `summary` takes it, or nothing."""
    confusion, names = np.array(metrics["confusion_matrix"], dtype=np.int64), metrics["class_names"]
    return [
        (names[pair.true], names[pair.predicted], pair.count, int(confusion[pair.true].sum()))
        for pair in most_confused_pairs(confusion, 1)
    ]
