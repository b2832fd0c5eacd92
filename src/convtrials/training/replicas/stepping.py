"""Optimizer steps of all replicas: one optimizer over the stacked tensors, or each replica by its own."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from convtrials.core.custom import is_custom
from convtrials.core.errors import RunError
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.optim.optimizers import optimizer_entry, set_learning_rate
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.stack import Stack, stacked

#: Entries of an optimizer's state that depend on the step alone, and are the same for all replicas.
_SHARED = ("step", "mu_product")


class Stepping(Protocol):
    """Takes the optimizer steps of all replicas; gradients are in the stack."""

    def step(self, rates: Sequence[float]) -> None:
        """Clip gradients, step at every replica's rate, and update the averages of weights."""

    def hand_back(self) -> None:
        """Bring the replicas' own optimizers and averages up to date."""


def check_for_replicas(recipe: Recipe) -> None:
    """Refuse a recipe whose runs are trained one at a time.

    Raises
    ------
    RunError
        The optimizer is your own, which may put other tensors in the place of stacked ones, the loss is your own, which
        may do what cannot be mapped over replicas, or parts are frozen.
    """
    if is_custom(recipe.optimizer.name):
        raise RunError(
            f"replicas: {recipe.optimizer.name} is an optimizer of your own, for one run at a time"
        )
    if is_custom(recipe.loss.name):
        raise RunError(f"replicas: the loss {recipe.loss.name} is for one run at a time")
    if recipe.freeze is not None:
        raise RunError("replicas: a network with frozen parts is for one run at a time")


def build_stepping(
    recipe: Recipe, states: Sequence[TrainingState], networks: Sequence[nn.Module], stack: Stack
) -> Stepping:
    """Choose one optimizer for all where it works element by element at one rate.

    Raises
    ------
    RunError
        The recipe's runs are trained one at a time, see `check_for_replicas`.
    """
    check_for_replicas(recipe)
    if not optimizer_entry(recipe.optimizer.name).by_element or recipe.schedule.name == "plateau":
        return SteppingEach(recipe, states, networks)
    return SteppingTogether(recipe, states, networks, stack)


class SteppingEach:
    """Every replica by its own optimizer: for those that work on matrices, as Muon, and for rates of their own."""

    def __init__(
        self, recipe: Recipe, states: Sequence[TrainingState], networks: Sequence[nn.Module]
    ) -> None:
        self._recipe, self._states, self._networks = recipe, states, networks

    def step(self, rates: Sequence[float]) -> None:
        """See `Stepping`."""
        for state, network, rate in zip(self._states, self._networks, rates, strict=True):
            set_learning_rate(state.optimizer, rate)
            if self._recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), self._recipe.clip_norm)
            state.optimizer.step()
            if state.average is not None:
                state.average.update_parameters(network)

    def hand_back(self) -> None:
        """They are up to date."""


class SteppingTogether:
    """One optimizer over the stacked tensors, of the class and with the options that each replica's own has."""

    def __init__(
        self,
        recipe: Recipe,
        states: Sequence[TrainingState],
        networks: Sequence[nn.Module],
        stack: Stack,
    ) -> None:
        self._recipe, self._states, self._stack = recipe, states, stack
        self._parameters = [dict(network.named_parameters()) for network in networks]
        names = {parameter: name for name, parameter in self._parameters[0].items()}
        own = states[0].optimizer
        groups = [
            {**group, "params": [stack.parameters[names[one]] for one in group["params"]]}
            for group in own.param_groups
        ]
        self._optimizer: torch.optim.Optimizer = type(own)(groups, lr=own.param_groups[0]["lr"])  # type: ignore[call-arg]
        for name, whole in stack.parameters.items():
            parts = [
                state.optimizer.state.get(parameters[name])
                for state, parameters in zip(states, self._parameters, strict=True)
            ]
            if parts[0]:
                self._optimizer.state[whole] = {key: _whole(key, parts) for key in parts[0]}
        self._averages, self._average = None, None
        if recipe.ema is not None:
            self._averages = Stack(
                [state.average.module for state in states if state.average is not None], trained=False
            )
            self._average = get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]

    def step(self, rates: Sequence[float]) -> None:
        """See `Stepping`."""
        for optimizer in (self._optimizer, *(state.optimizer for state in self._states)):
            set_learning_rate(optimizer, rates[0])  # without a plateau the schedule is the same for all
        if self._recipe.clip_norm is not None:
            self._stack.clip_gradients(self._recipe.clip_norm)
        self._optimizer.step()
        if self._averages is not None:
            self._update_averages(self._averages)

    @torch.no_grad()
    def _update_averages(self, averages: Stack) -> None:
        """Do for all replicas what `AveragedModel.update_parameters` does for one, without asking the device."""
        assert self._average is not None
        average = [one.detach() for one in averages.parameters.values()]
        current = [one.detach() for one in self._stack.parameters.values()]
        if self._states[0].step == 0:
            torch._foreach_copy_(average, current)
        else:
            self._average(average, current, self._states[0].step)
        for name, buffer in averages.buffers.items():
            buffer.copy_(self._stack.buffers[name])

    def hand_back(self) -> None:
        """Make the states of the replicas' own optimizers views of the common one."""
        for place, (state, parameters) in enumerate(zip(self._states, self._parameters, strict=True)):
            for name, whole in self._stack.parameters.items():
                if common := self._optimizer.state.get(whole):
                    state.optimizer.state[parameters[name]] = {
                        key: _part(key, value, place) for key, value in common.items()
                    }
            if state.average is not None:
                state.average.n_averaged.fill_(state.step)


def _whole(key: str, parts: Sequence[Any]) -> Any:
    values = [part[key] for part in parts]
    if not isinstance(values[0], Tensor):
        return values[0]
    return values[0].clone() if key in _SHARED else stacked(values)


def _part(key: str, value: Any, place: int) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.clone() if key in _SHARED else value[place]
