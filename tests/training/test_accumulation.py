"""k micro-batches of b are one batch of k*b: loss and gradients, also where the last group is incomplete."""

from typing import Any

import numpy as np
import pytest
import torch
from small_runs import assert_same_weights, weights
from torch.nn import functional

from convtrials.training.engine.loss import loss_sum
from convtrials.training.recipe.recipe import Recipe

# Micro-batch and count, with 72 training images: 16 a step leaves 8, 21 leaves 9, 25 leaves 22, 50 leaves 22; with
# 71 the lone last image joins.
CASES = [(4, 4), (7, 3), (5, 5), (25, 2), (71, 1), (1, 6)]


@pytest.mark.parametrize(("micro", "count"), CASES)
@pytest.mark.parametrize("augment", [{}, {"degrees": 20, "mixup": 0.4, "erasing": 0.5}])
def test_micro_batches_train_like_one_batch(
    train_small: Any, micro: int, count: int, augment: dict[str, float]
) -> None:
    shared = {"dropout": 0.0, "optimizer": {"name": "sgd", "lr": 0.05}, "augment": augment, "clip_norm": 1.0}
    one = train_small({**shared, "batch_size": micro * count})
    cut = train_small({**shared, "batch_size": micro, "accumulate": count})
    assert one.result.steps == cut.result.steps
    for name, tensor in weights(one).items():
        torch.testing.assert_close(weights(cut)[name], tensor, rtol=2e-4, atol=2e-6)
    assert cut.read_history()[-1].train_loss == pytest.approx(one.read_history()[-1].train_loss, rel=1e-5)


def test_dropping_micro_batches_would_be_seen(train_small: Any) -> None:
    shared = {"dropout": 0.0, "optimizer": {"name": "sgd", "lr": 0.05}}
    one = train_small({**shared, "batch_size": 16})
    other = train_small({**shared, "batch_size": 4})
    first = next(iter(weights(one)))
    assert (weights(one)[first] - weights(other)[first]).abs().max() > 1e-4


def test_accumulating_once_is_no_accumulation(train_small: Any) -> None:
    assert_same_weights(train_small({"accumulate": 1}), train_small({}))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_closed_form(smoothing: float) -> None:
    draws = np.random.default_rng(0)
    logits = draws.normal(size=(7, 5))
    labels, mixed = draws.integers(0, 5, 7), draws.integers(0, 5, 7)
    share = 0.3
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    target = share * np.eye(5)[labels] + (1 - share) * np.eye(5)[mixed]
    target = (1 - smoothing) * target + smoothing / 5
    found = loss_sum(
        Recipe(label_smoothing=smoothing),
        torch.from_numpy(logits),
        torch.from_numpy(labels),
        torch.from_numpy(mixed),
        share,
    )
    assert float(found) == pytest.approx(-(target * log_p).sum(), rel=1e-12)


def test_without_mixup_the_loss_is_torchs() -> None:
    logits, labels = torch.randn(6, 4, dtype=torch.float64), torch.randint(0, 4, (6,))
    assert torch.equal(
        loss_sum(Recipe(), logits, labels), functional.cross_entropy(logits, labels, reduction="sum")
    )
