"""Early stopping: watch a validation metric, remember the best weights, stop when patience runs out."""

from typing import Any

from torch import Tensor

from convtrials.training.recipe.recipe import EarlyStopping


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
