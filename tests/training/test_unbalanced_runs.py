"""Class weights, balanced draws, focal loss and weights of images in whole runs, alone and as replicas."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import PINNED, SMALL, assert_same_weights, weights
from test_replicas_equal import EVERYTHING, assert_equal_runs

from convtrials.core.errors import DataError, RecipeError, RunError
from convtrials.data.balanced_order import balanced_order
from convtrials.data.batches import Batches
from convtrials.data.dataset import Dataset
from convtrials.training.engine.loop import train_loop
from convtrials.training.engine.loss import LOSSES, LossEntry
from convtrials.training.engine.network import initial_network
from convtrials.training.engine.progress import RunCallback
from convtrials.training.engine.setup import begin_run
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.team import Team
from convtrials.training.replicas.train import train_replicas
from convtrials.training.run_directory import Run

SGD = {"optimizer": {"name": "sgd", "lr": 0.05}, "dropout": 0.0}
EVERY_WAY = {
    "class weights": {"class_weights": "balanced"},
    "by name": {"class_weights": {"class 3": 4.0}},
    "sampler": {"sampler": "balanced"},
    "focal": {"loss": {"name": "focal", "gamma": 1.5}, "class_weights": "balanced"},
}


@pytest.fixture
def unbalanced(make_dataset: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """Of four classes the first has all of its images, the last one in ten; weights of images on request."""

    def make(weighted: bool = False) -> Dataset:
        whole = make_dataset(per_class=40)
        keep = np.ones(len(whole), bool)
        for label, share in ((1, 2), (2, 4), (3, 8)):
            own = np.flatnonzero((whole.labels == label) & (whole.split == 0))
            keep[own] = np.arange(len(own)) % share == 0
        made = replace(
            whole,
            images=whole.images[keep],
            labels=whole.labels[keep],
            split=whole.split[keep],
            fingerprint=f"unbalanced-{weighted}",
        )
        if weighted:
            drawn = np.random.default_rng(1).integers(0, 4, len(made)).astype(np.float32)
            made = replace(made, weights=drawn)
        return made

    return make


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("way", EVERY_WAY)
def test_micro_batches_train_like_one_batch(
    train_small: Any, unbalanced: Callable[..., Dataset], way: str, weighted: bool
) -> None:
    shared = {**SGD, **EVERY_WAY[way], "augment": {"mixup": 0.4}, "clip_norm": 1.0, "label_smoothing": 0.1}
    one = train_small({**shared, "batch_size": 20}, dataset=unbalanced(weighted))
    cut = train_small({**shared, "batch_size": 4, "accumulate": 5}, dataset=unbalanced(weighted))
    for name, tensor in weights(one).items():
        torch.testing.assert_close(weights(cut)[name], tensor, rtol=2e-4, atol=2e-6)
    assert cut.read_history()[-1].train_loss == pytest.approx(one.read_history()[-1].train_loss, rel=1e-5)


def test_each_of_them_changes_what_is_learned(train_small: Any, unbalanced: Callable[..., Dataset]) -> None:
    plain = weights(train_small(SGD, dataset=unbalanced()))
    found = [weights(train_small({**SGD, **way}, dataset=unbalanced())) for way in EVERY_WAY.values()]
    found.append(weights(train_small(SGD, dataset=unbalanced(weighted=True))))
    first = next(iter(plain))
    every = [plain, *found]
    for place, one in enumerate(every):
        assert all(not torch.equal(one[first], other[first]) for other in every[:place])


def test_a_step_follows_the_weighted_mean(unbalanced: Callable[..., Dataset]) -> None:
    """One step of SGD from the loop is that of cross-entropy times the weights of images and of their classes."""
    dataset = unbalanced(weighted=True)
    changes = {**SGD, "class_weights": "balanced", "epochs": 1e-6, "batch_size": 64, "label_smoothing": 0.1}
    recipe = Recipe(**{**SMALL, **changes})
    network = initial_network(recipe, dataset, 0)
    state, train_split, val_split = begin_run(recipe, dataset, PINNED, network)
    same = initial_network(recipe, dataset, 0).to(memory_format=torch.channels_last)

    class Nothing:
        def after_step(self, *_: Any) -> None: ...
        def after_epoch(self, *_: Any) -> None: ...

    train_loop(recipe, 0, state, train_split, val_split, Nothing())
    assert state.step == 1
    where = train_split.epoch_order(0, 0)[:64]
    images, labels = train_split.take(where)
    counts = np.bincount(train_split.labels.numpy())
    of_class = torch.tensor(counts.sum() / (4 * counts), dtype=torch.float32)
    own = torch.from_numpy(dataset.weights[dataset.indices("train")][where])
    losses = torch.nn.functional.cross_entropy(
        same.train()(images), labels, reduction="none", label_smoothing=0.1
    )
    loss = (own * of_class[labels] * losses).sum() / (own * of_class[labels]).sum()
    loss.backward()
    for mine, theirs in zip(network.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs - 0.05 * theirs.grad, rtol=1e-4, atol=1e-6)
    assert state.history[0].train_loss == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("way", ["grouped", "side_by_side"])
def test_replicas_are_separate_runs(
    tmp_path: Path, unbalanced: Callable[..., Dataset], way: Any, weighted: bool
) -> None:
    """All that a recipe can add at once, focal loss included, with mixup and micro-batches."""
    together = {**EVERY_WAY["focal"], "sampler": "balanced"}
    recipe = Recipe(**{**SMALL, "width": 0.1}).changed({**EVERYTHING, **together})
    dataset, seeds = unbalanced(weighted), (3, 0)
    alone = [train(recipe, dataset, seed=seed, out=tmp_path / f"a{seed}", execution=PINNED) for seed in seeds]
    outs = [tmp_path / f"t{seed}" for seed in seeds]
    for one, other in zip(
        alone, train_replicas(recipe, dataset, seeds, outs, execution=PINNED, method=way), strict=True
    ):
        assert_equal_runs(one, other)


@pytest.mark.parametrize("changes", EVERY_WAY.values(), ids=EVERY_WAY)
def test_replicas_of_each(
    tmp_path: Path,
    unbalanced: Callable[..., Dataset],
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without mixup; passes are recorded and replayed as on a GPU, so that weights must be copied each time."""
    monkeypatch.setattr(
        "convtrials.training.replicas.graphs.Replayed.__init__.__kwdefaults__",
        {"record": lambda function: function},
    )
    recipe = Recipe(**{**SMALL, "width": 0.1, **SGD, **changes})
    dataset = unbalanced(weighted=True)
    alone = [
        train(recipe, dataset, seed=seed, out=tmp_path / f"a{seed}", execution=PINNED) for seed in (0, 1)
    ]
    original = Team.__init__
    monkeypatch.setattr(
        Team, "__init__", lambda self, *own, **more: original(self, *own, **{**more, "graphs": True})
    )
    outs = [tmp_path / f"t{seed}" for seed in (0, 1)]
    for one, other in zip(
        alone, train_replicas(recipe, dataset, (0, 1), outs, execution=PINNED), strict=True
    ):
        assert_equal_runs(one, other)


