"""A team: replicas that stand at the same step, stacked, and how they take a step together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from convtrials.data.batches import cut
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.loss import loss_sum
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.batch import MicroBatch
from convtrials.training.replicas.graphs import Replayed
from convtrials.training.replicas.grouped import unknown_layer
from convtrials.training.replicas.noise import DropoutNoise, give_dropout
from convtrials.training.replicas.passes import GroupedPasses, Method, Passes, SideBySidePasses
from convtrials.training.replicas.stack import Stack
from convtrials.training.replicas.stepping import build_stepping
from convtrials.training.run_directory import Run


@dataclass(frozen=True, eq=False)  # the same one or another: values do not matter
class Replica:
    """One run among those that are trained at once.

    Attributes
    ----------
    run : Run
        Its directory.
    state : TrainingState
        As of a run of its own.
    network : nn.Module
        The network of `state`, as the recipe builds it.
    """

    run: Run
    seed: int
    state: TrainingState
    network: nn.Module


class Team:
    """Stacks replicas and takes their steps. Their states change as those of runs of their own would.

    Parameters
    ----------
    replicas : sequence of Replica
        At the same step of the same epoch.
    method : {"grouped", "side_by_side"}
    graphs : bool, optional
        Record passes as CUDA graphs; by default on a GPU.
    """

    def __init__(
        self,
        recipe: Recipe,
        replicas: Sequence[Replica],
        execution: Execution,
        method: Method,
        *,
        graphs: bool | None = None,
    ) -> None:
        self.replicas = list(replicas)
        self._recipe = recipe
        self._record = execution.device_type == "cuda" if graphs is None else graphs
        states, networks = [one.state for one in replicas], [one.network for one in replicas]
        autocast = states[0].fabric.autocast
        for network in networks:
            give_dropout(network)
            network.train()
        self._stack = Stack(networks)
        self._noise = DropoutNoise(networks[0], [one.seed for one in replicas], autocast)
        passes = GroupedPasses if method == "grouped" else SideBySidePasses
        self._passes: Passes = passes(
            networks,
            self._stack,
            partial(loss_sum, recipe),
            autocast,
            channels_last=execution.channels_last,
        )
        self._stepping = build_stepping(recipe, states, networks, self._stack)

    def step(self, batch: MicroBatch, rates: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Take one optimizer step with every replica.

        Parameters
        ----------
        batch : MicroBatch
            The images of the whole step.
        rates : sequence of float, length k
            Learning rates.

        Returns
        -------
        losses : Tensor of float, shape (k,)
            Mean over the step's images, nats.
        correct : Tensor of int64, shape (k,)
            Images classified right, before the step.
        """
        count, step = batch.images.shape[1], self.replicas[0].state.step
        losses = torch.zeros(len(batch.labels), device=batch.labels.device)
        correct = torch.zeros_like(losses, dtype=torch.int64)
        for micro, piece in enumerate(cut(count, self._recipe.batch_size)):
            part = batch.part(piece)
            self._passes.give(self._noise.draw(part.images[0], micro, step))
            if self._record and part.images.shape[1] == self._recipe.batch_size:
                self._begin_recording()
            loss, right = self._passes(part, count)
            losses, correct = losses + loss, correct + right
        self._stepping.step(rates)
        self._stack.zero_gradients()
        for one in self.replicas:
            one.state.step += 1
        return losses, correct

    def hand_back(self) -> None:
        """Bring the replicas' states up to date, so that each can be saved, ended or stacked again."""
        self._stepping.hand_back()

    def _begin_recording(self) -> None:
        """Record passes from now on: this is the first micro-batch of the usual size."""
        size = self._recipe.batch_size
        self._passes = Replayed(self._passes, self._stack, size, size * self._recipe.accumulate)
        self._record = False


def usual_method(network: nn.Module) -> Method:
    """Grouped where every layer is known."""
    return "grouped" if unknown_layer(network) is None else "side_by_side"
