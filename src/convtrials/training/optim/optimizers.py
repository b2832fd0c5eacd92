"""The optimizers by name: one entry says all there is to say of one. Importing this imports no torch.

`OPTIMIZERS` is the list; the recipe's section, ``convtrials models`` and what is built follow from it.
"""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from convtrials.core.custom import call, checked_name, find, is_custom
from convtrials.core.errors import RecipeError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

#: What is not an optimizer's own: every optimizer takes it, and a change of optimizer keeps it (``lr`` where it fits).
SHARED_OPTIONS = ("lr", "weight_decay", "layer_decay", "lr_factors")

#: Keys of a parameter group with a rate of its own: its factor, and the recipe's rate that it was last multiplied by.
FACTOR, BASE_RATE = "lr_factor", "base_lr"


@dataclass(frozen=True)
class OptimizerEntry:
    """One optimizer.

    Attributes
    ----------
    made_by : str
        ``module:Class``, called with parameter groups (``params``, ``weight_decay``), ``lr`` and the options.
    summary : str
        What it is, and its paper.
    lr : float
        Default rate, a starting point for networks without batch norm at batch 128; NaN: the recipe must say.
    options : tuple of str
        Which fields of `OptimizerConfig` it takes, apart from ``lr`` and ``weight_decay``.
    defaults : mapping
        What it is called with where the recipe says nothing else. ``fused`` is one kernel for the whole update.
    adam_sized : bool
        Whether its steps have the size of Adam's for the same rate: a change among such optimizers keeps the rate.
    by_element : bool
        Whether each weight is stepped by itself, so that several runs' weights can be stepped as one tensor.
    """

    made_by: str
    summary: str
    lr: float
    options: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    adam_sized: bool = False
    by_element: bool = True


#: Rates are starting points; choose on validation data.
OPTIMIZERS: dict[str, OptimizerEntry] = {
    "sgd": OptimizerEntry(
        "torch.optim:SGD",
        "stochastic gradient descent, heavy-ball or Nesterov momentum (Sutskever 2013)",
        lr=0.01,
        options=("momentum", "nesterov"),
        defaults={"momentum": 0.9, "fused": True},
    ),
    "adam": OptimizerEntry(
        "torch.optim:Adam",
        "Adam (Kingma & Ba, arXiv 1412.6980); decay as L2 in the gradient",
        lr=3e-4,
        options=("betas", "eps"),
        defaults={"fused": True},
        adam_sized=True,
    ),
    "adamw": OptimizerEntry(
        "torch.optim:AdamW",
        "Adam, decay decoupled (Loshchilov & Hutter, arXiv 1711.05101)",
        lr=3e-4,
        options=("betas", "eps"),
        defaults={"fused": True},
        adam_sized=True,
    ),
    "rmsprop": OptimizerEntry(
        "torch.optim:RMSprop",
        "RMSprop (Hinton, lecture 6e of Neural Networks for Machine Learning, 2012)",
        lr=1e-4,
        options=("alpha", "eps", "momentum"),
    ),
    "adagrad": OptimizerEntry(
        "torch.optim:Adagrad", "Adagrad (Duchi et al., JMLR 12, 2011)", lr=0.01, options=("eps",)
    ),
    "adadelta": OptimizerEntry(
        "torch.optim:Adadelta", "Adadelta (Zeiler, arXiv 1212.5701)", lr=1.0, options=("rho", "eps")
    ),
    "nadam": OptimizerEntry(
        "torch.optim:NAdam",
        "Adam with Nesterov momentum (Dozat 2016)",
        lr=3e-4,
        options=("betas", "eps"),
        adam_sized=True,
    ),
    "radam": OptimizerEntry(
        "torch.optim:RAdam",
        "rectified Adam (Liu et al., arXiv 1908.03265)",
        lr=3e-4,
        options=("betas", "eps"),
        adam_sized=True,
    ),
    "muon": OptimizerEntry(
        "convtrials.training.optim.muon:MuonWithAdamW",
        "Muon on weight matrices, AdamW on the rest (Jordan 2024; Liu et al., arXiv 2502.16982)",
        lr=1e-3,
        options=("momentum", "nesterov", "betas", "eps"),
        adam_sized=True,
        by_element=False,  # works on matrices
    ),
}


def optimizer_entry(name: str) -> OptimizerEntry:
    """Return the entry of a name; of ``module:Name`` one that promises nothing."""
    if is_custom(name):
        return OptimizerEntry(name, "your own", lr=math.nan, options=("options",), by_element=False)
    return OPTIMIZERS[name]


