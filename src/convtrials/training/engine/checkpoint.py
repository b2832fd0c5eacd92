"""The state of a run between two steps: all that a checkpoint holds, and all that a resume needs."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from convtrials.core.errors import RunError
from convtrials.training.engine.freezing import Freezing, freezing_of
from convtrials.training.engine.tensor_tree import load_tree, save_tree
from convtrials.training.optim.layer_rates import rate_factors
from convtrials.training.optim.optimizers import build_optimizer
from convtrials.training.optim.schedules import Plateau
from convtrials.training.recipe.recipe import EarlyStopping, Recipe
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry


def improves(metric: str, value: float, best: float | None, min_delta: float = 0.0) -> bool:
    """Say whether ``value`` beats ``best``; a loss is better when lower, all else when higher. NaN never is."""
    if value != value:
        return False
    if best is None:
        return True
    return value < best - min_delta if metric == "val_loss" else value > best + min_delta


class EarlyStopper:
    """Keeps the best weights seen and counts epochs without improvement (Prechelt, "Early stopping - but when?")."""

    def __init__(self, config: EarlyStopping) -> None:
        self.config = config
        self.best: float | None = None
        self.best_epoch = 0
        self.waited = 0
        self.best_weights: dict[str, Tensor] = {}

    def observe(self, epoch: int, metrics: dict[str, float], weights: dict[str, Tensor]) -> None:
        """Take an epoch's validation metrics and the weights that reached them (copied only if they are the best)."""
        value = metrics[self.config.metric]
        if improves(self.config.metric, value, self.best, self.config.min_delta):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        else:
            self.waited += 1

    @property
    def should_stop(self) -> bool:
        """True once `patience` epochs have passed without improvement."""
        return self.waited >= self.config.patience

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs."""
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state back."""
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
        self.best_weights = dict(state["best_weights"])


@dataclass
class EpochSums:
    """What has been seen of the epoch under way."""

    loss: float = 0.0
    correct: int = 0
    images: int = 0
    seconds: float = 0.0


@dataclass
class TrainingState:
    """Model, optimizer and everything else that changes from step to step."""

    fabric: Fabric
    model: nn.Module  # as Fabric wraps it: forward runs in the chosen precision
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    judged: (
        nn.Module
    )  # what validation sees: the average of weights where the recipe keeps one, else the model
    stopper: EarlyStopper | None
    plateau: Plateau | None
    freezing: Freezing | None = None
    step: int = 0
    train_seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all threads; unlike wall time, other work on the machine hardly moves it
    sums: EpochSums = field(default_factory=EpochSums)
    history: list[HistoryEntry] = field(default_factory=list)

    @classmethod
    def start(cls, recipe: Recipe, fabric: Fabric, network: nn.Module) -> "TrainingState":
        """Make the state before step 0."""
        model = fabric.setup_module(network)
        average = _averaged(network, recipe.ema)
        optimizer, freezing = frozen_optimizer(recipe, network)
        return cls(
            fabric=fabric,
            model=model,
            optimizer=optimizer,
            average=average,
            judged=model if average is None else fabric.setup_module(average.module),
            stopper=EarlyStopper(recipe.early_stopping) if recipe.early_stopping else None,
            plateau=Plateau(recipe.schedule) if recipe.schedule.name == "plateau" else None,
            freezing=freezing,
        )

    @property
    def should_stop(self) -> bool:
        """True once early stopping has run out of patience."""
        return self.stopper is not None and self.stopper.should_stop

    def judged_weights(self) -> dict[str, Tensor]:
        """Weights of `judged`, under the network's own names."""
        return dict(self.judged.state_dict())

    def kept_weights(self) -> tuple[dict[str, Tensor], str]:
        """Return the weights that count and why: ``best`` (early stopping), ``ema`` or ``last``."""
        if self.stopper is not None and self.stopper.best_weights:
            return self.stopper.best_weights, "best"
        return self.judged_weights(), "last" if self.average is None else "ema"

    def save(self, run: Run) -> None:
        """Write the run's checkpoint, which names its run; atomically."""
        save_tree(
            run.checkpoint_path,
            {
                "run": run.identity.digest,
                "step": self.step,
                "train_seconds": self.train_seconds,
                "cpu_seconds": self.cpu_seconds,
                "sums": vars(self.sums),
                "history": [entry.to_dict() for entry in self.history],
                "model": dict(self.model.state_dict()),
                "optimizer": self.optimizer.state_dict(),
                "average": None if self.average is None else dict(self.average.state_dict()),
                "stopper": None if self.stopper is None else self.stopper.state_dict(),
                "plateau": None if self.plateau is None else self.plateau.state_dict(),
            },
        )

    def load(self, run: Run) -> None:
        """Go back to the run's checkpoint, bit for bit.

        Raises
        ------
        RunError
            It is damaged, or of another run.
        """
        path = run.checkpoint_path
        tree = load_tree(path)
        try:
            run.check_named(path, tree.get("run"))
            self._take(tree)
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            first = str(error).strip().splitlines()[0]
            raise RunError(f"{path}: does not fit this recipe's model and optimizer ({first})") from None

    def _take(self, tree: dict[str, Any]) -> None:
        self.step, self.train_seconds = tree["step"], tree["train_seconds"]
        self.cpu_seconds = tree["cpu_seconds"]
        self.sums = EpochSums(**tree["sums"])
        self.history = [HistoryEntry(**entry) for entry in tree["history"]]
        self.model.load_state_dict(tree["model"])
        self.optimizer.load_state_dict(tree["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(tree["average"])
        if self.stopper is not None:
            self.stopper.load_state_dict(tree["stopper"])
        if self.plateau is not None:
            self.plateau.load_state_dict(tree["plateau"])


def frozen_optimizer(recipe: Recipe, network: nn.Module) -> tuple[torch.optim.Optimizer, Freezing | None]:
    """Freeze what the recipe says, and return the optimizer of the rest.

    What is trained later is in the optimizer from the start: without a gradient it is passed over, and has no state.
    """
    factors, freezing = rate_factors(recipe.optimizer, network), freezing_of(recipe, network)
    if freezing is None:
        return build_optimizer(recipe.optimizer, network, factors), None
    if freezing.for_good:
        freezing.apply()
    optimizer = build_optimizer(recipe.optimizer, network, factors, later=freezing.names)
    freezing.apply()
    return optimizer, freezing


def _averaged(network: nn.Module, decay: float | None) -> AveragedModel | None:
    """Exponential moving average of the weights (Polyak & Juditsky 1992; Tarvainen & Valpola, arXiv 1703.01780)."""
    if decay is None:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


def steps_in(epochs: float, steps_per_epoch: int) -> int:
    """Optimizer steps in a number of epochs, at least one."""
    return max(1, math.floor(epochs * steps_per_epoch + 0.5))