class PowerCut(Exception):
    """Stands for a kill between two steps."""


ALL = {
    **EVERY_WAY["focal"], "sampler": "balanced", "ema": 0.9, "accumulate": 2, "batch_size": 5, "epochs": 3,
    "early_stopping": {"patience": 10}, "augment": {"mixup": 0.2}, "label_smoothing": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("cut_at", [1, 6, 11])
def test_a_cut_after_any_step_changes_nothing(
    train_small: Any,
    unbalanced: Callable[..., Dataset],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cut_at: int,
) -> None:
    dataset = unbalanced(weighted=True)
    unbroken = train_small(ALL, dataset=dataset)
    original = RunCallback.after_step

    def after_step(self: RunCallback, state: Any, loss: float, images: int) -> None:
        original(self, state, loss, images)
        if state.step == cut_at:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(RunCallback, "after_step", after_step)
        with pytest.raises(PowerCut):
            train_small(ALL, dataset=dataset, out=tmp_path / "cut", checkpoint_seconds=0)
    assert_same_weights(unbroken, train_small(ALL, dataset=dataset, out=tmp_path / "cut"))


SCRIPT = """
import sys
from convtrials.data.open import load_dataset
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
train(Recipe.load(sys.argv[1]), load_dataset(sys.argv[2]), out=sys.argv[3],
      execution=Execution("cpu", "fp32", True, 1), checkpoint_seconds=0)
"""


def test_a_killed_run_goes_on_in_the_middle_of_an_epoch(
    tmp_path: Path, unbalanced: Callable[..., Dataset]
) -> None:
    data = unbalanced()
    np.savez(tmp_path / "data.npz", images=data.images, labels=data.labels)
    changes = {
        "sampler": "balanced",
        "class_weights": {"3": 2.0},
        "loss": "focal",
        "epochs": 30,
        "batch_size": 4,
    }
    (tmp_path / "r.yaml").write_text(Recipe(**SMALL).changed(changes).to_yaml())
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "r.yaml"), str(tmp_path / "data.npz")]
    subprocess.run([*command, str(tmp_path / "unbroken")], check=True)
    run = Run(tmp_path / "killed")
    with subprocess.Popen([*command, str(run.folder)]) as process:
        while not run.checkpoint_path.exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert not run.finished
    subprocess.run([*command, str(run.folder)], check=True)
    assert_same_weights(Run(tmp_path / "unbroken"), run)


