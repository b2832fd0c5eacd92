"""Your own optimizer, schedule, loss and augmentation by ``module:Name``: recorded, resumed, refused in one line."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_runs import PINNED, SMALL, assert_same_weights, weights

from convtrials.cli.models import models
from convtrials.core.custom import source_of
from convtrials.core.errors import RecipeError, RunError
from convtrials.data.augmentation import AugmentConfig
from convtrials.data.augmentation.pipeline import augmented
from convtrials.data.dataset import Dataset
from convtrials.training.engine.custom import try_custom_parts
from convtrials.training.engine.loss import LOSSES, LossEntry, loss_sum
from convtrials.training.engine.progress import RunCallback
from convtrials.training.engine.train import resume
from convtrials.training.optim.optimizers import OPTIMIZERS, OptimizerEntry
from convtrials.training.optim.schedules import schedule_factor
from convtrials.training.recipe.recipe import Recipe, merged, parse_setting
from convtrials.training.replicas.train import train_replicas
from convtrials.training.run_directory import Run, load_run

PARTS = """
import math
import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

class Lion(Optimizer):
    def __init__(self, params, lr, beta=0.9, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "beta": beta, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                state["seen"] = state.get("seen", 0) + 1
                moment = state.setdefault("moment", torch.zeros_like(p))
                moment.lerp_(p.grad, 1 - group["beta"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(moment.sign(), alpha=-group["lr"] / math.sqrt(state["seen"]))

class no_decay(Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

class Forgets(SGD):  # remembers outside of its state
    def step(self):
        self.seen = getattr(self, "seen", 0) + 1
        for group in self.param_groups:
            group["lr"] /= self.seen
        super().step()

class KeepsASet(SGD):
    def step(self):
        super().step()
        self.state[self.param_groups[0]["params"][0]]["seen"] = {1, 2}

class OwnRate(SGD):
    def step(self):
        for group in self.param_groups:
            group["lr"] = 0.01
        super().step()

class WantsAClosure(SGD):
    def step(self, closure):
        closure()

def a_module(params, lr): return nn.Linear(2, 2)
def needs_more(params, lr, rho): ...
def no_rate(params): ...
def fails(params, lr): raise ValueError("not today")
number = 3

def triangle(progress, epoch, top=0.5):
    return progress / top if progress < top else (1 - progress) / (1 - top)
def above_one(progress, epoch): return 1 + progress
def below(progress): return 0.5

def focal(logits, labels, gamma=2.0):
    return (1 - logits.softmax(1).gather(1, labels[:, None])[:, 0]) ** gamma * functional.cross_entropy(
        logits, labels, reduction="none")
def plain(logits, labels, label_smoothing):
    return functional.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
def a_mean(logits, labels): return functional.cross_entropy(logits, labels)
def a_number(logits, labels): return 3.0
def detached(logits, labels): return functional.cross_entropy(logits.detach(), labels, reduction="none")

def noise(images, generator, strength=0.1):
    return images + strength * torch.rand(images.shape, generator=generator).to(images.device)
def flip(images, generator): return images.flip(-1)
def unseeded(images, generator): return images + torch.rand_like(images)
def smaller(images, generator): return images[..., 1:]
def no_generator(images): return images
"""
LION = {"optimizer": {"name": "own_parts:Lion", "lr": 0.002, "weight_decay": 0.1, "options": {"beta": 0.8}}}
ALL = {
    **LION,
    "schedule": {"name": "own_parts:triangle", "warmup": 0.2, "options": {"top": 0.3}},
    "loss": {"name": "own_parts:focal", "options": {"gamma": 1.5}},
    "augment": {"custom": ["own_parts:noise", "own_parts:flip"], "mixup": 0.2},
    "activation": "relu",
}


@pytest.fixture(autouse=True)
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "place"
    place.mkdir()
    (place / "own_parts.py").write_text(PARTS)
    monkeypatch.chdir(place)
    yield place / "own_parts.py"
    sys.modules.pop("own_parts", None)


def tried(changes: dict[str, Any]) -> None:
    try_custom_parts(Recipe(**SMALL).changed(changes), (12, 12, 1), 5)


def test_settings_name_them_and_the_recipe_keeps_name_and_options(tmp_path: Path) -> None:
    settings = ["optimizer.name=own_parts:Lion", "optimizer.lr=0.002", "optimizer.options.beta=0.8"]
    settings = [*settings[:2], "optimizer.options={beta: 0.8}", "loss=own_parts:focal"]
    recipe = Recipe.make(merged({}, dict(parse_setting(text) for text in settings)))
    assert (recipe.optimizer.options, recipe.loss.name) == ({"beta": 0.8}, "own_parts:focal")
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert Recipe.load(tmp_path / "r.yaml") == recipe
    assert Recipe.load(tmp_path / "r.yaml").fingerprint() == recipe.fingerprint()
    other = recipe.changed({"optimizer.options": {"beta": 0.9}})
    assert other.optimizer.lr == 0.002
    assert other.fingerprint() != recipe.fingerprint()
    assert recipe.changed({"optimizer": {"name": "sgd"}}).optimizer.options == {}
    assert "own_parts" not in sys.modules  # a recipe is read without running what it names


def test_without_them_a_recipe_says_nothing_of_them() -> None:
    saved = Recipe().to_yaml()
    assert "options" not in saved
    assert "custom" not in saved
    assert "loss:" not in saved


@pytest.mark.parametrize("changes", [LION, ALL], ids=["optimizer", "all"])
def test_a_cut_after_any_step_changes_nothing(
    train_small: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any]
) -> None:
    unbroken = train_small(changes)
    assert not all(  # they do something
        torch.equal(value, weights(unbroken)[name]) for name, value in weights(train_small()).items()
    )
    original = RunCallback.after_step

    def after_step(self: RunCallback, state: Any, loss: float, images: int) -> None:
        original(self, state, loss, images)
        if state.step == cut_at:
            raise KeyboardInterrupt

    for cut_at in (1, 4):
        out = tmp_path / f"cut{cut_at}"
        with monkeypatch.context() as patch:
            patch.setattr(RunCallback, "after_step", after_step)
            with pytest.raises(KeyboardInterrupt):
                train_small(changes, out=out, checkpoint_seconds=0)
        assert load_file(out / "checkpoint.safetensors")
        assert_same_weights(unbroken, train_small(changes, out=out))


SCRIPT = """
import sys
from convtrials.data.open import load_dataset
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
data = load_dataset(sys.argv[2])
train(Recipe.load(sys.argv[1]), data, out=sys.argv[3], execution=Execution("cpu", "fp32", True, 1),
      checkpoint_seconds=0)
"""


def test_a_killed_run_goes_on_from_another_folder(
    tmp_path: Path, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset(per_class=40)
    np.savez(tmp_path / "data.npz", images=data.images, labels=data.labels)
    (tmp_path / "r.yaml").write_text(Recipe(**SMALL).changed({**ALL, "epochs": 20}).to_yaml())
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "r.yaml"), str(tmp_path / "data.npz")]
    subprocess.run([*command, str(tmp_path / "unbroken")], check=True)
    run = Run(tmp_path / "killed")
    with subprocess.Popen([*command, str(run.folder)]) as process:
        while not run.checkpoint_path.exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert not run.finished
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert_same_weights(Run(tmp_path / "unbroken"), resume(run.folder))


def test_the_source_is_part_of_what_a_run_is(
    train_small: Any, own_parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_small(ALL, out=tmp_path / "run")
    named = {key for key in run.identity.to_dict() if key.endswith(" source")}
    assert named == {
        "optimizer source",
        "schedule source",
        "loss source",
        "augment.custom own_parts:noise source",
        "augment.custom own_parts:flip source",
    }
    own_parts.write_text(PARTS + "\n# changed\n")
    with pytest.raises(RunError, match="holds a run with another optimizer source"):
        train_small(ALL, out=tmp_path / "run")


@pytest.mark.parametrize("name", ["decorated", "partly", "made"])
def test_the_source_is_the_file_that_a_part_is_written_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrapped_parts.py").write_text(
        """
import functools
import torch

@torch.no_grad()
def decorated(images, generator):
    return images

class Made:
    def __call__(self, images, generator):
        return images

partly, made = functools.partial(decorated), Made()
"""
    )
    monkeypatch.chdir(tmp_path)
    source = source_of("augment.custom", f"wrapped_parts:{name}")
    assert source is not None
    assert source.resolve() == (tmp_path / "wrapped_parts.py").resolve()
    sys.modules.pop("wrapped_parts")


def test_a_script_that_ends_itself_is_no_module_of_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends_itself.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="'ends_itself' cannot be imported: SystemExit: 0"):
        source_of("optimizer", "ends_itself:Lion")


def test_a_finished_run_is_used_without_its_parts(
    train_small: Any, own_parts: Path, make_dataset: Callable[..., Dataset]
) -> None:
    from convtrials.deploy.predictor import load_finished_run

    run = train_small(ALL)
    own_parts.unlink()
    sys.modules.pop("own_parts")
    assert load_run(run.folder).read_predictions()
    assert load_finished_run(run)


def test_replicas_leave_own_optimizers_and_losses_to_one_run_at_a_time(
    make_dataset: Callable[..., Dataset], tmp_path: Path, train_small: Any
) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    for changes, told in (
        (LION, "own_parts:Lion is an optimizer of your own"),
        ({"loss": "own_parts:focal"}, "loss"),
    ):
        recipe = Recipe(**SMALL).changed(changes)
        with pytest.raises(RunError, match=told):
            train_replicas(recipe, make_dataset(), [0, 1], outs, execution=PINNED)
        outs = [tmp_path / "c", tmp_path / "d"]
    changes = {"augment": {"custom": "own_parts:noise"}, "schedule": "own_parts:triangle"}
    together = train_replicas(
        Recipe(**SMALL).changed(changes), make_dataset(), [0, 1], [tmp_path / "e", tmp_path / "f"],
        execution=PINNED,
    )  # fmt: skip
    for seed, run in enumerate(together):
        alone = weights(train_small(changes, seed=seed))
        for name, value in weights(run).items():
            torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-4)


def optimizer(name: str, **more: Any) -> dict[str, Any]:
    return {"optimizer": {"name": name, "lr": 0.01, **more}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (optimizer("own_nowhere:Lion"), "optimizer: there is no module 'own_nowhere' in the current directory"),
        (optimizer("own_parts:Missing"), "optimizer: module 'own_parts' has no 'Missing'"),
        (optimizer("own_parts:number"), "optimizer: own_parts:number is neither a function nor a class"),
        (optimizer("own_parts:a_module"), "returned a Linear, not a torch.optim.Optimizer"),
        (optimizer("own_parts:needs_more"), "called as (params, lr=...): missing a required argument: 'rho'"),
        (optimizer("own_parts:no_rate"), "got an unexpected keyword argument 'lr'"),
        (optimizer("own_parts:Lion", options={"bta": 1}), "unexpected keyword argument 'bta'"),
        (optimizer("own_parts:fails"), "own_parts:fails failed: ValueError: not today"),
        (optimizer("own_parts:no_decay", weight_decay=0.1), "optimizer.weight_decay: 0.1 has no effect, as own"),
        (optimizer("own_parts:no_decay"), "own_parts:no_decay fails at a step: NotImplementedError"),
        (optimizer("own_parts:Forgets"), "own_parts:Forgets continues differently from a checkpoint"),
        (optimizer("own_parts:KeepsASet"), "cannot be saved and read back: TypeError: a checkpoint holds tensors"),
        (optimizer("own_parts:OwnRate"), "own_parts:OwnRate takes the same step at two rates"),
        (optimizer("own_parts:WantsAClosure"), "fails at a step: TypeError"),
        (optimizer("torch.optim:LBFGS"), "optimizer: torch.optim:LBFGS failed: ValueError"),
        ({"schedule": "own_parts:above_one"}, "returned 1.01 at 1% of the steps; needed: a share of the peak"),
        ({"schedule": "own_parts:below"}, "cannot be called as (progress, epoch): too many positional"),
        ({"loss": "own_parts:a_mean"}, "loss: own_parts:a_mean gives () for 4 images; needed: one loss each, (4,)"),
        ({"loss": "own_parts:a_number"}, "loss: own_parts:a_number gives float for 4 images"),
        ({"loss": "own_parts:detached"}, "gives values without a gradient"),
        ({"loss": "own_parts:focal", "label_smoothing": 0.1}, "label_smoothing: 0.1 has no effect, as own_parts"),
        ({"augment": {"custom": "own_parts:unseeded"}}, "own_parts:unseeded: gives other images when called again"),
        ({"augment": {"custom": "own_parts:smaller"}}, "gives torch.float32 (16, 1, 12, 11) for images of"),
        ({"augment": {"custom": "own_parts:no_generator"}}, "cannot be called as (images, generator): too many"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_work_is_refused_in_one_line(
    changes: dict[str, Any], told: str, train_small: Any, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as caught:
        tried(changes)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(RecipeError):
        train_small(changes, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()  # before anything is written


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (optimizer("own_parts:"), "optimizer.name = 'own_parts:': is not of the form module:Name, such as"),
        ({"optimizer": "own_parts:Lion"}, "own_parts:Lion needs a learning rate, such as optimizer.lr=0.001"),
        (optimizer("own_parts:Lion", momentum=0.9), "own_parts:Lion has no momentum; its options: lr, weight_decay"),
        (optimizer("own_parts:Lion", options={"lr": 1}), "options: lr is given to every optimizer"),
        (optimizer("adam", options={"beta": 1}), "adam has no options; its options: lr, weight_decay, betas, eps"),
        ({"optimizer": "lion"}, "or 'muon', or module:Name of your own"),
        ({"loss": "focl"}, "loss.name = 'focl': must be 'cross_entropy' or 'focal', or module:Name of your own"),
        ({"loss": {"gamma": 1}}, "cross_entropy has no gamma"),
        ({"loss": {"name": "own_parts:focal", "gamma": 1}}, "an argument of your own loss stands under options"),
        ({"loss": {"name": "focal", "gamma": -1}}, "loss.gamma = -1: must be greater than or equal to 0"),
        ({"loss": {"name": "focal", "gamma": True}}, "gamma must be a number"),
        ({"loss": {"name": "own_parts:focal", "options": {"class_weights": [1]}}, "class_weights": "balanced"},
         "class_weights is given twice: at the top and in loss.options"),
        ({"loss": {"options": {"gamma": 1}}}, "cross_entropy has no options"),
        ({"schedule": {"name": "cosine", "options": {"a": 1}}}, "cosine has no options; its options: warmup, final"),
        ({"augment": {"custom": "posterize"}}, "augment.custom.0.name = 'posterize': is not of the form module:name"),
        ({"augment": {"custom": [{"nam": "a:b"}]}}, "unknown key; did you mean name? allowed: name, options"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_a_recipe_cannot_say_is_refused_when_it_is_read(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(**SMALL).changed(changes)
    assert told in str(caught.value)


def test_torchs_own_work_by_name() -> None:
    tried(optimizer("torch.optim:Adamax", options={"eps": 1e-7}, weight_decay=0.01))
    tried({"loss": "own_parts:plain", "label_smoothing": 0.1})


def test_an_own_loss_is_summed_and_mixed_as_cross_entropy_is() -> None:
    logits, labels = torch.randn(6, 5), torch.arange(6) % 5
    own = Recipe(loss="own_parts:plain", label_smoothing=0.1)
    usual = Recipe(label_smoothing=0.1)
    for more in ((), (labels.flip(0), 0.3)):
        one, other = (loss_sum(recipe, logits, labels, *more) for recipe in (own, usual))
        torch.testing.assert_close(one, other)


def test_a_loss_that_is_added_is_one_entry(monkeypatch: pytest.MonkeyPatch, train_small: Any) -> None:
    def hinge(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.multi_margin_loss(logits, labels, reduction="sum")

    monkeypatch.setitem(LOSSES, "hinge", LossEntry("hinge", hinge))
    logits, labels = torch.randn(6, 5), torch.arange(6) % 5
    assert torch.equal(loss_sum(Recipe(loss="hinge"), logits, labels), hinge(logits, labels))
    assert train_small({"loss": "hinge"}).result.status == "finished"
    with pytest.raises(RecipeError, match="the loss hinge takes none"):
        Recipe(loss="hinge", label_smoothing=0.1)


def test_an_optimizer_that_is_added_is_one_entry(
    monkeypatch: pytest.MonkeyPatch, train_small: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The walk of CONTRIBUTING: what a recipe takes, `convtrials models` and runs follow from the entry."""
    entry = OptimizerEntry(
        "torch.optim:Adamax", "its paper", lr=0.002, options=("betas", "eps"), adam_sized=True
    )
    monkeypatch.setitem(OPTIMIZERS, "adamax", entry)
    recipe = Recipe(optimizer={"lr": 0.05}).changed({"optimizer": "adamax"})
    assert recipe.optimizer.lr == 0.05
    assert Recipe(optimizer="adamax").optimizer.lr == 0.002
    with pytest.raises(
        RecipeError, match="adamax has no momentum; its options: lr, weight_decay, betas, eps"
    ):
        Recipe(optimizer={"name": "adamax", "momentum": 0.5})
    with pytest.raises(RecipeError, match="'muon' or 'adamax'"):
        Recipe(optimizer="adamx")
    models()
    assert "its paper" in capsys.readouterr().out
    named = train_small({"optimizer": {"name": "adamax", "lr": 0.002, "eps": 1e-7}})
    own = train_small({"optimizer": {"name": "torch.optim:Adamax", "lr": 0.002, "options": {"eps": 1e-7}}})
    assert_same_weights(named, own)


def test_an_own_operation_has_a_stream_by_its_name() -> None:
    images, labels = torch.rand(4, 1, 6, 6), torch.arange(4)

    def made(*custom: str, step: int = 3) -> torch.Tensor:
        config = AugmentConfig.model_validate({"custom": custom})
        return augmented(images, labels, config, seed=1, step=step).images

    assert torch.equal(made("own_parts:noise"), made("own_parts:noise"))
    assert not torch.equal(made("own_parts:noise"), made("own_parts:noise", step=4))
    assert torch.equal(made("own_parts:noise").flip(-1), made("own_parts:noise", "own_parts:flip"))
    twice = made("own_parts:noise", "own_parts:noise") - made("own_parts:noise")
    assert not torch.allclose(twice, made("own_parts:noise") - images)  # other draws, not the same again


def test_a_schedule_gets_progress_and_epochs() -> None:
    config = Recipe(schedule="own_parts:triangle").schedule
    assert [schedule_factor(config, step, 5, 2) for step in range(5)] == [0, 0.5, 1, 0.5, 0]
