"""Stop anywhere, go on, and the weights are those of a run never stopped, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import SMALL, assert_same_weights

from convtrials.core.errors import Interrupted
from convtrials.data.dataset import Dataset
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.progress import RunCallback
from convtrials.training.optim.optimizers import OPTIMIZERS
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run

#: More augmentations, with CutMix or mixup drawn for each step.
COLOURS = {"randaugment": {"magnitude": 12}, "color_jitter": {"contrast": 0.4}, "noise": 0.03, "cutmix": 1.0}

EVERYTHING = {
    "epochs": 3,
    "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 1e-3},
    "schedule": {"name": "plateau", "patience": 0, "gamma": 0.5, "warmup": 0.3},
    "batch_norm": True,
    "ema": 0.9,
    "early_stopping": {"patience": 10},
    "accumulate": 2,
    "batch_size": 5,
    "augment": {"degrees": 10, "elastic_alpha": 10, "erasing": 0.3, "mixup": 0.2, **COLOURS},
    "clip_norm": 1.0,
    "label_smoothing": 0.1,
}


class PowerCut(Exception):
    """Stands for a kill between two steps."""


@pytest.mark.parametrize(
    "changes",
    [
        EVERYTHING,
        {"optimizer": "adamw", "schedule": "one_cycle", "model": "vgg11"},
        {"optimizer": "muon", "schedule": "cosine"},
        {"optimizer": "nadam", "early_stopping": {"patience": 1}, "epochs": 4},
        {"optimizer": "adam", "batch_norm": True},
        *(
            {"optimizer": name}
            for name in OPTIMIZERS
            if name not in ("sgd", "adam", "adamw", "muon", "nadam")
        ),
    ],
    ids=lambda changes: str(changes.get("optimizer", "?"))[:12],
)
def test_a_cut_after_any_step_changes_nothing(
    train_small: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], tmp_path: Path
) -> None:
    unbroken = train_small(changes)
    original = RunCallback.after_step
    for cut_at in (1, 4, 5, 7):
        out = tmp_path / f"cut{cut_at}"

        def after_step(
            self: RunCallback, state: TrainingState, loss: float, images: int, cut_at: int = cut_at
        ) -> None:
            original(self, state, loss, images)
            if state.step == cut_at:
                raise PowerCut

        with monkeypatch.context() as patch:
            patch.setattr(RunCallback, "after_step", after_step)
            with pytest.raises(PowerCut):
                # a checkpoint after every second step or so: the cut loses steps that are done again
                train_small(changes, out=out, checkpoint_seconds=0.0 if cut_at % 2 else 0.01)
        resumed = train_small(changes, out=out)
        assert_same_weights(unbroken, resumed)
        for one, other in zip(unbroken.read_history(), resumed.read_history(), strict=True):
            timed = {"seconds", "cpu_seconds", "images_per_second"}
            assert one.model_dump(exclude=timed) == other.model_dump(exclude=timed)


def test_a_cut_while_the_end_is_written(
    train_small: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes = {
        "early_stopping": {"patience": 1, "min_delta": 1000},
        "epochs": 6,
    }  # stops early, after epoch 2
    unbroken = train_small(changes)
    assert unbroken.result.stopped_early

    def cut(*_: Any) -> float:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr("convtrials.training.engine.finish._write_predictions", cut)
        with pytest.raises(PowerCut):
            train_small(changes, out=tmp_path / "cut")
    assert not Run(tmp_path / "cut").finished
    resumed = train_small(changes, out=tmp_path / "cut")
    assert_same_weights(unbroken, resumed)
    assert len(resumed.read_history()) == len(unbroken.read_history()) == 2


def test_a_stop_leaves_a_checkpoint_and_says_how_to_go_on(
    train_small: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unbroken = train_small()
    original, handler = RunCallback.after_step, signal.getsignal(signal.SIGINT)

    def after_step(self: RunCallback, state: TrainingState, loss: float, images: int) -> None:
        if state.step == 3:
            signal.raise_signal(signal.SIGINT)
        original(self, state, loss, images)

    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "after_step", after_step)
        with pytest.raises(Interrupted, match="the same command goes on from there"):
            train_small(out=tmp_path / "stopped")
    assert signal.getsignal(signal.SIGINT) is handler
    assert_same_weights(unbroken, train_small(out=tmp_path / "stopped"))


SCRIPT = """
import sys
from convtrials.training.engine.execution import Execution
from convtrials.training.optim.optimizers import OPTIMIZERS
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.engine.train import train
from convtrials.data.open import load_dataset
recipe = Recipe.load(sys.argv[1])
data = load_dataset(sys.argv[2])
train(recipe, data, out=sys.argv[3], execution=Execution("cpu", "bf16", True, 1), checkpoint_seconds=0.05)
"""

#: The exit code of a process that was killed.
KILLED = 1 if os.name == "nt" else -9


def test_real_kills_at_random_moments(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(per_class=60)
    np.savez(tmp_path / "data.npz", images=data.images, labels=data.labels)
    (tmp_path / "recipe.yaml").write_text(Recipe(**SMALL).changed({**EVERYTHING, "epochs": 40}).to_yaml())
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "recipe.yaml"), str(tmp_path / "data.npz")]
    with subprocess.Popen([*arguments, str(tmp_path / "unbroken")]) as process:
        assert process.wait(200) == 0
    draws, kills = random.Random(0), 0
    run = Run(tmp_path / "killed")
    while not run.finished:
        with subprocess.Popen([*arguments, str(run.folder)]) as process:
            before = run.checkpoint_path.stat().st_mtime_ns if run.checkpoint_path.exists() else 0
            while process.poll() is None and kills < 3:
                moved = run.checkpoint_path.exists() and run.checkpoint_path.stat().st_mtime_ns > before
                if moved:  # it trains: kill it within the next dozens of steps
                    time.sleep(draws.uniform(0, 0.3))
                    process.kill()
                    kills += process.wait() == KILLED
                    break
                time.sleep(0.005)
            assert process.wait(200) in (0, KILLED)
    assert kills == 3
    assert_same_weights(Run(tmp_path / "unbroken"), run)
