"""Freezing: parts of a network that are not trained, for the whole run or until an epoch."""

from typing import TYPE_CHECKING

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from convtrials.core.log import get_logger
from convtrials.models.parts import frozen_parts

if TYPE_CHECKING:
    from convtrials.training.recipe.recipe import Recipe

_log = get_logger(__name__)


class Freezing:
    """The frozen parts of a network.

    A frozen parameter needs no gradient: where all layers up to one are frozen, no backward pass goes through them. The
    optimizer leaves it alone, decay included. Batch norm in a frozen part normalises by its running statistics, in
    training too, and does not change them. Dropout in it stays on.

    What is frozen is a function of the step, so a resume needs no state of it.

    Parameters
    ----------
    network : nn.Module
        As the recipe builds it.
    recipe : Recipe
        With ``freeze``.

    Attributes
    ----------
    names : set of str
        Parameters and modules.
    """

    def __init__(self, network: nn.Module, recipe: "Recipe") -> None:
        assert recipe.freeze is not None
        self.names = parts = frozen_parts(network, recipe.freeze)
        self._until = recipe.unfreeze_at
        # What a network of your own does not train stays so when the rest is let go.
        self._parameters = [
            one for name, one in network.named_parameters() if name in parts and one.requires_grad
        ]
        self._norms = [
            one for name, one in network.named_modules() if name in parts and isinstance(one, _NormBase)
        ]
        self._frozen = False

    @property
    def for_good(self) -> bool:
        """Whether the parts stay frozen to the end."""
        return self._until is None

    def apply(self, frozen: bool = True) -> None:
        """Freeze the parts, or let them be trained."""
        self._frozen = frozen
        for parameter in self._parameters:
            parameter.requires_grad_(not frozen)

    def before_step(self, step: int, total: int, per_epoch: int) -> None:
        """Let all be trained if it is time at an optimizer step, from 0, of so many in the run and in an epoch."""
        if self._until is None or not self._frozen:
            return
        first = unfreezing_step(self._until, total, per_epoch)
        if step >= first:
            self.apply(False)
            _log.info(f"all layers are trained from step {first} on")

    def keep_statistics(self) -> None:
        """Bring batch norm of frozen parts into evaluation mode, after the network was put into training mode."""
        if self._frozen:
            for norm in self._norms:
                norm.eval()

    def describe(self) -> str:
        """Say how much is frozen."""
        count = sum(one.numel() for one in self._parameters)
        until = "" if self._until is None else f" until epoch {self._until:g}"
        norms = f"; {len(self._norms)} batch norms keep their running statistics" if self._norms else ""
        return f"freeze: {count:,} parameters are not trained{until}{norms}"


def freezing_of(recipe: "Recipe", network: nn.Module) -> Freezing | None:
    """Return what the recipe freezes in the network; None where that is nothing.

    Raises
    ------
    RecipeError
        The network has no such part, or nothing would be left to train.
    """
    return None if recipe.freeze is None else Freezing(network, recipe)


def unfreezing_step(epochs: float, total: int, steps_per_epoch: int) -> int:
    """Return the first step at which all is trained: rounded, but not the first step of a run, nor after its last."""
    return max(1, min(int(epochs * steps_per_epoch + 0.5), total - 1))
