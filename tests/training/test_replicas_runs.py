"""Replicas end as ordinary runs: whatever becomes of one leaves the others alone, and a stop loses nothing."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import PINNED, SMALL, assert_same_weights, weights

from convtrials.core.errors import Interrupted, RunError, RunLocked
from convtrials.data.dataset import Dataset
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.train import resume, train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas import loop
from convtrials.training.replicas.callback import ReplicasCallback
from convtrials.training.replicas.team import Team
from convtrials.training.replicas.train import train_replicas
from convtrials.training.run_directory import Run

SEEDS = (0, 1, 2)
ADAM = {"name": "adam", "lr": 5e-3, "eps": 1e-3}


class PowerCut(Exception):
    """Stands for a kill."""


@pytest.fixture
def together(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> Callable[..., list[Run]]:
    """Train ``SMALL`` with changes at once, under a name."""

    def run(name: str, changes: dict[str, Any] | None = None, **options: Any) -> list[Run]:
        recipe = Recipe(**{**SMALL, "optimizer": ADAM}).changed(changes or {})
        outs = [tmp_path / name / f"seed{seed}" for seed in SEEDS]
        options.setdefault("dataset", make_dataset())
        dataset = options.pop("dataset")
        return train_replicas(recipe, dataset, SEEDS, outs, execution=PINNED, **options)

    return run


@pytest.fixture
def alone(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> Callable[..., Run]:
    """Train one seed by itself."""

    def run(seed: int, changes: dict[str, Any] | None = None, *, out: Path | None = None) -> Run:
        recipe = Recipe(**{**SMALL, "optimizer": ADAM}).changed(changes or {})
        folder = out or tmp_path / "alone" / f"seed{seed}"
        return train(recipe, make_dataset(), seed=seed, out=folder, execution=PINNED)

    return run


def assert_close_weights(one: Run, other: Run) -> None:
    first, second = weights(one), weights(other)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-3, atol=2e-5)


def test_the_directory_is_that_of_a_run_of_its_own(together: Any, alone: Any) -> None:
    one, runs = alone(1), together("t")
    for run in runs:
        names = {path.name.split(".")[0] for path in run.folder.iterdir()}
        assert names == {path.name.split(".")[0] for path in one.folder.iterdir()}
        assert run.execution == one.execution
        assert run.environment.replicas == {"together": 3, "way": "grouped"}
    assert runs[1].identity == one.identity
    assert runs[1].result.to_dict().keys() == one.result.to_dict().keys()
    assert resume(runs[1].folder).result == runs[1].result
    seconds = [run.result.train_seconds for run in runs]
    assert max(seconds) == pytest.approx(min(seconds))  # shared out evenly
    assert sum(seconds) < runs[0].result.seconds_since_start_or_resume * 3


def test_finished_runs_are_returned_as_they_are(together: Any, tmp_path: Path) -> None:
    before = {run.folder: run.result for run in together("t")}
    (tmp_path / "t" / "seed1" / "result.json").unlink()  # this one has to be trained again
    assert [run.result.test_accuracy for run in together("t")] == [
        result.test_accuracy for result in before.values()
    ]
    assert Run(tmp_path / "t" / "seed0").result == before[tmp_path / "t" / "seed0"]


@pytest.mark.parametrize("way", ["grouped", "side_by_side"])
def test_a_diverged_replica_harms_no_other(
    together: Any, alone: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    original = Team.step

    def poisoned(self: Team, *arguments: Any) -> Any:
        if self.replicas[0].state.step == 6:
            for one in self.replicas:
                if one.seed == 1:
                    next(one.network.parameters()).data.fill_(float("nan"))
        return original(self, *arguments)

    changes = {"batch_norm": True, "ema": 0.9, "clip_norm": 1.0}
    with monkeypatch.context() as patch:
        patch.setattr(Team, "step", poisoned)
        runs = together("t", changes, method=way)
    assert [run.result.status for run in runs] == ["finished", "diverged", "finished"]
    result = runs[1].result
    assert (result.diverged_at, result.diverged_in, result.steps) == (6, "training", 6)
    assert result.epochs == len(runs[1].read_history()) == 1
    assert not runs[1].weights_path.exists()
    assert not runs[1].checkpoint_path.exists()
    for seed in (0, 2):
        assert_close_weights(alone(seed, changes), runs[seed])


def test_weights_that_are_no_numbers_in_validation(
    together: Any, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Team.step

    def poisoned(self: Team, *arguments: Any) -> Any:
        outcome = original(self, *arguments)
        if self.replicas[0].state.step == 5:
            next(self.replicas[2].network.parameters()).data.fill_(float("nan"))
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(Team, "step", poisoned)
        runs = together("t")
    assert runs[2].result.diverged_in == "validation"
    assert runs[2].result.diverged_at == 5
    assert runs[2].read_history() == ()
    assert_close_weights(alone(0), runs[0])


def test_looking_at_losses_now_and_then_changes_nothing(
    together: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: several steps between two looks, and the step at which a replica diverged is still told."""
    original, changes = Team.step, {"ema": 0.9, "batch_norm": True}
    often = together("often", changes)

    def poisoned(self: Team, *arguments: Any) -> Any:
        for one in self.replicas:
            if (one.seed, one.state.step) == (1, 6):
                next(one.network.parameters()).data.fill_(float("nan"))
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "steps_between_checks", lambda device: 3)
        seldom = together("seldom", changes)
        patch.setattr(Team, "step", poisoned)
        diverged = together("diverged", changes)
    for one, other in zip(often, seldom, strict=True):
        assert_same_weights(one, other)
        assert [entry.train_loss for entry in one.read_history()] == [
            entry.train_loss for entry in other.read_history()
        ]
    assert diverged[1].result.diverged_at == diverged[1].result.steps == 6
    for seed in (0, 2):
        assert_close_weights(often[seed], diverged[seed])


