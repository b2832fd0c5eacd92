"""Executors are interchangeable: one written from the interface's docstring alone trains the same study."""

import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_studies import prepared, spec_of

from convtrials.core.errors import Interrupted
from convtrials.core.files import read_json, write_json
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.executor import Executor, RunEnd, RunTask
from convtrials.study.execute.in_process import InProcess
from convtrials.study.execute.run_trainer import RunTrainer
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.plan.plan import Plan
from convtrials.study.prepare import prepare, reopen_study
from convtrials.study.results.scores import Outcomes
from convtrials.study.run_study import run_study
from convtrials.training.engine.execution import ComputeOptions

Make = Callable[..., Dataset]

FIXTURES = Path(__file__).parents[1] / "fixtures"
TECHNIQUES = {"cosine": {"schedule": "cosine"}, "slow": {"optimizer.lr": 1e-4}}


class Cluster:
    """A cluster of one node: a few jobs are handed in, and the node trains the one that was handed in last."""

    def __init__(self, trainer: RunTrainer, jobs: int = 3) -> None:
        self._trainer, self._jobs = trainer, jobs
        self._handed_in: queue.LifoQueue[RunTask | None] = queue.LifoQueue()
        self._ended: queue.Queue[RunEnd] = queue.Queue()
        self.busy: list[RunTask] = []
        self.order: list[RunTask] = []
        self.most_busy = 0
        self._node = threading.Thread(target=self._work, daemon=True)
        self._node.start()

    def advance(self, wanted: Sequence[RunTask], seconds: float) -> list[RunEnd]:
        assert not set(wanted) & set(self.busy)
        for task in wanted[: self._jobs - len(self.busy)]:
            self.busy.append(task)
            self._handed_in.put(task)
        self.most_busy = max(self.most_busy, len(self.busy))
        try:
            end = self._ended.get(timeout=seconds)
        except queue.Empty:
            return []
        self.busy.remove(end.task)
        self.order.append(end.task)
        return [end]

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        while not self._handed_in.empty():
            self._handed_in.get()
        self._handed_in.put(None)
        while self._node.is_alive() and not hurry():
            self._node.join(0.05)

    def _work(self) -> None:
        time.sleep(0.2)  # so that several jobs are waiting before the first is taken
        while (task := self._handed_in.get()) is not None:
            self._ended.put(self._trainer.train(task))


def trainer_of(study: StudyDirectory, plan: Plan, dataset: Dataset) -> RunTrainer:
    return RunTrainer(study, plan, dataset, study.execution.execution)


def decided(trainer: RunTrainer, executor: Executor) -> dict[str, Any]:
    outcomes = Outcomes(trainer.study, trainer.plan, None)
    decision = run_to_end(
        trainer.study, trainer.plan, outcomes, executor, lambda state, ended: None, workers=1
    )
    return decision.results


def test_a_study_of_another_executor_is_the_same_to_the_last_bit(make_dataset: Make, tmp_path: Path) -> None:
    dataset, spec = make_dataset(), spec_of(TECHNIQUES, (2, 2))
    ours, theirs = (trainer_of(*prepared(tmp_path / name, spec, dataset), dataset) for name in ("a", "b"))
    cluster = Cluster(theirs)
    expected, found = decided(ours, InProcess(ours)), decided(theirs, cluster)
    assert cluster.most_busy == 3
    assert cluster.order[0] != RunTask("baseline", 0)  # another order than the one that was asked for
    assert sorted((task.arm, task.position) for task in cluster.order) == [
        (arm, position) for arm in ("baseline", "cosine", "slow") for position in range(2)
    ]
    assert found == expected
    for task in cluster.order:
        one, other = (np.load(trainer.run(task).predictions_path) for trainer in (ours, theirs))
        assert np.array_equal(one["probabilities"], other["probabilities"])


def test_a_stop_reaches_the_executor(make_dataset: Make, tmp_path: Path) -> None:
    dataset = make_dataset()
    trainer = trainer_of(*prepared(tmp_path / "s", spec_of(TECHNIQUES, (2, 2)), dataset), dataset)

    class Stopped(Cluster):
        stops = 0

        def advance(self, wanted: Sequence[RunTask], seconds: float) -> list[RunEnd]:
            signal.raise_signal(signal.SIGTERM)
            return super().advance(wanted, seconds)

        def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
            self.stops += 1
            assert not hurry()  # one SIGTERM asks for checkpoints, a second one for haste
            super().stop(hurry)

    executor = Stopped(trainer)
    with pytest.raises(Interrupted, match="the same command goes on"):
        decided(trainer, executor)
    assert executor.stops == 1
    assert decided(trainer, InProcess(trainer)).keys() == TECHNIQUES.keys()


def test_a_locked_run_is_asked_for_again_when_its_lock_is_free(make_dataset: Make, tmp_path: Path) -> None:
    dataset = make_dataset()
    trainer = trainer_of(*prepared(tmp_path / "s", spec_of(TECHNIQUES, (2, 2)), dataset), dataset)
    asked: list[list[RunTask]] = []
    first = RunTask("baseline", 0)
    lock = trainer.run(first).lock()

    class Counting(InProcess):
        def advance(self, wanted: Sequence[RunTask], seconds: float) -> list[RunEnd]:
            asked.append(list(wanted))
            if not wanted:
                lock.__exit__(None, None, None)
            return super().advance(wanted, 0.0)

    lock.__enter__()
    results = decided(trainer, Counting(trainer))
    assert asked[0][0] == first
    assert all(first not in wanted for wanted in asked[1:-1])
    assert asked[-2:] == [[], [first]]  # all others are trained; then the lock is free
    assert results.keys() == TECHNIQUES.keys()


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("version", ["1a", "1b"])
def test_studies_of_earlier_versions_go_on_as_they_recorded(
    version: str, replicas: int, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(FIXTURES / f"study-{version}", folder)
    known = read_json(folder / "execution.json")
    write_json(
        folder / "execution.json",
        {**known, "replicas": replicas, "replica_way": "side_by_side", "folder": None},
    )
    lost = [path.parent for path in folder.glob("runs/cosine-*/seed*/run.json")][:2]
    before = {run: np.load(run / "predictions-test.npz")["probabilities"] for run in lost}
    for run in lost:
        shutil.rmtree(run)
    study, plan, dataset = reopen_study(folder)
    plan = prepare(study, plan.spec, dataset, ComputeOptions())
    run_study(study, plan, dataset, ComputeOptions(), show=lambda state, ended: None)
    for run in lost:
        found = np.load(run / "predictions-test.npz")["probabilities"]
        np.testing.assert_allclose(found, before[run], atol=2e-3)
        assert read_json(run / "execution.json") == {
            key: known[key] for key in ("device", "precision", "channels_last", "threads")
        }
        together = {"together": 2, "way": "side_by_side"} if replicas == 2 else None
        assert read_json(run / "environment.json").get("replicas") == together


def test_who_only_looks_at_a_study_does_not_wait_for_torch(tmp_path: Path) -> None:
    folder = shutil.copytree(FIXTURES / "study-1b", tmp_path / "study")
    code = (
        "import sys; from convtrials.cli.study import status; from pathlib import Path; "
        "status(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "9 of 9 runs" in done.stdout
