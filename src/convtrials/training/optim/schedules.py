"""Learning-rate schedules as functions of the step; only the plateau keeps a state.

torch has these too, as objects whose state must be saved and which change the optimizer behind one's back. A function
of the step is the same after a resume by construction. The tests hold each against torch's own.
"""

import math
from typing import Any

from convtrials.training.optim.schedule_config import ScheduleConfig


def schedule_factor(config: ScheduleConfig, step: int, total_steps: int, steps_per_epoch: int) -> float:
    """Return the share of the peak learning rate at an optimizer step.

    Parameters
    ----------
    config : ScheduleConfig
        Name and options. For ``plateau`` only the warm-up acts here; see `Plateau`.
    step : int
        Optimizer step, from 0 to `total_steps` - 1.
    total_steps : int
        Steps of the whole run.
    steps_per_epoch : int
        Steps in one epoch.

    Returns
    -------
    float
        At least 0 and at most 1.
    """
    warmup = round(config.warmup * steps_per_epoch)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    step, total = step - warmup, max(total_steps - warmup, 1)
    epoch = step / steps_per_epoch
    progress = step / max(total - 1, 1)
    final = config.final or 0.0
    match config.name:
        case "step":
            every = config.every or max(total / steps_per_epoch / 3, 1e-9)
            return math.pow(_or(config.gamma, 0.1), math.floor(epoch / every + 1e-9))
        case "exponential":
            return math.pow(_or(config.gamma, 0.9), math.floor(epoch + 1e-9))
        case "cosine":
            return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
        case "polynomial":
            return final + (1 - final) * math.pow(1 - progress, _or(config.power, 1.0))
        case "one_cycle":
            return _one_cycle(config, step, total)
    return 1.0


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _one_cycle(config: ScheduleConfig, step: int, total: int) -> float:
    start, final = _or(config.start, 0.04), _or(config.final, 1e-4)
    top = max(_or(config.rise, 0.3) * total - 1, 0.0)
    if step <= top:
        return _cosine_between(start, 1.0, step / top if top else 1.0)
    return _cosine_between(1.0, final, (step - top) / max(total - 1 - top, 1e-9))


def _cosine_between(first: float, last: float, progress: float) -> float:
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * progress))


class Plateau:
    """Lower the rate when validation stops improving: torch's ReduceLROnPlateau, asked for its factor alone."""

    def __init__(self, config: ScheduleConfig) -> None:
        import torch

        self.metric = config.metric or "val_loss"
        unit = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        self._scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            unit,
            mode="min" if self.metric == "val_loss" else "max",
            factor=_or(config.gamma, 0.1),
            patience=2 if config.patience is None else config.patience,
            threshold=_or(config.min_delta, 1e-4),
            threshold_mode="abs",
            min_lr=config.final or 0.0,
            eps=0.0,
        )

    @property
    def factor(self) -> float:
        """Share of the peak rate that holds now."""
        return float(self._scheduler.optimizer.param_groups[0]["lr"])

    def observe(self, metrics: dict[str, float]) -> None:
        """Take an epoch's validation metrics."""
        self._scheduler.step(metrics[self.metric])

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs: plain numbers."""
        state = self._scheduler
        return {"factor": self.factor, "best": float(state.best), "num_bad_epochs": int(state.num_bad_epochs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state back."""
        self._scheduler.best = state["best"]
        self._scheduler.num_bad_epochs = state["num_bad_epochs"]
        self._scheduler.optimizer.param_groups[0]["lr"] = state["factor"]
