"""The loop: what is on trial, so it is short enough to be read aloud."""

import math
import time
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from convtrials.core.streams import stream_seed
from convtrials.data.augmentation.pipeline import AugmentedBatch
from convtrials.data.batches import Batches, cut, step_indices, steps_per_epoch
from convtrials.training.engine.checkpoint import EpochSums, TrainingState, steps_in
from convtrials.training.engine.loss import loss_sum
from convtrials.training.engine.loss_weights import LossWeights
from convtrials.training.engine.predict import predict_probabilities, validation_metrics
from convtrials.training.engine.setup import seed_layers
from convtrials.training.engine.weighting import Weighting, augmented_group
from convtrials.training.optim.optimizers import learning_rate_of, set_learning_rate
from convtrials.training.optim.schedules import schedule_factor
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_documents import HistoryEntry

#: Steps between two checks of the losses on a GPU: a check waits until the GPU has done all that was asked of it.
GPU_STEPS = 50


class Callback(Protocol):
    """What the loop calls: for progress, checkpoints and requests to stop."""

    def after_step(self, state: TrainingState, loss: float, images: int) -> None:
        """Called after each optimizer step (on a GPU after some); may raise to stop the loop between two steps."""

    def after_epoch(self, state: TrainingState) -> None:
        """Called when an epoch has been validated and stands in ``state.history``."""


@dataclass(frozen=True)
class Outcome:
    """How the loop ended: all epochs, stopped early, or diverged after so many good steps."""

    stopped_early: bool = False
    diverged_at: int | None = None
    diverged_in: str | None = None  # "training" or "validation"


def train_loop(
    recipe: Recipe, seed: int, state: TrainingState, train: Batches, val: Batches, callback: Callback
) -> Outcome:
    """Train from ``state`` to the end of the recipe; ``state`` is changed in place.

    Parameters
    ----------
    state : TrainingState
        Fresh, or from a checkpoint: the loop goes on at ``state.step``, mid-epoch included.
    train, val : Batches
        Training and validation split. Validation decides early stopping and the plateau schedule, test nothing.

    Returns
    -------
    Outcome
    """
    group_size = recipe.batch_size * recipe.accumulate
    per_epoch = steps_per_epoch(len(train), group_size)
    total = steps_in(recipe.epochs, per_epoch)
    weighting = Weighting.of(recipe, train)

    while len(state.history) < math.ceil(total / per_epoch) and not state.should_stop:
        # An epoch is over when it has been validated, so a checkpoint after its last step resumes with validation.
        epoch = len(state.history)
        order = train.epoch_order(seed, epoch, recipe.sampler)
        last = min((epoch + 1) * per_epoch, total)
        while state.step < last:
            started, cpu_started, first = time.perf_counter(), time.process_time(), state.step
            results = []
            for step in range(first, min(last, first + steps_between_checks(train.device))):
                set_learning_rate(state.optimizer, learning_rate(recipe, state, total, per_epoch))
                if state.freezing is not None:
                    state.freezing.before_step(step, total, per_epoch)
                where = step_indices(order, step - epoch * per_epoch, group_size)
                images, labels = train.raw(where)
                group, weights = augmented_group(images, labels, where, recipe.augment, seed, step, weighting)
                group = replace(group, images=train.normalise(group.images))
                results.append((*train_step(recipe, seed, state, group, weights), len(group.images)))
                state.step += 1
            losses = [float(loss) for loss, _, _ in results]  # waits for the device
            bad = next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), None)
            if bad is not None:
                state.step = first + bad
                return Outcome(diverged_at=state.step, diverged_in="training")
            state.cpu_seconds += time.process_time() - cpu_started
            seconds = (time.perf_counter() - started) / len(results)
            for loss, (_, correct, count) in zip(losses, results, strict=True):
                count_step(state, loss, int(correct), count, seconds)
            callback.after_step(state, losses[-1], sum(count for _, _, count in results))

        if not close_epoch(state, val):
            return Outcome(diverged_at=state.step, diverged_in="validation")
        callback.after_epoch(state)
    return Outcome(stopped_early=state.step < total)


