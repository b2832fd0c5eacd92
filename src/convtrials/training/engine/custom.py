"""Your own parts of a recipe are tried before a run begins: what cannot work is refused in a line."""

import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from convtrials.core.custom import is_custom, one_line
from convtrials.core.errors import RecipeError
from convtrials.data.augmentation.pipeline import try_custom
from convtrials.training.engine.loss import loss_sum
from convtrials.training.engine.loss_weights import LossWeights
from convtrials.training.engine.tensor_tree import load_tree, save_tree
from convtrials.training.optim.optimizers import OptimizerConfig, build_optimizer, set_learning_rate
from convtrials.training.optim.schedules import schedule_factor
from convtrials.training.recipe.recipe import Recipe

#: Steps that an optimizer is tried for, and the rate of them.
TRIED_STEPS, TRIED_RATE = 3, 1e-3


def try_custom_parts(recipe: Recipe, image_shape: tuple[int, int, int], classes: int) -> None:
    """Try all parts of a recipe that are your own, but for the network, which is tried when it is built.

    Parameters
    ----------
    image_shape : tuple of int
        (H, W, C).

    Raises
    ------
    RecipeError
        A part is missing, fails, takes or returns something else, or could not be resumed exactly.
    """
    with torch.random.fork_rng(devices=[]):
        if is_custom(recipe.optimizer.name):
            _try_optimizer(recipe.optimizer)
        if is_custom(recipe.loss.name):
            _try_loss(recipe, classes)
        if recipe.augment.custom:
            try_custom(recipe.augment, image_shape)
    if is_custom(recipe.schedule.name):
        for step in range(101):
            schedule_factor(recipe.schedule, step, 101, 10)


def _try_loss(recipe: Recipe, classes: int) -> None:
    logits = torch.linspace(-1, 1, 4 * classes).reshape(4, classes).requires_grad_()
    weights = LossWeights(torch.ones(classes), torch.ones(4)) if recipe.class_weights is not None else None
    loss = loss_sum(recipe, logits, torch.arange(4) % classes, weights=weights)
    if not loss.requires_grad:
        raise RecipeError(f"loss: {recipe.loss.name} gives values without a gradient")


def _try_optimizer(config: OptimizerConfig) -> None:
    """See that an optimizer heeds its rate, and goes on from a checkpoint as if it had never stopped."""
    where = f"optimizer: {config.name}"
    network, other = _network(), _network()
    optimizer, slower = build_optimizer(config, network), build_optimizer(config, other)
    _step(where, network, optimizer, range(TRIED_STEPS))
    _step(where, other, slower, range(TRIED_STEPS), TRIED_RATE / 10)
    if _same(network, other):
        raise RecipeError(
            f"{where} takes the same step at two rates; it must read the rate from its param_groups"
        )

    other.load_state_dict(network.state_dict())
    resumed = build_optimizer(config, other)
    try:
        with tempfile.TemporaryDirectory() as folder:
            save_tree(Path(folder) / "state", optimizer.state_dict())
            resumed.load_state_dict(load_tree(Path(folder) / "state"))
    except Exception as error:
        raise RecipeError(f"{where} cannot be saved and read back: {one_line(error)}") from error
    for trained, its_optimizer in ((network, optimizer), (other, resumed)):
        _step(where, trained, its_optimizer, range(TRIED_STEPS, 2 * TRIED_STEPS))
    if not _same(network, other):
        raise RecipeError(
            f"{where} continues differently from a checkpoint; all that it remembers must be in self.state, "
            "or in its state_dict()"
        )


def _network() -> nn.Module:
    """Weights and biases of a convolution, a normalisation and a linear layer; the same each time."""
    torch.default_generator.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3))


def _step(
    where: str, network: nn.Module, optimizer: Optimizer, steps: range, rate: float = TRIED_RATE
) -> None:
    for step in steps:
        torch.default_generator.manual_seed(step)  # as before each step of a run
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        set_learning_rate(optimizer, rate)
        try:
            optimizer.step()
        except Exception as error:
            raise RecipeError(f"{where} fails at a step: {one_line(error)}") from error


def _same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)
