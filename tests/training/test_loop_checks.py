"""On a GPU losses are looked at every so many steps: the same run, and the same step of divergence."""

from typing import Any

import pytest
from small_runs import assert_same_weights

from convtrials.training.engine import loop


def figures(run: Any) -> list[tuple[float, ...]]:
    keys = ("epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
    return [tuple(getattr(entry, key) for key in keys) for entry in run.read_history()]


def test_rare_looks_change_nothing(train_small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    every_step = train_small({"ema": 0.9})
    seen: list[int] = []
    monkeypatch.setattr(loop, "steps_between_checks", lambda device: 3)
    monkeypatch.setattr(
        "convtrials.training.engine.progress.RunCallback.after_step",
        lambda self, state, loss, images: seen.append(images),
    )
    rarely = train_small({"ema": 0.9})
    assert_same_weights(every_step, rarely)
    assert figures(every_step) == figures(rarely)
    assert 1 < len(seen) < every_step.result.steps


@pytest.mark.parametrize("bad", [3, 4, 5])
def test_the_step_of_divergence_is_found(train_small: Any, monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    original = loop.train_step

    def spoilt(recipe: Any, seed: int, state: Any, group: Any, weights: Any) -> Any:
        loss, correct = original(recipe, seed, state, group, weights)
        return (loss * float("nan") if state.step == bad else loss), correct

    monkeypatch.setattr(loop, "train_step", spoilt)
    monkeypatch.setattr(loop, "steps_between_checks", lambda device: 3)
    result = train_small().result
    assert (result.status, result.diverged_at, result.steps) == ("diverged", bad, bad)
