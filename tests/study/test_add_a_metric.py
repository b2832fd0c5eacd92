"""A new metric is one entry: its studies run to a verdict, and everything that is written follows from the entry."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from small_studies import Written, counted_test_images, prepared, spec_of

import convtrials as ct
from convtrials.cli.study_view import study_table, verdict_table
from convtrials.core.errors import StudyError
from convtrials.core.formatting import Scale, joined, share
from convtrials.data.dataset import Dataset
from convtrials.evaluation.calibration import brier_score
from convtrials.evaluation.predictions import Predictions
from convtrials.evaluation.scores import top_k_hits
from convtrials.reports.study.record import read_study
from convtrials.reports.study.report import build_study_report
from convtrials.reports.study.tables import secondary_header
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.plan.study_file import read_study_file
from convtrials.study.publish import publish
from convtrials.study.published_study import PublishedStudy
from convtrials.study.results.metrics import (
    SECONDARY_METRICS,
    VERDICT_METRICS,
    SecondaryMetric,
    VerdictMetric,
)
from convtrials.study.results.scores import Outcomes
from convtrials.study.run_study import write_study_documents
from convtrials.study.status import StudyState, read_status

Make = Callable[..., Dataset]
FIXTURES = Path(__file__).parents[1] / "fixtures"


def minus_brier(predictions: Predictions) -> NDArray[np.float64]:
    truth = np.eye(predictions.probabilities.shape[1])[predictions.labels]
    scores: NDArray[np.float64] = -((predictions.probabilities - truth) ** 2).sum(axis=1)
    return scores


TOP_2 = VerdictMetric(
    name="top_2",
    scale=share("top-2 accuracy"),
    scores=lambda one: top_k_hits(one.probabilities, one.labels, 2).astype(np.float64),
    history_key="val_accuracy",
    largest_margin=0.5,
    default_margin=0.01,
    bounds=(0.0, 1.0),
)
BRIER = VerdictMetric(
    name="brier",
    scale=Scale("Brier score", "points", lower_is_better=True),
    scores=minus_brier,
    history_key="val_loss",
    largest_margin=1.0,
    bounds=(0.0, 2.0),
)


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch) -> None:
    for metric in (TOP_2, BRIER):
        monkeypatch.setitem(VERDICT_METRICS, metric.name, metric)


def conducted(folder: Path, dataset: Dataset, **options: Any) -> Path:
    """Run a study in which one technique helps."""
    study, plan = prepared(folder, spec_of({"good": {"dropout": 0.1}}, (3, 3), **options), dataset)
    counted_test_images(study, 2000)
    outcomes = Outcomes(study, plan, None)
    executor = Written(study, plan, lambda arm, k: {"baseline": 0.7, "good": 0.9}[arm])
    run_to_end(study, plan, outcomes, executor, lambda state, ended: None, workers=1)
    write_study_documents(folder)
    return folder


def mean_over_runs(folder: Path, arm: str, of_run: Callable[[Predictions], float]) -> float:
    study = StudyDirectory(folder)
    runs = [study.run(study.plan.arm(arm), position) for position in range(3)]
    return float(np.mean([of_run(run.read_predictions()) for run in runs]))


def share_in_first_two(predictions: Predictions) -> float:
    ranked = [
        sorted(range(len(row)), key=lambda k: -row[k])[:2] for row in predictions.probabilities.tolist()
    ]
    return sum(
        label in first for label, first in zip(predictions.labels.tolist(), ranked, strict=True)
    ) / len(ranked)


def as_it_stands(folder: Path) -> StudyState:
    study = StudyDirectory(folder)
    return read_status(study, study.plan, Outcomes(study, study.plan, None), 1)


def in_terminal(thing: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120, force_terminal=False).print(thing)
    return stream.getvalue()


@pytest.fixture
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convtrials.reports.picture.DPI", 40)


@pytest.mark.usefixtures("coarse_pictures")
def test_a_verdict_metric_is_one_entry(tmp_path: Path, make_dataset: Make) -> None:
    folder = conducted(tmp_path / "s", make_dataset(), metric="top_2")
    means = [mean_over_runs(folder, arm, share_in_first_two) for arm in ("baseline", "good")]
    row = ct.load_study(folder).verdict("good")
    assert StudyDirectory(folder).plan.spec.margin == 0.01
    assert row.difference == pytest.approx(means[1] - means[0])
    gain = f"{100 * (means[1] - means[0]):.2f}"
    assert str(row).startswith(f"good is better than the baseline, by {gain} points (between +")
    assert "all of it beyond the margin of 1.00 points" in str(row)

    frame = ct.load_study(folder).to_frame()
    assert frame.loc["good", "metric"] == "top_2"
    assert frame.loc["good", "mean"] == pytest.approx(means[1])
    written = StudyDirectory(folder).verdicts
    assert written.metric == "top_2"
    table = in_terminal(verdict_table(written, StudyDirectory(folder).costs))
    assert f"+{gain}" in table
    assert "gain: top-2 accuracy above the baseline's; above 0 is better" in table
    assert f"{100 * means[1]:.2f}%" in in_terminal(study_table(as_it_stands(folder)))
    with open(folder / "runs.csv", encoding="utf-8") as lines:
        assert all(0.7 < float(line["test_top_2"]) < 1 for line in csv.DictReader(lines))

    publish(folder, tmp_path / "copy")
    assert PublishedStudy.read(tmp_path / "copy").judged.verdicts.to_dict() == written.to_dict()

    page = build_study_report(folder).read_text(encoding="utf-8")
    assert "metric: top-2 accuracy" in page
    assert "Differences in percentage points of top-2 accuracy" in page
    assert f"+{gain} points of top-2 accuracy" in page


@pytest.mark.usefixtures("coarse_pictures")
def test_an_entry_says_how_a_metric_is_written_and_which_way_is_better(
    tmp_path: Path, make_dataset: Make
) -> None:
    folder = conducted(tmp_path / "s", make_dataset(), metric="brier", margin=0.05)
    means = [
        mean_over_runs(folder, arm, lambda one: brier_score(one.probabilities, one.labels))
        for arm in ("baseline", "good")
    ]
    row = ct.load_study(folder).verdict("good")
    assert row.difference == pytest.approx(means[0] - means[1])
    assert str(row).startswith(f"good is better than the baseline, by {means[0] - means[1]:.4f} points")
    baseline = StudyDirectory(folder).verdicts.baseline
    assert baseline.mean == pytest.approx(means[0])
    low, high = baseline.mean_interval or (0, 0)
    assert low < means[0] < high
    page = build_study_report(folder).read_text(encoding="utf-8")
    assert "Differences in points of Brier score" in page
    assert f"Brier score lower by {means[0] - means[1]:.4f} points" in page
    assert f"Brier score is {means[0]:.4f}" in page


def test_what_a_study_file_may_say_follows_from_the_entry(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"

    def refused(line: str) -> str:
        path.write_text(f"baseline: {{}}\ntechniques: {{x: {{dropout: 0.1}}}}\n{line}\n")
        with pytest.raises(StudyError) as caught:
            read_study_file(path)
        return str(caught.value)

    assert f"allowed are {', '.join(VERDICT_METRICS)}." in refused("metric: top_3")
    assert "top_2, brier." in refused("metric: top_3")
    assert "brier needs a margin" in refused("metric: brier")
    assert "must be above 0 and at most 1" in refused("metric: brier\nmargin: 1.5")
    assert "at most 0.5 (half a point is 0.005)" in refused("metric: top_2\nmargin: 1.5")


def test_verdicts_on_a_metric_that_is_not_known_are_refused(
    tmp_path: Path, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = conducted(tmp_path / "s", make_dataset(), metric="top_2")
    monkeypatch.delitem(VERDICT_METRICS, "top_2")
    with pytest.raises(StudyError) as caught:
        _ = StudyDirectory(folder).verdicts
    message = f"metric = 'top_2': must be {joined([repr(name) for name in VERDICT_METRICS], 'or')}"
    assert str(caught.value) == f"{folder / 'verdicts.json'}: {message}"
    with pytest.raises(StudyError, match="top_2 cannot carry a verdict"):
        _ = StudyDirectory(folder).plan


def test_intervals_are_cut_at_the_bounds_of_the_entry() -> None:
    assert TOP_2.interval_as_reported((0.9, 1.1)) == (0.9, 1.0)
    assert BRIER.interval_as_reported((-0.3, 0.1)) == (0.0, 0.3)


@pytest.mark.usefixtures("coarse_pictures")
def test_a_secondary_metric_is_one_entry(
    tmp_path: Path, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def value(predictions: Predictions) -> float:
        return brier_score(predictions.probabilities, predictions.labels)

    entry = SecondaryMetric("brier", "Brier score", value, factor=1, decimals=3)
    monkeypatch.setitem(SECONDARY_METRICS, "brier", entry)
    folder = conducted(tmp_path / "s", make_dataset())
    means = [mean_over_runs(folder, arm, value) for arm in ("baseline", "good")]
    document = json.loads((folder / "verdicts.json").read_text())
    [good] = document["techniques"]
    assert document["baseline"]["also"]["brier"] == pytest.approx(means[0])
    assert good["also"]["brier"] == pytest.approx(means[1])
    assert good["also_difference"]["brier"] == pytest.approx(means[1] - means[0])
    page = build_study_report(folder).read_text(encoding="utf-8")
    assert ">Brier score</th>" in page
    assert f"{means[1]:.3f}" in page
    assert f"−{means[0] - means[1]:.3f}" in page
    older = read_study(FIXTURES / "study-1b")
    assert "Brier score" not in secondary_header(older)  # its verdicts do not have it


def test_the_entries_cost_no_start_up_time() -> None:
    code = (
        "import sys, convtrials.study.results.metrics; "
        "sys.exit(', '.join({'torch', 'scipy', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
