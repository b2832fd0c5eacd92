"""A team: replicas that stand at the same step, stacked, and how they take a step together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convtrials.data.batches import cut
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.execution import Execution
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.graphs import Replayed, Speedup, compile_passes
from convtrials.training.replicas.grouped import unknown_layer
from convtrials.training.replicas.noise import DropoutNoise, give_dropout
from convtrials.training.replicas.passes import GroupedPasses, Method, MicroBatch, Passes, SideBySidePasses
from convtrials.training.replicas.stack import Stack
from convtrials.training.replicas.stepping import build_stepping
from convtrials.training.run import Run


@dataclass(frozen=True, eq=False)  # the same one or another: values do not matter
class Replica:
    """One run among those that are trained at once.

    Attributes
    ----------
    run : Run
        Its directory.
    seed : int
    state : TrainingState
        As of a run of its own.
    network : nn.Module
        The network of `state`, as the recipe builds it.
    """

    run: Run
    seed: int
    state: TrainingState
    network: nn.Module


@dataclass(frozen=True)
class Manner:
    """How a team is computed.

    Attributes
    ----------
    execution : Execution
    method : {"grouped", "side_by_side"}
    speedup : {"none", "graphs", "compile"}
    note : callable
        Told in a line what does not work as wished.
    """

    execution: Execution
    method: Method
    speedup: Speedup
    note: Callable[[str], None]


class Team:
    """Stacks replicas and takes their steps. Their states change as those of runs of their own would.

    Parameters
    ----------
    recipe : Recipe
    replicas : sequence of Replica
        At the same step of the same epoch.
    manner : Manner
    """

    def __init__(self, recipe: Recipe, replicas: Sequence[Replica], manner: Manner) -> None:
        self.replicas = list(replicas)
        self._recipe, self._manner = recipe, manner
        states, networks = [one.state for one in replicas], [one.network for one in replicas]
        autocast = states[0].fabric.autocast
        for network in networks:
            give_dropout(network)
            network.train()
        self._stack = Stack(networks)
        self._noise = DropoutNoise(networks[0], [one.seed for one in replicas], autocast)
        passes = GroupedPasses if manner.method == "grouped" else SideBySidePasses
        self._passes: Passes = passes(
            networks,
            self._stack,
            recipe.label_smoothing,
            autocast,
            channels_last=manner.execution.channels_last,
        )
        self._stepping = build_stepping(recipe, states, networks, self._stack)
        self._prepared = manner.speedup == "none"

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
            self._prepare(part, count)
            loss, right = self._passes(part, count)
            losses, correct = losses + loss, correct + right
        self._stepping.step(rates)
        self._stack.zero_gradients()
        for one in self.replicas:
            one.state.step += 1
        return losses, correct

    def hand_back(self) -> None:
        """Bring the replicas' states up to date, so that each can be saved, ended or stacked anew."""
        self._stepping.hand_back()

    def _prepare(self, part: MicroBatch, count: int) -> None:
        """Compile or record, at the first micro-batch of the usual size."""
        size = self._recipe.batch_size
        if self._prepared or part.images.shape[1] != size:
            return
        self._prepared = True
        if self._manner.speedup == "compile":
            compile_passes(self._passes, part, self._stack, self._manner.note)
        self._passes = Replayed(
            self._passes, self._stack, size, size * self._recipe.accumulate, note=self._manner.note
        )


def usual_method(network: nn.Module) -> Method:
    """Grouped where every layer is known."""
    return "grouped" if unknown_layer(network) is None else "side_by_side"


def usual_speedup(execution: Execution) -> Speedup:
    """CUDA graphs on a GPU."""
    return "graphs" if execution.device == "cuda" else "none"