def test_who_stops_early_leaves(together: Any, alone: Any) -> None:
    changes = {
        "epochs": 5,
        "early_stopping": {"metric": "val_accuracy", "patience": 1, "min_delta": 0.02},
    }
    pairs = [(alone(seed, changes), run) for seed, run in zip(SEEDS, together("t", changes), strict=True)]
    for one, other in pairs:
        for key in ("epochs", "steps", "stopped_early", "best_epoch", "test_accuracy", "kept"):
            assert getattr(other.result, key) == getattr(one.result, key)
        assert_close_weights(one, other)
    assert len({run.result.epochs for _, run in pairs}) > 1


@pytest.mark.parametrize("way", ["grouped", "side_by_side"])
@pytest.mark.parametrize(
    "changes",
    [
        {"batch_norm": True, "ema": 0.9, "accumulate": 2, "batch_size": 8, "optimizer": "adamw"},
        {"optimizer": {"name": "sgd", "lr": 0.05}, "schedule": "plateau"},
    ],
    ids=["adamw", "plateau"],
)
def test_a_cut_changes_nothing(
    together: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], way: str, tmp_path: Path
) -> None:
    unbroken = together("unbroken", changes, method=way)
    original = ReplicasCallback.after_steps

    def after_steps(self: ReplicasCallback, team: Team, images: int) -> None:
        original(self, team, images)
        if team.replicas[0].state.step == 7:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(ReplicasCallback, "after_steps", after_steps)
        with pytest.raises(PowerCut):
            together("cut", changes, method=way, checkpoint_seconds=0.0)
    assert all(Run(tmp_path / "cut" / f"seed{seed}").checkpoint_path.exists() for seed in SEEDS)
    for one, other in zip(unbroken, together("cut", changes, method=way), strict=True):
        assert_same_weights(one, other)
        assert [entry.train_loss for entry in one.read_history()] == [
            entry.train_loss for entry in other.read_history()
        ]


