"""Learning-rate schedules as functions of the step; only the plateau keeps a state. Importing this imports no torch.

torch has these too, as objects whose state must be saved and which change the optimizer behind one's back. A function
of the step is the same after a resume by construction. The tests hold each against torch's own.

`SCHEDULES` is the list; the recipe's section, ``convtrials models`` and the rates follow from it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from convtrials.core.custom import call, checked_name, is_custom
from convtrials.core.errors import RecipeError

#: What validation can be watched by.
Watched = Literal["val_accuracy", "val_loss", "val_macro_f1"]


@dataclass(frozen=True)
class Moment:
    """A moment of the training after its warm-up.

    Attributes
    ----------
    step, total : int
        Optimizer steps since the warm-up, and all after it.
    """

    step: int
    total: int
    steps_per_epoch: int

    @property
    def epoch(self) -> float:
        """Epochs since the warm-up."""
        return self.step / self.steps_per_epoch

    @property
    def progress(self) -> float:
        """From 0 at the first step to 1 at the last."""
        return self.step / max(self.total - 1, 1)


@dataclass(frozen=True)
class ScheduleEntry:
    """One schedule.

    Attributes
    ----------
    summary : str
        What it does, and its paper.
    options : tuple of str
        Which fields of `ScheduleConfig` it takes, apart from ``warmup``.
    factor : callable
        ``(ScheduleConfig, Moment) -> float``: the share of the peak rate, from 0 to 1.
    """

    summary: str
    options: tuple[str, ...]
    factor: "Callable[[ScheduleConfig, Moment], float]"


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _constant(config: "ScheduleConfig", now: Moment) -> float:
    return 1.0


def _step(config: "ScheduleConfig", now: Moment) -> float:
    every = config.every or max(now.total / now.steps_per_epoch / 3, 1e-9)
    return math.pow(_or(config.gamma, 0.1), math.floor(now.epoch / every + 1e-9))


def _exponential(config: "ScheduleConfig", now: Moment) -> float:
    return math.pow(_or(config.gamma, 0.9), math.floor(now.epoch + 1e-9))


def _cosine(config: "ScheduleConfig", now: Moment) -> float:
    final = config.final or 0.0
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * now.progress))


def _one_cycle(config: "ScheduleConfig", now: Moment) -> float:
    start, final = _or(config.start, 0.04), _or(config.final, 1e-4)
    top = max(_or(config.rise, 0.3) * now.total - 1, 0.0)
    if now.step <= top:
        return _cosine_between(start, 1.0, now.step / top if top else 1.0)
    return _cosine_between(1.0, final, (now.step - top) / max(now.total - 1 - top, 1e-9))


def _cosine_between(first: float, last: float, progress: float) -> float:
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * progress))


def _polynomial(config: "ScheduleConfig", now: Moment) -> float:
    final = config.final or 0.0
    return final + (1 - final) * math.pow(1 - now.progress, _or(config.power, 1.0))


SCHEDULES: dict[str, ScheduleEntry] = {
    "constant": ScheduleEntry("the same rate throughout", (), _constant),
    "step": ScheduleEntry("times gamma after each `every` epochs", ("every", "gamma"), _step),
    "exponential": ScheduleEntry("times gamma after each epoch", ("gamma",), _exponential),
    "cosine": ScheduleEntry(
        "half a cosine from the peak to `final` (Loshchilov & Hutter, arXiv 1608.03983)", ("final",), _cosine
    ),
    "one_cycle": ScheduleEntry(
        "up for the share `rise` of all steps, then down (Smith & Topin, arXiv 1708.07120)",
        ("rise", "start", "final"),
        _one_cycle,
    ),
    "polynomial": ScheduleEntry(
        "from the peak to `final` as (1 - progress)^power", ("power", "final"), _polynomial
    ),
    "plateau": ScheduleEntry(
        "times gamma when validation has not improved for `patience` epochs",
        ("metric", "gamma", "patience", "min_delta", "final"),
        _constant,  # see `Plateau`, whose factor comes on top
    ),
}


def schedule_entry(name: str) -> ScheduleEntry:
    """Return the entry of a name; of ``module:name`` one that calls it."""
    return ScheduleEntry("your own", ("options",), _custom) if is_custom(name) else SCHEDULES[name]


def _custom(config: "ScheduleConfig", now: Moment) -> float:
    share = call("schedule", config.name, "progress, epoch", now.progress, now.epoch, **config.options)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise RecipeError(
            f"schedule: {config.name} returned {share!r:.40} at {now.progress:.0%} of the steps; "
            "needed: a share of the peak rate, from 0 to 1"
        )
    return float(share)


class ScheduleConfig(BaseModel):
    """The learning-rate schedule of a recipe. Rates are shares of ``optimizer.lr``, times are in epochs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "constant", description=f"one of {', '.join(SCHEDULES)}, or your own as module:name", max_length=200
    )
    warmup: float = Field(
        0.0, ge=0, description="epochs of linear rise from zero before the schedule (arXiv 1706.02677)"
    )
    every: float | None = Field(
        None, gt=0, description="step: epochs between drops (default: a third of all)"
    )
    gamma: float | None = Field(None, gt=0, le=1, description="step, plateau (0.1), exponential (0.9)")
    final: float | None = Field(
        None, ge=0, le=1, description="last or lowest share of the peak rate (0; one_cycle 1e-4)"
    )
    rise: float | None = Field(None, gt=0, lt=1, description="one_cycle: share of steps going up (0.3)")
    start: float | None = Field(
        None, gt=0, le=1, description="one_cycle: first share of the peak rate (0.04)"
    )
    power: float | None = Field(None, gt=0, le=100, description="polynomial: exponent (1)")
    metric: Watched | None = Field(None, description="plateau (val_loss)")
    patience: int | None = Field(None, ge=0, le=10_000, description="plateau: epochs to wait (2)")
    min_delta: float | None = Field(
        None, ge=0, description="plateau: smallest improvement that counts (1e-4)"
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict,
        exclude_if=lambda value: not value,  # files and digests stay those of versions without it
        description="arguments of your own schedule, by name",
    )

    @field_validator("name", mode="before")
    @classmethod
    def _spelling(cls, value: object) -> object:
        if not isinstance(value, str) or is_custom(value):
            return value
        name = value.lower().replace("-", "_").replace(" ", "_")
        return {"onecycle": "one_cycle", "reduce_on_plateau": "plateau"}.get(name, name)

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return checked_name(value, list(SCHEDULES), "my_schedules:triangle")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        options = schedule_entry(self.name).options
        for key in self.model_dump(exclude_none=True, exclude={"name", "warmup"}):
            if key not in options:
                raise ValueError(f"{self.name} has no {key}; its options: {', '.join(('warmup', *options))}")
        if self.name == "plateau" and self.gamma == 1:
            raise ValueError("plateau with gamma = 1 never lowers the rate: gamma must be less than 1")
        return self


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
    now = Moment(step - warmup, max(total_steps - warmup, 1), steps_per_epoch)
    return schedule_entry(config.name).factor(config, now)


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
