"""A study sends its runs to loggers: grouped by arm, from worker processes too, kept when it goes on."""

import logging
from pathlib import Path
from typing import Any

import pytest

import convtrials as ct
from convtrials.core.errors import RunError
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.executor import RunEnd, RunTask
from convtrials.study.execute.scheduler import _warn

TECHNIQUES = {"no momentum": {"optimizer": {"name": "sgd", "lr": 0.01}}}
QUICK: dict[str, Any] = {"threads": 1, "precision": "fp32", "channels_last": True, "device": "cpu"}


def small_study(folder: Path, **options: Any) -> ct.StudyResult:
    data = ct.load_dataset("glyphs", classes=["0", "1"], samples_per_class=12)
    baseline = ct.Recipe(model="alexnet-lite", width=0.125, epochs=2, batch_size=16)
    return ct.Study(baseline, TECHNIQUES, seeds=2).run(data, folder, **QUICK, **options)


def test_runs_of_worker_processes_are_in_mlflow_by_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("CONVTRIALS_LOG_SECONDS", "200")  # importing MLflow is slow on a busy machine
    small_study(tmp_path / "sums", workers=2, log_to="mlflow")
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("convtrials").experiment_id])
    found = sorted((run.data.tags["arm"], run.info.run_name, run.info.status) for run in runs)
    assert found == [
        (arm, f"{arm} seed {seed}", "FINISHED") for arm in ("baseline", "no momentum") for seed in (0, 1)
    ]
    assert {run.data.tags["group"] for run in runs} == {"sums: baseline", "sums: no momentum"}
    for run in runs:
        sent = client.get_metric_history(run.info.run_id, "accuracy/val")
        assert [metric.step for metric in sent] == [1, 2]


def test_a_study_keeps_its_loggers_until_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convtrials.training.loggers.log_to._installed", lambda name: True)
    asked: list[Any] = []
    monkeypatch.setattr(
        "convtrials.study.execute.run_trainer.RunTrainer.log_to",
        lambda trainer, arm: asked.append((arm.name, trainer.study.log_to)),
    )
    small_study(tmp_path / "study", log_to="wandb", replicas=2)
    assert StudyDirectory(tmp_path / "study").log_to == ("wandb",)
    assert ("baseline", ("wandb",)) in asked
    small_study(tmp_path / "study")
    assert StudyDirectory(tmp_path / "study").log_to == ("wandb",)
    small_study(tmp_path / "study", log_to="none")
    assert StudyDirectory(tmp_path / "study").log_to == ()


def test_an_unknown_logger_is_refused_before_a_study_begins(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="log-to comet: allowed are"):
        small_study(tmp_path / "study", log_to=["comet"])
    assert not (tmp_path / "study").exists()


def test_what_two_workers_say_is_shown_once(caplog: pytest.LogCaptureFixture) -> None:
    shown: set[str] = set()
    for position in range(2):
        _warn(RunEnd(RunTask("baseline", position), "finished", notes=("no network",)).notes, shown)
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "no network"
    ]
