import csv

import numpy as np
import pandas
import pytest
from study_runs import add_predictions, history_of, softmax_probabilities, write_ended_run

from convtrials.core.errors import StudyError
from convtrials.study.results.runs_table import RunRow, write_runs_table
from convtrials.training.run_directory import Run


@pytest.fixture
def study(tmp_path):
    labels = np.random.default_rng(1).integers(0, 4, 200)
    runs = tmp_path / "runs"
    good = write_ended_run(runs / "baseline" / "seed0", history_of([0.5, 0.625]))
    add_predictions(good, labels, softmax_probabilities(labels, 4))
    lost = write_ended_run(runs / "wild" / "seed0", history_of([0.1]), status="diverged", steps=13)
    begun = Run(runs / "wild" / "seed1")
    begun.folder.mkdir()
    (begun.folder / "run.json").write_text("{}")
    rows = [
        RunRow("baseline", 0, good, True, score=0.75),
        RunRow('wild, "x"\n= 3 é', 0, lost, True),
        RunRow("wild", 1, begun, False),
        RunRow("wild", 2, Run(runs / "wild" / "seed2"), False),
        RunRow("wild", 3, Run(runs / "wild" / "seed3"), False, status="failed"),
    ]
    return tmp_path, good, rows


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_one_line_a_run(study):
    folder, _, rows = study
    write_runs_table(folder / "runs.csv", rows, metric="accuracy")
    lines = read(folder / "runs.csv")
    assert lines[0] == {
        "arm": "baseline",
        "seed": "0",
        "status": "finished",
        "test_accuracy": "0.75",
        "val_accuracy": "0.625",
        "epochs": "2",
        "steps": "20",
        "seconds": "4.0",
        "cpu_seconds": "6.0",
        "images_per_second": "640.0",
        "used_in_verdict": "true",
        "folder": "runs/baseline/seed0",
    }
    assert [line["status"] for line in lines] == ["finished", "diverged", "unfinished", "missing", "failed"]
    assert [line["used_in_verdict"] for line in lines] == ["true", "true", "false", "false", "false"]
    assert lines[1]["arm"] == 'wild, "x"\n= 3 é'
    assert (lines[1]["steps"], lines[1]["test_accuracy"], lines[1]["val_accuracy"]) == ("13", "", "")
    assert set(lines[3].values()) == {"wild", "2", "missing", "false", "runs/wild/seed2", ""}


def test_pandas_reads_numbers_and_truth_values(study):
    folder, _, rows = study
    write_runs_table(folder / "runs.csv", rows, metric="accuracy")
    table = pandas.read_csv(folder / "runs.csv")
    assert table["used_in_verdict"].dtype == bool
    assert table["test_accuracy"].dtype == np.float64
    assert len(table) == 5


def test_the_column_is_named_after_the_metric(study):
    folder, _, rows = study
    write_runs_table(folder / "runs.csv", rows, metric="log_loss")
    assert read(folder / "runs.csv")[0]["test_log_loss"] == "0.75"


def test_a_diverged_run_without_an_epoch_has_no_speed(tmp_path):
    run = write_ended_run(tmp_path / "run", [], status="diverged", steps=3, train_seconds=1.5)
    write_runs_table(tmp_path / "runs.csv", [RunRow("x", 0, run, True)], metric="accuracy")
    assert read(tmp_path / "runs.csv")[0]["images_per_second"] == ""


def test_a_failed_writing_leaves_the_old_table(study):
    folder, good, rows = study
    write_runs_table(folder / "runs.csv", rows, metric="accuracy")
    before = (folder / "runs.csv").read_bytes()
    good.history_path.write_text("damaged")
    with pytest.raises(StudyError, match="allowed are"):
        write_runs_table(folder / "runs.csv", rows, metric="macro_f1")
    with pytest.raises(Exception, match=r"history\.jsonl"):
        write_runs_table(folder / "runs.csv", rows, metric="accuracy")
    assert (folder / "runs.csv").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["runs", "runs.csv"]


def test_a_folder_whose_name_is_no_utf8_is_written(tmp_path):
    folder = tmp_path / "b\udcff"
    run = write_ended_run(folder, history_of([0.5]))
    target = tmp_path / "elsewhere" / "runs.csv"
    write_runs_table(target, [RunRow("x", 0, run, True, score=0.5)], metric="accuracy")
    assert b"b\xff" in target.read_bytes()
