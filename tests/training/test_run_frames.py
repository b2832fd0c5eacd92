"""A run as data frames and as a table: what a notebook shows of it."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import convtrials as ct
from convtrials.core.errors import Interrupted, RunError
from convtrials.training.run_documents import HistoryEntry

ALLOWED_LINES = 9


def test_the_history_has_a_row_an_epoch_and_a_column_a_field(train_small: Any) -> None:
    run = train_small({"epochs": 3})
    frame = run.history
    assert list(frame.columns) == list(HistoryEntry.model_fields)
    assert frame.epoch.tolist() == [1, 2, 3]
    assert frame.val_accuracy.iloc[-1] == run.result.val_accuracy
    assert frame.dtypes.map(lambda kind: kind.kind).isin(["i", "f"]).all()


def test_what_was_not_recorded_is_nan(train_small: Any) -> None:
    run = train_small()
    run.write_history([HistoryEntry(epoch=1, step=5, val_accuracy=0.5, seconds=1.0, cpu_seconds=1.0)])
    (run.folder / "result.json").unlink()  # it vouches for the history that was there
    assert np.isnan(run.history.train_loss.iloc[0])


def test_the_predictions_have_a_row_an_image(train_small: Any, make_dataset: Any) -> None:
    run, data = train_small(), make_dataset()
    frame = run.predictions
    shares = [f"p({name})" for name in data.class_names]
    assert list(frame.columns) == ["image", "label", "predicted", "correct", *shares]
    assert frame.image.tolist() == data.indices("test").tolist()
    assert frame.label.tolist() == [data.class_names[data.labels[image]] for image in frame.image]
    assert frame.correct.mean() == run.result.test_accuracy
    assert (
        frame[shares].to_numpy().argmax(axis=1) == [data.class_names.index(p) for p in frame.predicted]
    ).all()
    assert ((frame.label == frame.predicted) == frame.correct).all()


def test_a_run_that_has_not_begun_its_first_epoch_has_an_empty_history(stopped: Any) -> None:
    frame = stopped.history
    assert isinstance(frame, pandas.DataFrame)
    assert (len(frame), list(frame.columns)) == (0, list(HistoryEntry.model_fields))
    with pytest.raises(RunError, match="not finished"):
        _ = stopped.predictions


@pytest.fixture
def stopped(tmp_path: Path, train_small: Any) -> ct.Run:
    def stop(_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train_small(out=tmp_path / "stopped", on_progress=stop)
    return ct.load_run(tmp_path / "stopped")


def test_the_table_of_a_finished_run(train_small: Any) -> None:
    run = train_small()
    page = run._repr_html_()
    for part in ("finished", "patterns", f"{run.result.test_accuracy:.2%}", "95% interval over 24 images"):
        assert part in page
    assert page.count("<tr>") < ALLOWED_LINES


def test_the_table_of_a_run_that_was_stopped(stopped: ct.Run) -> None:
    assert stopped.status == "unfinished"
    assert "unfinished, 0 of 2 epochs validated" in stopped._repr_html_()
    with stopped.lock():
        assert stopped.status == "running"


def test_the_table_of_a_run_that_diverged(train_small: Any) -> None:
    page = train_small({"optimizer": {"name": "sgd", "lr": 900.0}})._repr_html_()
    assert "diverged at step" in page
    assert "accuracy" not in page


def test_whatever_a_run_is_called_is_escaped(train_small: Any, make_dataset: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    data = replace(make_dataset(), name="<script>alert(1)</script>")
    page = train_small(dataset=data, out=tmp_path / "<b>caf\udce9")._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    page.encode("utf-8")


def test_a_damaged_run_shows_what_is_wrong(train_small: Any, tmp_path: Path) -> None:
    run = train_small()
    (run.folder / "result.json").write_text("{")
    assert "result.json: not valid JSON" in run._repr_html_()
    assert "no run has begun here" in ct.Run(tmp_path / "nothing")._repr_html_()


def test_a_run_of_data_in_memory_is_resumed_with_that_data(stopped: ct.Run, make_dataset: Any) -> None:
    with pytest.raises(ct.ConvtrialsError, match="made in memory"):
        ct.resume(stopped.folder)
    run = ct.resume(stopped.folder, make_dataset())
    assert run.result.status == "finished"
    assert ct.resume(stopped.folder).result == run.result
    (stopped.folder / "result.json").unlink()
    with pytest.raises(RunError, match="another dataset"):
        ct.resume(stopped.folder, make_dataset(seed=5))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for call in (ct.load_run, ct.resume):
        with pytest.raises(RunError, match="not a run directory"):
            call(tmp_path)
        with pytest.raises(RunError, match="no such run directory"):
            call(tmp_path / "nowhere")