def test_validation_is_not_weighted(train_small: Any, unbalanced: Callable[..., Dataset]) -> None:
    """A rate too small to move anything: all arms then report the validation loss of the same weights."""
    still = {"optimizer": {"name": "sgd", "lr": 1e-12}, "epochs": 1}
    runs = [train_small({**still, **way}, dataset=unbalanced(True)) for way in ({}, *EVERY_WAY.values())]
    runs.append(train_small(still, dataset=unbalanced()))
    for key in ("val_loss", "val_accuracy", "val_macro_f1"):
        assert len({round(getattr(run.read_history()[0], key), 6) for run in runs}) == 1
    assert len({round(run.read_history()[0].train_loss, 5) for run in runs}) > 3


def test_a_small_class_is_answered_as_often_as_the_others(
    train_small: Any, unbalanced: Callable[..., Dataset]
) -> None:
    """What a network believes before it can tell classes apart: 3 images of 45, or a quarter of all."""

    def believed(changes: dict[str, Any]) -> float:
        run = train_small({"epochs": 4, **SGD, "model": "alexnet-lite", **changes}, dataset=unbalanced())
        with np.load(run.predictions_path) as predictions:
            return float(predictions["probabilities"][:, 3].mean())

    plain = believed({})
    for changes in ({"sampler": "balanced"}, {"class_weights": "balanced"}):
        assert believed(changes) > 1.5 * plain


# --- losses of your own

PARTS = """
import torch
from torch.nn import functional
def plain(logits, labels): return functional.cross_entropy(logits, labels, reduction="none")
def weighs(logits, labels, class_weights=None):
    return functional.cross_entropy(logits, labels, weight=class_weights, reduction="none")
def any_words(logits, labels, **words): return plain(logits, labels)
def fails(logits, labels, class_weights=None): return logits @ class_weights[:1]
"""


@pytest.fixture
def own_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "own_losses.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("own_losses", None)