def test_a_cut_replica_goes_on_alone_or_with_others_at_another_step(
    together: Any, alone: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A kill between two checkpoints leaves replicas at different steps; one is finished by `train`."""
    original, saved = TrainingState.save, []
    changes = {"ema": 0.9, "batch_norm": True}

    def save(self: TrainingState, path: Path) -> None:
        if len(saved) == 3 * 4 + 2:  # the fifth step's last checkpoint
            raise PowerCut
        saved.append(self.step)
        original(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "save", save)
        with pytest.raises(PowerCut):
            together("cut", changes, checkpoint_seconds=0.0)
    assert saved[-3:] == [4, 5, 5]
    finished = alone(0, changes, out=tmp_path / "cut" / "seed0")
    runs = together("cut", changes)
    assert runs[0].result == finished.result
    for seed in SEEDS:
        assert_close_weights(alone(seed, changes), runs[seed])


def test_a_stop_leaves_checkpoints_and_says_how_to_go_on(
    together: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken, original = together("unbroken"), ReplicasCallback.after_steps

    def after_steps(self: ReplicasCallback, team: Team, images: int) -> None:
        if team.replicas[0].state.step == 3:
            signal.raise_signal(signal.SIGTERM)
        original(self, team, images)

    with monkeypatch.context() as patch:
        patch.setattr(ReplicasCallback, "after_steps", after_steps)
        with pytest.raises(
            Interrupted, match=r"stopped 3 runs at step 3, .*the same call goes on from there"
        ):
            together("stopped")
    for one, other in zip(unbroken, together("stopped"), strict=True):
        assert_same_weights(one, other)


def test_progress_is_told_of_every_run(together: Any) -> None:
    told: dict[str, list[float]] = {}
    runs = together(
        "t", on_progress=lambda run, progress: told.setdefault(run.folder.name, []).append(progress.images)
    )
    assert sorted(told) == [run.folder.name for run in runs]
    assert told["seed0"] == [16, 32, 48, 64, 72, 88, 104, 120, 136, 144]


def test_a_run_of_somebody_else_is_left_alone(together: Any, tmp_path: Path) -> None:
    taken = Run(tmp_path / "t" / "seed1")
    with taken.lock(), pytest.raises(RunLocked):
        together("t")
    assert not taken.exists
    assert not Run(tmp_path / "t" / "seed0").exists


def test_another_recipe_is_refused(together: Any) -> None:
    together("t")
    with pytest.raises(RunError, match="holds a run with another recipe"):
        together("t", {"dropout": 0.1})


def test_impossible_seeds_are_refused(make_dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="different seeds"):
        train_replicas(
            Recipe(**SMALL), make_dataset(), [1, 1], [tmp_path / "a", tmp_path / "b"], execution=PINNED
        )


OWN = """
import torch
from torch import nn
from torch.nn import functional

class Net(nn.Module):
    def __init__(self, drawing):
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(144, 16), nn.Dropout(0.3), nn.Linear(16, 4)
        self.drawing = drawing
    def forward(self, images):
        hidden = self.drop(torch.relu(self.first(images.flatten(1))))
        return self.last(functional.dropout(hidden, 0.2, self.training) if self.drawing else hidden)

def plain(classes, channels, image_size): return Net(False)
def drawing(classes, channels, image_size): return Net(True)
"""


@pytest.fixture
def own_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_replica_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("own_network")
def test_a_network_of_ones_own_is_computed_side_by_side(together: Any, alone: Any) -> None:
    changes = {"model": "own_replica_net:plain", "width": 1.0}
    runs = together("t", changes)
    assert runs[0].environment.replicas["way"] == "side_by_side"
    for seed in SEEDS:
        assert_close_weights(alone(seed, changes), runs[seed])
    wished = together("g", changes, method="grouped")  # the way of a study's baseline need not suit every arm
    assert wished[0].environment.replicas["way"] == "side_by_side"


@pytest.mark.usefixtures("own_network")
def test_a_network_that_draws_for_itself_is_refused(together: Any) -> None:
    with pytest.raises(RunError, match=r"draws random numbers outside nn.Dropout; train the runs separately"):
        together("t", {"model": "own_replica_net:drawing", "width": 1.0})


def test_torch_is_left_as_it_was(together: Any) -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    together("t", {"epochs": 0.2})
    assert torch.get_num_threads() == threads
    assert np.array_equal(torch.get_rng_state(), before)
