"""Loggers: what arrives in a service is the run's history, each epoch once; one that fails changes nothing else."""

import json
import logging
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_runs import assert_same_weights
from typer.testing import CliRunner

from convtrials.cli.main import app
from convtrials.core.errors import Interrupted, RunError
from convtrials.training.engine.progress import RunCallback
from convtrials.training.loggers import background, loggers
from convtrials.training.loggers.background import Background
from convtrials.training.loggers.curves import curve_values, parameters
from convtrials.training.loggers.log_to import LogTo, check_loggers
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry, LoggedRun, RunResult


@pytest.fixture(autouse=True)
def wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other work slows the machine, the import of a service may take longer than a person would wait."""
    monkeypatch.setattr(background, "END_SECONDS", 120.0)
    monkeypatch.setattr(background, "STOP_SECONDS", 120.0)


class Memory:
    """A service that keeps what it gets; `trouble` is called before each call and may raise or wait."""

    name = "wandb"

    def __init__(self, trouble: Callable[[str], None] = lambda call: None, known: int = 0) -> None:
        self.trouble, self.known = trouble, known
        self.epochs: list[int] = []
        self.ended: list[RunResult | None] = []

    def begin(self) -> int:
        self.trouble("begin")
        return self.known

    def add(self, entry: HistoryEntry) -> None:
        self.trouble("add")
        self.epochs.append(entry.epoch)

    def end(self, result: RunResult | None) -> None:
        self.trouble("end")
        self.ended.append(result)


def entry(epoch: int) -> HistoryEntry:
    return HistoryEntry(epoch=epoch, step=epoch * 10, val_accuracy=0.5, seconds=1.0, cpu_seconds=1.0)


def logging_to(warnings: list[str]) -> LogTo:
    return LogTo(("wandb",), warn=warnings.append)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = (record for record in caplog.records if record.name.startswith("convtrials"))
    return [record.message for record in ours if record.levelno >= logging.WARNING]


def send(service: Memory, log_to: LogTo, epochs: int, result: RunResult | None = None) -> None:
    logged = Background(service, log_to)
    for epoch in range(1, epochs + 1):
        logged.add(entry(epoch))
    logged.end(result)
    logged.wait()


def test_a_service_gets_each_epoch_once_and_the_end() -> None:
    warnings: list[str] = []
    result = RunResult(
        status="finished", seed=0, epochs=5, steps=50, val_accuracy=0.5, train_seconds=1, cpu_seconds=1
    )
    service = Memory()
    send(service, logging_to(warnings), 5, result)
    assert (service.epochs, service.ended, warnings) == ([1, 2, 3, 4, 5], [result], [])
    resumed = Memory(known=3)
    send(resumed, logging_to(warnings), 5)
    assert (resumed.epochs, resumed.ended) == ([4, 5], [None])


def test_what_could_not_be_sent_is_sent_with_the_next_epoch() -> None:
    calls: list[str] = []

    def trouble(call: str) -> None:
        calls.append(call)
        if len(calls) in (1, 3, 4):  # at the beginning, then twice at the first epoch
            raise ConnectionError("no route to host\nmore")

    warnings: list[str] = []
    service, log_to = Memory(trouble), logging_to(warnings)
    send(service, log_to, 6)
    assert service.epochs == [1, 2, 3, 4, 5, 6]
    assert service.ended == [None]
    assert warnings == ["log-to wandb: ConnectionError: no route to host; training does not depend on it"]
    assert log_to.failed == set()


def test_a_service_that_is_gone_is_given_up_after_one_line() -> None:
    def trouble(call: str) -> None:
        raise ConnectionError("gone")

    warnings: list[str] = []
    log_to = logging_to(warnings)
    send(Memory(trouble), log_to, 3)
    assert log_to.failed == {"wandb"}
    send(Memory(trouble), log_to, 3)
    assert len(warnings) == 1


def test_a_service_that_hangs_holds_a_run_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STOP_SECONDS", 0.2)
    free = threading.Event()
    warnings: list[str] = []
    log_to, service = logging_to(warnings), Memory(lambda call: free.wait(60))
    started = time.monotonic()
    send(service, log_to, 3)
    send(Memory(lambda call: free.wait(60)), log_to, 3)  # not waited for a second time
    assert time.monotonic() - started < 10
    assert warnings == ["log-to wandb: no answer within 0 s; training does not depend on it"]
    assert (service.ended, log_to.failed) == ([], {"wandb"})
    free.set()  # later than a run waits, but it arrives while the process lives
    deadline = time.monotonic() + 60
    while log_to.failed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log_to.failed == set()


def test_loggers_change_no_bit_of_a_run(
    train_small: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = Memory()
    monkeypatch.setattr(loggers, "_make", lambda name: lambda run, log_to: service)
    alone, logged = train_small(), train_small(log_to=LogTo(("wandb",)))
    assert_same_weights(alone, logged)
    assert service.epochs == [one.epoch for one in logged.read_history()]
    assert service.ended == [logged.result]

    def trouble(call: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(loggers, "_make", lambda name: lambda run, log_to: Memory(trouble))
    failed = train_small(log_to=LogTo(("wandb",)))
    assert_same_weights(alone, failed)
    assert warnings_in(caplog) == ["log-to wandb: OSError: no network; training does not depend on it"]


def test_a_run_that_goes_on_is_sent_where_it_was_sent_before(
    train_small: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_small()
    assert loggers.services_of(run, LogTo()) == ()
    run.write_logged_to("mlflow", LoggedRun(id="a", epochs=2))
    assert run.logged_to("mlflow") == LoggedRun(id="a", epochs=2)
    assert run.logged_to("wandb") is None
    assert loggers.services_of(run, LogTo()) == ("mlflow",)
    assert loggers.services_of(run, LogTo.of("none")) == ()


def test_unknown_and_missing_loggers_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (
        ["train", "--out", str(tmp_path / "run")],
        ["study", "run", str(tmp_path / "study.yaml")],
    ):
        found = CliRunner().invoke(app, [*command, "--log-to", "comet"])
        assert isinstance(found.exception, RunError)
        assert str(found.exception) == "log-to comet: allowed are mlflow, wandb, tensorboard and none"
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("convtrials.training.loggers.log_to._installed", lambda name: False)
    with pytest.raises(RunError, match=r"log-to wandb: wandb is not installed: pip install '.*wandb"):
        check_loggers(["tensorboard", "wandb"])
    assert check_loggers("tensorboard") == ()
    with pytest.raises(RunError, match="no logger at all"):
        check_loggers(["none", "tensorboard"])


def interrupted_after(epochs: int, train_small: Callable[..., Run], out: Path, **options: Any) -> None:
    """Train, and stop after so many epochs."""
    original = RunCallback.after_epoch

    def after_epoch(self: RunCallback, state: Any) -> None:
        original(self, state)
        if len(state.history) == epochs:
            raise Interrupted("stopped")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunCallback, "after_epoch", after_epoch)
        with pytest.raises(Interrupted):
            train_small({"epochs": 4}, out=out, **options)


def test_mlflow_has_the_run_and_a_resume_goes_on_with_it(
    train_small: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")  # mlflow-skinny has none
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    interrupted_after(2, train_small, out, log_to="mlflow")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("convtrials").experiment_id
    assert [one.info.status for one in client.search_runs([experiment])] == ["KILLED"]
    run = train_small({"epochs": 4}, out=out)
    assert_same_weights(run, train_small({"epochs": 4}))

    (found,) = client.search_runs([experiment])
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "run"
    assert found.data.params == {key: str(value) for key, value in parameters(run).items()}
    assert found.data.params["optimizer.lr"] == "0.002"
    assert found.data.tags["run_folder"] == str(out)
    assert found.data.metrics["final/test_accuracy"] == pytest.approx(run.result.test_accuracy)
    for curve in curve_values(run.read_history()[0]):
        sent = sorted((one.step, one.value) for one in client.get_metric_history(found.info.run_id, curve))
        assert sent == [(one.epoch, pytest.approx(curve_values(one)[curve])) for one in run.read_history()]
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "run", "run0"}


def test_wandb_offline_has_each_epoch_once(
    train_small: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    interrupted_after(2, train_small, out, log_to="wandb")
    run = train_small({"epochs": 4}, out=out)
    assert_same_weights(run, train_small({"epochs": 4}))
    history, config, ids = offline_records(out)
    assert [(row["epoch"], row["_step"]) for row in history] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    for row, one in zip(history, run.read_history(), strict=True):
        assert {key: row[key] for key in curve_values(one)} == pytest.approx(curve_values(one))
    assert len(ids) == 1
    assert config["optimizer.lr"] == 0.002
    assert config["run_folder"] == str(out)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run0"}


def test_wandb_without_a_key_neither_asks_nor_stops_a_run(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    names = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_SERVICE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [
        "train",
        "--samples-per-class",
        "12",
        "--epochs",
        "1",
        "--width",
        "0.125",
        "--threads",
        "1",
        "--precision",
        "fp32",
        "--no-report",
        "--log-to",
        "wandb",
        "--out",
        "run",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "convtrials", *command],
        cwd=tmp_path,
        env=environment | {"NETRC": str(tmp_path / "netrc")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert (
        "not logged in: `wandb login`, or WANDB_MODE=offline; training does not depend on it" in done.stderr
    )
    assert Run(tmp_path / "run").finished


def offline_records(out: Path) -> tuple[list[dict[str, Any]], dict[str, Any], set[str]]:
    """Read W&B's own files: rows of the history, the configuration and the runs' names."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    ids = set()
    for path in sorted(out.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        for data in log_entries(path.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                rows.append(values(record.history.item))
            if record.WhichOneof("record_type") == "run":
                ids.add(record.run.run_id)
                config |= values(record.run.config.update)
    return rows, config, ids


def values(items: Any) -> dict[str, Any]:
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}


def log_entries(content: bytes) -> Iterator[bytes]:
    """Read LevelDB's log format, which W&B writes: blocks of 32 KiB, pieces with checksum, length and kind."""
    place, entry = 7, b""
    while place + 7 <= len(content):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        entry += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield entry
            entry = b""