def steps_between_checks(device: torch.device) -> int:
    """Return how many steps are taken before their losses are looked at."""
    return 1 if device.type == "cpu" else GPU_STEPS


def train_step(
    recipe: Recipe, seed: int, state: TrainingState, group: AugmentedBatch, weights: LossWeights | None = None
) -> tuple[Tensor, Tensor]:
    """Take one optimizer step on a group of images, one micro-batch at a time.

    Each micro-batch adds its share of the group's mean loss, so k micro-batches of b weigh like one batch of k*b,
    also where the last is smaller, and where images have weights: those are on the scale of the group. Dropout draws
    are those of (seed, step, micro-batch).

    Returns
    -------
    loss : Tensor, a scalar on the device
        Mean over the group, weighted where there are weights, nats. Reading it waits for the device.
    correct : Tensor of int64, a scalar on the device
        Images of the group that were classified right, before the step, augmented and under dropout.
    """
    state.model.train()
    if state.freezing is not None:
        state.freezing.keep_statistics()
    total = torch.zeros((), device=group.images.device)
    correct = torch.zeros((), dtype=torch.int64, device=group.images.device)
    for micro, piece in enumerate(cut(len(group.images), recipe.batch_size)):
        stream = "dropout" if micro == 0 else f"dropout/{micro}"
        seed_layers(stream_seed(seed, stream, state.step), group.images.device)
        part = group.part(piece)
        logits = state.model(part.images)
        own = None if weights is None else weights.part(piece)
        loss = loss_sum(recipe, logits, part.labels, part.mixed_labels, part.lam, own)
        loss = loss / len(group.images)
        state.fabric.backward(loss)
        total = total + loss.detach()
        correct += (logits.detach().argmax(dim=1) == part.labels).sum()
    if recipe.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip_norm)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    if state.average is not None:
        state.average.update_parameters(state.model)
    return total, correct


def learning_rate(recipe: Recipe, state: TrainingState, total: int, per_epoch: int) -> float:
    """Peak rate x schedule x plateau, for the step that comes next."""
    assert recipe.optimizer.lr is not None  # OptimizerConfig fills it in
    factor = schedule_factor(recipe.schedule, state.step, total, per_epoch)
    return recipe.optimizer.lr * factor * (state.plateau.factor if state.plateau is not None else 1.0)


def count_step(state: TrainingState, loss: float, correct: int, images: int, seconds: float) -> None:
    """Add a step to the epoch's sums and the run's seconds."""
    state.sums.loss += loss * images
    state.sums.correct += correct
    state.sums.images += images
    state.sums.seconds += seconds
    state.train_seconds += seconds


def close_epoch(state: TrainingState, val: Batches) -> bool:
    """Validate, and write the epoch into the history; False where the validation loss is not a number."""
    metrics = validation_metrics(*predict_probabilities(state.judged, val))
    if not math.isfinite(metrics["val_loss"]):
        return False
    epoch = len(state.history) + 1
    state.history.append(epoch_entry(epoch, state, metrics))
    state.sums = EpochSums()
    if state.plateau is not None:
        state.plateau.observe(metrics)
    if state.stopper is not None:
        state.stopper.observe(epoch, metrics, state.judged_weights())
    return True


def epoch_entry(epoch: int, state: TrainingState, metrics: dict[str, float]) -> HistoryEntry:
    """Return the history's line of an epoch that has been validated."""
    sums = state.sums
    return HistoryEntry(
        epoch=epoch,
        step=state.step,
        train_loss=sums.loss / max(sums.images, 1),
        train_accuracy=sums.correct / max(sums.images, 1),
        **metrics,
        learning_rate=learning_rate_of(state.optimizer),
        images_per_second=sums.images / max(sums.seconds, 1e-9),
        seconds=state.train_seconds,
        cpu_seconds=state.cpu_seconds,
    )
