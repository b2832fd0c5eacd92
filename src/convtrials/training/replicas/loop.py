"""The loop of `convtrials.training.engine.loop`, for several replicas at once."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from convtrials.data.batches import Batches, step_indices
from convtrials.training.engine.loop import (
    Outcome,
    close_epoch,
    count_step,
    learning_rate,
    steps_between_checks,
)
from convtrials.training.engine.progress import RunLength
from convtrials.training.engine.weighting import Weighting
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.batch import step_images
from convtrials.training.replicas.team import Replica, Team


class ReplicaCallback(Protocol):
    """What the loop calls: for progress, checkpoints and requests to stop."""

    def after_steps(self, team: Team, images: int) -> None:
        """Called after some steps, with the images of one replica in them; may raise to stop the loop."""

    def after_epoch(self, team: Team, going: Sequence[Replica]) -> None:
        """Called when an epoch stands in the histories of those that go on."""


#: A replica and how it ended.
Ended = tuple[Replica, Outcome]


def replica_loop(
    recipe: Recipe,
    replicas: Sequence[Replica],
    make_team: Callable[[Sequence[Replica]], Team],
    train: Batches,
    val: Batches,
    callback: ReplicaCallback,
) -> Iterator[Ended]:
    """Train replicas from where they are to the end of the recipe; yield each as it ends.

    A replica that diverges or stops early leaves, and the others go on: what one computes never touches another.

    Parameters
    ----------
    replicas : sequence of Replica
        At the same step of the same epoch; their states are changed in place.
    make_team : callable
        Stacks replicas; called again when some have left.

    Yields
    ------
    replica : Replica
    outcome : Outcome
    """
    length, going = RunLength.of(recipe, len(train)), list(replicas)
    while going:
        team = make_team(going)
        ended = _until_one_ends(recipe, team, length, train, val, callback)
        team.hand_back()
        yield from ended
        going = _without(going, ended)


def _without(replicas: Sequence[Replica], ended: Sequence[Ended]) -> list[Replica]:
    left = {replica for replica, _ in ended}
    return [replica for replica in replicas if replica not in left]


def _until_one_ends(
    recipe: Recipe, team: Team, length: RunLength, train: Batches, val: Batches, callback: ReplicaCallback
) -> list[Ended]:
    lead = team.replicas[0].state  # step and epoch are the same for all
    weighting = Weighting.of(recipe, train)
    while True:
        over = [
            (one, Outcome(stopped_early=one.state.step < length.total))
            for one in team.replicas
            if len(one.state.history) >= length.epochs or one.state.should_stop
        ]
        if over:
            return over
        epoch = len(lead.history)
        orders = [train.epoch_order(one.seed, epoch, recipe.sampler) for one in team.replicas]
        last = min((epoch + 1) * length.per_epoch, length.total)
        while lead.step < last:
            until = min(last, lead.step + steps_between_checks(train.device))
            images, diverged = _steps(recipe, team, length, train, orders, until, weighting)
            if diverged:
                return diverged
            callback.after_steps(team, images)
        diverged = _validate(team, val)
        callback.after_epoch(team, _without(team.replicas, diverged))
        if diverged:
            return diverged


def _steps(
    recipe: Recipe,
    team: Team,
    length: RunLength,
    train: Batches,
    orders: Sequence[NDArray[np.int64]],
    until: int,
    weighting: Weighting | None,
) -> tuple[int, list[Ended]]:
    """Take steps without asking the device how they went, then count them; return images and who diverged."""
    started, cpu_started = time.perf_counter(), time.process_time()
    lead, first = team.replicas[0].state, team.replicas[0].state.step
    done = len(lead.history) * length.per_epoch
    seeds = [one.seed for one in team.replicas]
    counts, results = [], []
    for step in range(first, until):
        indices = [step_indices(order, step - done, length.group_size) for order in orders]
        batch = step_images(train, indices, recipe.augment, seeds, step, weighting)
        rates = [learning_rate(recipe, one.state, length.total, length.per_epoch) for one in team.replicas]
        results.append(team.step(batch, rates))
        counts.append(len(indices[0]))
    losses = torch.stack([loss for loss, _ in results]).cpu().numpy()  # waits for the device
    correct = torch.stack([right for _, right in results]).cpu().numpy()
    share = len(team.replicas) * len(counts)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    diverged: list[Ended] = []
    for place, one in enumerate(team.replicas):
        for step, images in enumerate(counts):
            if not math.isfinite(losses[step, place]):
                one.state.step = first + step
                diverged.append((one, Outcome(diverged_at=first + step, diverged_in="training")))
                break
            one.state.cpu_seconds += cpu_seconds / share
            count_step(
                one.state, float(losses[step, place]), int(correct[step, place]), images, seconds / share
            )
    return sum(counts), diverged


def _validate(team: Team, val: Batches) -> list[Ended]:
    """Close the epoch in every replica's history; return whose validation is not a number."""
    return [
        (one, Outcome(diverged_at=one.state.step, diverged_in="validation"))
        for one in team.replicas
        if not close_epoch(one.state, val)
    ]
