"""A study whose seeds are trained several at once: the runs are those of a study that trains them one by one."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_studies import prepared, spec_of

from convtrials.core.errors import Interrupted, StudyError
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute import in_process
from convtrials.study.execute.executor import Executor, RunEnd, RunTask
from convtrials.study.execute.in_process import InProcess, ReplicaExecutor, next_replicas
from convtrials.study.execute.run_trainer import RunTrainer
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.prepare import prepare
from convtrials.study.results.documents import write_documents
from convtrials.study.results.scores import Outcomes
from convtrials.study.run_study import run_study
from convtrials.training.engine.execution import ComputeOptions
from convtrials.training.replicas.callback import ReplicasCallback

Make = Callable[..., Dataset]

#: An arm that learns nothing, and one that learns as the baseline does.
TECHNIQUES = {"frozen": {"optimizer.lr": 1e-12}, "cosine": {"schedule": "cosine"}}


class Study:
    """A prepared study and the ends of its runs, in order."""

    def __init__(self, folder: Path, dataset: Dataset, seeds: tuple[int, int] = (3, 3)) -> None:
        self.directory, self.plan = prepared(folder, spec_of(TECHNIQUES, seeds), dataset)
        self.dataset, self.execution = dataset, self.directory.execution.execution
        self.ended: list[list[RunEnd]] = []

    def trainer(self) -> RunTrainer:
        return RunTrainer(self.directory, self.plan, self.dataset, self.execution)

    def executor(self, replicas: int = 2) -> ReplicaExecutor:
        return ReplicaExecutor(self.trainer(), replicas)

    def run(self, executor: Executor) -> dict[str, Any]:
        outcomes = Outcomes(self.directory, self.plan, None)

        def show(state: Any, ended: list[RunEnd]) -> None:
            if ended:
                self.ended.append(ended)

        run_to_end(self.directory, self.plan, outcomes, executor, show, workers=1)
        return write_documents(self.directory, self.plan, outcomes).to_dict()

    def predictions(self) -> dict[str, np.ndarray]:
        return {
            str(path.parent.relative_to(self.directory.folder)): np.load(path)["probabilities"]
            for path in sorted(self.directory.folder.glob("runs/*/*/predictions-test.npz"))
        }


@pytest.fixture
def make_study(make_dataset: Make, tmp_path: Path) -> Callable[..., Study]:
    return lambda name="study", **rest: Study(tmp_path / name, make_dataset(), **rest)


def test_teams_are_of_one_arm_and_of_equal_size() -> None:
    wanted = [RunTask(arm, position) for position in range(5) for arm in ("a", "b")][1:]
    assert next_replicas(wanted, 4) == [RunTask("b", 0), RunTask("b", 1), RunTask("b", 2)]
    assert next_replicas(wanted[4:5], 4) == [RunTask("b", 2)]
    assert len(next_replicas(wanted, 1)) == 1
    assert len(next_replicas(wanted, 64)) == 5


def test_the_study_is_that_of_runs_one_by_one(
    make_study: Callable[..., Study], caplog: pytest.LogCaptureFixture
) -> None:
    together, alone = make_study("together"), make_study("alone")
    document = together.run(together.executor(replicas=4))
    expected = alone.run(InProcess(alone.trainer()))
    assert [len(ended) for ended in together.ended] == [3, 3, 3]
    assert document["complete"]
    assert [one["verdict"] for one in document["techniques"]] == [
        one["verdict"] for one in expected["techniques"]
    ]
    found, wanted = together.predictions(), alone.predictions()
    assert found.keys() == wanted.keys()
    for name, probabilities in wanted.items():
        np.testing.assert_allclose(found[name], probabilities, atol=2e-3)
    kept = [path.parent.name for path in together.directory.folder.glob("runs/*/*/weights.safetensors")]
    assert kept == ["seed0"] * 3
    assert not list(together.directory.folder.glob("live/*"))
    assert caplog.messages == []


def test_seeds_that_a_look_asks_for_later_are_trained_too(make_study: Callable[..., Study]) -> None:
    study = make_study(seeds=(2, 5))
    document = study.run(study.executor())
    assert document["complete"]
    runs = [len(list(folder.iterdir())) for folder in (study.directory.folder / "runs").iterdir()]
    assert max(runs) > 2
    assert max(len(ended) for ended in study.ended) <= 2
    assert [len(ended) for ended in study.ended][:3] == [2, 2, 2]  # two seeds of three arms


def test_runs_that_others_have_are_left_to_them(make_study: Callable[..., Study]) -> None:
    study = make_study()
    executor, arm = study.executor(replicas=3), study.plan.arms[0]
    wanted = [RunTask(arm.name, position) for position in range(3)]
    with study.directory.run(arm, 1).lock():
        ended = executor.advance(wanted, 0.0)
    assert {end.task.position: end.how for end in ended} == {0: "finished", 1: "locked", 2: "finished"}
    assert list(executor.busy) == []
    ended = executor.advance(wanted[:1], 0.0)
    assert [end.how for end in ended] == ["locked"]  # finished, since it was asked for


def test_what_cannot_be_trained_at_once_is_trained_one_at_a_time(
    make_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(in_process, "train_replicas", out_of_memory)
    study = make_study()
    document = study.run(study.executor(replicas=3))
    assert document["complete"]
    assert caplog.messages[0] == "baseline: CUDA out of memory.; its runs are trained one at a time"
    assert {end.how for ended in study.ended for end in ended} == {"finished"}


def test_a_stop_is_passed_on_and_the_study_goes_on_later(
    make_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, study = ReplicasCallback.after_steps, make_study()

    def after_steps(self: ReplicasCallback, team: Any, images: int) -> None:
        signal.raise_signal(signal.SIGTERM)
        original(self, team, images)

    with monkeypatch.context() as patch:
        patch.setattr(ReplicasCallback, "after_steps", after_steps)
        with pytest.raises(Interrupted, match="the same command goes on"):
            study.run(study.executor(replicas=3))
    assert [end.how for end in study.ended[0]] == ["stopped"] * 3
    checkpoints = list(study.directory.folder.glob("runs/*/*/checkpoint.safetensors"))
    assert len(checkpoints) == 3
    assert study.run(study.executor(replicas=3))["complete"]


def test_nothing_to_do_is_waited_for(make_study: Callable[..., Study]) -> None:
    executor, started = make_study().executor(), time.monotonic()
    assert executor.advance([], 0.1) == []
    assert time.monotonic() - started >= 0.1
    executor.stop()
    assert list(executor.busy) == []


def test_a_study_with_replicas_keeps_its_number(make_dataset: Make, tmp_path: Path) -> None:
    directory, dataset = StudyDirectory(tmp_path / "study"), make_dataset()
    spec, options = spec_of(TECHNIQUES, (2, 2)), ComputeOptions(threads=1, precision="fp32", replicas=2)
    plan = prepare(directory, spec, dataset, options)
    run_study(directory, plan, dataset, ComputeOptions(), show=lambda state, ended: None)
    for run in (directory.run(arm, 0) for arm in plan.arms):
        assert run.environment.replicas["together"] == 2
    assert directory.execution.replicas == 2
    with pytest.raises(StudyError, match="replicas"):
        prepare(directory, spec, dataset, ComputeOptions(replicas=3))
    with pytest.raises(StudyError, match="leave out --workers"):
        prepare(directory, spec, dataset, ComputeOptions(workers=2))


def test_workers_and_replicas_exclude_each_other(make_dataset: Make, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="leave out --workers"):
        prepare(
            StudyDirectory(tmp_path / "s"), spec_of(TECHNIQUES, (2, 2)), make_dataset(),
            ComputeOptions(workers=2, threads=1, precision="fp32", replicas=2),
        )  # fmt: skip


def test_a_study_from_before_replicas_goes_on(make_dataset: Make, tmp_path: Path) -> None:
    directory, dataset = StudyDirectory(tmp_path / "study"), make_dataset()
    spec = spec_of(TECHNIQUES, (2, 2))
    prepare(directory, spec, dataset, ComputeOptions(threads=1, precision="fp32"))
    path = directory.folder / "execution.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in known.items() if "replica" not in key}))
    prepare(directory, spec, dataset, ComputeOptions(replicas=1))
    with pytest.raises(StudyError, match="replicas"):
        prepare(directory, spec, dataset, ComputeOptions(replicas=2))