@pytest.mark.usefixtures("own_losses")
@pytest.mark.parametrize("name", ["plain", "weighs", "any_words"])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_own_loss_is_weighted_by_itself_or_by_us(
    train_small: Any, unbalanced: Callable[..., Dataset], name: str, weighted: bool
) -> None:
    changes = {**SGD, "class_weights": "balanced", "augment": {"mixup": 0.3}}
    usual = weights(train_small(changes, dataset=unbalanced(weighted)))
    own = weights(train_small({**changes, "loss": f"own_losses:{name}"}, dataset=unbalanced(weighted)))
    for key, tensor in usual.items():
        torch.testing.assert_close(own[key], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("own_losses")
def test_an_own_loss_that_fails_on_weights_is_refused_before_anything_is_written(
    train_small: Any, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="loss: own_losses:fails failed"):
        train_small({"loss": "own_losses:fails", "class_weights": "balanced"}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- what is said


def test_names_are_checked_before_anything_is_written(train_small: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        train_small({"class_weights": {"clas 1": 2}}, out=tmp_path / "run")
    assert str(caught.value).startswith(
        "class_weights: there is no class 'clas 1'; did you mean 'class 1'? classes:"
    )
    assert not (tmp_path / "run").exists()


def test_weights_and_a_loss_that_takes_none(
    train_small: Any, unbalanced: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "summed", LossEntry("a sum alone", lambda logits, labels: logits.sum()))
    with pytest.raises(RunError, match="dataset patterns: has weights, and the loss summed takes none"):
        train_small({"loss": "summed"}, dataset=unbalanced(True))


def test_weights_that_do_not_fit_are_refused(train_small: Any, unbalanced: Callable[..., Dataset]) -> None:
    dataset = replace(unbalanced(), weights=np.ones(3, np.float32))
    with pytest.raises(DataError, match="weights: needed is one finite number"):
        train_small({}, dataset=dataset)


def test_weights_of_images_that_are_not_trained_on_may_be_zero(
    train_small: Any, unbalanced: Callable[..., Dataset]
) -> None:
    dataset = unbalanced(True)
    assert dataset.weights is not None
    for_training = replace(dataset, weights=np.where(dataset.split == 0, dataset.weights, 0))
    assert_same_weights(train_small({}, dataset=for_training), train_small({}, dataset=dataset))


def test_other_weights_of_images_make_another_run(
    train_small: Any, unbalanced: Callable[..., Dataset], tmp_path: Path
) -> None:
    train_small({}, dataset=unbalanced(), out=tmp_path / "run")
    other = replace(unbalanced(), weights=unbalanced(True).weights)
    with pytest.raises(RunError, match="holds a run with another image weights"):
        train_small({}, dataset=other, out=tmp_path / "run")


def test_the_first_lines_name_what_can_be_tried(
    train_small: Any, unbalanced: Callable[..., Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    hint = "training data: class class 0 has 8.0 times the images of class class 3 (24 to 3); read macro F1"

    def lines(changes: dict[str, Any], **more: Any) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            train_small(changes, **more)
        return [record.getMessage() for record in caplog.records]

    first = lines({}, dataset=unbalanced())[0]
    assert first.startswith(hint)
    assert first.endswith("techniques to try: class_weights: balanced, sampler: balanced, loss: focal")
    assert not any("techniques to try" in line for line in lines({}))  # balanced data
    for changes in EVERY_WAY.values():
        assert not any("techniques to try" in line for line in lines(changes, dataset=unbalanced()))

    found = lines({"class_weights": {"class 1": 3, "class 3": 4.5}}, dataset=unbalanced(True))
    assert found[:3] == [
        "class_weights: from 1 (class 0) to 4.5 (class 3)",
        "class_weights: not named, so with weight 1: class 0, class 2",
        "weights of the dataset's images count in training: from 0 to 3",
    ]
    found = lines({"class_weights": "balanced", "sampler": "balanced"}, dataset=unbalanced())
    assert found[:3] == [
        "class_weights: from 0.469 (class 0) to 3.75 (class 3)",
        "sampler: balanced: about 11.25 images of each of 4 classes an epoch",
        "class_weights and sampler both favour small classes: together they do so twice",
    ]


def test_the_loop_draws_by_class(unbalanced: Callable[..., Dataset]) -> None:
    train_split = Batches(unbalanced(), "train")
    order = train_split.epoch_order(4, 1, "balanced")
    assert np.array_equal(order, balanced_order(train_split.labels.numpy(), 4, 1))
    drawn = np.bincount(train_split.labels.numpy()[order])
    assert sorted(drawn.tolist()) == [11, 11, 11, 12]