class OptimizerConfig(BaseModel):
    """The optimizer of a recipe. Options that the named optimizer does not have are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "adam", description=f"one of {', '.join(OPTIMIZERS)}, or your own as module:Name", max_length=200
    )
    lr: float | None = Field(
        None, gt=0, le=1000, description="learning rate (its peak); null: the optimizer's default"
    )
    weight_decay: float = Field(
        0.0, ge=0, le=10, description="never applied to biases and normalisation layers"
    )
    momentum: float | None = Field(
        None, ge=0, lt=1, description="sgd (default 0.9), rmsprop (0), muon (0.95)"
    )
    nesterov: bool | None = Field(None, description="sgd (default false), muon (true)")
    betas: tuple[float, float] | None = Field(None, description="adam family: decay of both moments")
    alpha: float | None = Field(None, ge=0, lt=1, description="rmsprop: decay of the squared gradient")
    rho: float | None = Field(None, ge=0, lt=1, description="adadelta: decay of the squared gradient")
    eps: float | None = Field(None, gt=0, le=1, description="added to the denominator")
    options: dict[str, JsonValue] = Field(
        default_factory=dict,
        exclude_if=lambda value: not value,  # files and digests stay those of versions without it
        description="arguments of your own optimizer, by name",
    )
    layer_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        exclude_if=lambda value: value is None,
        description="factor on the rate for each layer further from the head, such as 0.8",
    )
    lr_factors: dict[str, Annotated[float, Field(gt=0, le=1000)]] = Field(
        default_factory=dict,
        exclude_if=lambda value: not value,
        description="factors on the rate by the beginnings of parameter names, such as {features: 0.1}",
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return checked_name(value, list(OPTIMIZERS), "my_optimizers:Lion")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        entry = optimizer_entry(self.name)
        for key in self._given():
            if key not in entry.options:
                raise ValueError(
                    f"{self.name} has no {key}; its options: lr, weight_decay, {', '.join(entry.options)}"
                )
        if taken := sorted({"params", "lr", "weight_decay"}.intersection(self.options)):
            raise ValueError(
                f"options: {taken[0]} is given to every optimizer; it is not an option of your own"
            )
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas: both must be at least 0 and less than 1")
        if self.name == "sgd" and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum greater than 0")
        if self.lr is None:
            if math.isnan(entry.lr):
                raise ValueError(f"{self.name} needs a learning rate, such as optimizer.lr=0.001")
            object.__setattr__(self, "lr", entry.lr)  # resolved, so that the saved recipe says what was used
        return self

    def _given(self) -> dict[str, Any]:
        """Return the options that are set, apart from rates and decay."""
        return self.model_dump(exclude_none=True, exclude={"name", *SHARED_OPTIONS})

    def arguments(self) -> dict[str, Any]:
        """Return what the optimizer is called with, apart from the parameter groups."""
        given = self._given()
        return {"lr": self.lr, **optimizer_entry(self.name).defaults, **given.pop("options", {}), **given}


def parameter_groups(
    model: "nn.Module",
    weight_decay: float,
    factors: Mapping[str, float] | None = None,
    later: Container[str] = (),
) -> list[dict[str, Any]]:
    """Split parameters into those that decay (weights, two dimensions or more) and those that do not.

    Biases, normalisation layers and PReLU slopes have one dimension; shrinking them towards zero regularises nothing
    (He et al., arXiv 1812.01187, section 3.1).

    Parameters
    ----------
    factors : mapping, optional
        Share of the learning rate by parameter name: each share has groups of its own, with an ``lr_factor``.
    later : container of str, optional
        Names of parameters that are trained from some later step on. They have groups of their own: torch's fused
        kernels take no group of which some parameters have a state and some have none.

    Returns
    -------
    list of dict
        Of the groups of weights, the one that the last layer is in comes last.
    """

    def kind(name: str) -> tuple[float, bool]:
        return 1.0 if factors is None else factors[name], name in later

    trained = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    groups = []
    for decay, members in (
        (weight_decay, [(name, one) for name, one in trained if one.ndim >= 2]),
        (0.0, [(name, one) for name, one in trained if one.ndim < 2]),
    ):
        latest = {kind(name): place for place, (name, _) in enumerate(members)}
        for wanted in sorted(latest, key=latest.__getitem__):
            own = [one for name, one in members if kind(name) == wanted]
            factor = {} if factors is None else {FACTOR: wanted[0]}
            groups.append({"params": own, "weight_decay": decay, **factor})
    return groups


def build_optimizer(
    config: OptimizerConfig,
    model: "nn.Module",
    factors: Mapping[str, float] | None = None,
    later: Container[str] = (),
) -> "Optimizer":
    """Return the optimizer that ``config`` describes, over all parameters of ``model`` that are trained.

    Parameters
    ----------
    factors : mapping, optional
        Share of the learning rate by parameter name, from `convtrials.training.optim.layer_rates.rate_factors`.
    later : container of str, optional
        Names of parameters that are trained from some later step on.

    Raises
    ------
    RecipeError
        Your own optimizer cannot be found or built.
    """
    groups = parameter_groups(model, config.weight_decay, factors, later)
    if is_custom(config.name):
        return _built_custom(config, groups)
    optimizer: Optimizer = find("optimizer", optimizer_entry(config.name).made_by)(
        groups, **config.arguments()
    )
    return optimizer


def _built_custom(config: OptimizerConfig, groups: list[dict[str, Any]]) -> "Optimizer":
    from torch.optim import Optimizer

    optimizer = call("optimizer", config.name, "params", groups, **config.arguments())
    if not isinstance(optimizer, Optimizer):
        kind = type(optimizer).__name__
        raise RecipeError(f"optimizer: {config.name} returned a {kind}, not a torch.optim.Optimizer")
    if config.weight_decay and "weight_decay" not in optimizer.defaults:
        raise RecipeError(
            f"optimizer.weight_decay: {config.weight_decay:g} has no effect, "
            f"as {config.name} has no weight_decay among its defaults"
        )
    wanted = [group[FACTOR] for group in groups if FACTOR in group]
    if wanted != [group[FACTOR] for group in optimizer.param_groups if FACTOR in group]:
        raise RecipeError(
            f"optimizer: {config.name} does not keep the groups that it is given, so layers cannot have rates of their "
            "own; leave out layer_decay and lr_factors, or pass params on to torch.optim.Optimizer"
        )
    return optimizer


def set_learning_rate(optimizer: "Optimizer", rate: float) -> None:
    """Give every parameter group the recipe's rate, times the group's own factor where it has one."""
    for group in optimizer.param_groups:
        if FACTOR in group:
            group[BASE_RATE] = rate
        group["lr"] = rate * group.get(FACTOR, 1.0)


def learning_rate_of(optimizer: "Optimizer") -> float:
    """Return the recipe's rate of the last step, before any layer's factor."""
    group = optimizer.param_groups[0]
    rate: float = group.get(BASE_RATE, group["lr"])
    return rate
