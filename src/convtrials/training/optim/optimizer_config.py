"""Which optimizer, and its options: what each one is, and which options it has."""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

OptimizerName = Literal[
    "sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "nadam", "radam", "muon"
]  # fmt: skip


@dataclass(frozen=True)
class OptimizerEntry:
    """One optimizer in the list: its default rate, the options it takes, and where it is described."""

    lr: float
    options: tuple[str, ...]
    summary: str


#: Default rates are starting points for networks without batch norm, batch 128; choose on validation data.
OPTIMIZERS: dict[str, OptimizerEntry] = {
    "sgd": OptimizerEntry(
        0.01,
        ("momentum", "nesterov"),
        "stochastic gradient descent, heavy-ball or Nesterov momentum (Sutskever 2013)",
    ),
    "adam": OptimizerEntry(
        3e-4, ("betas", "eps"), "Adam (Kingma & Ba, arXiv 1412.6980); decay as L2 in the gradient"
    ),
    "adamw": OptimizerEntry(
        3e-4, ("betas", "eps"), "Adam, decay decoupled (Loshchilov & Hutter, arXiv 1711.05101)"
    ),
    "rmsprop": OptimizerEntry(
        1e-4,
        ("alpha", "eps", "momentum"),
        "RMSprop (Hinton, lecture 6e of Neural Networks for Machine Learning, 2012)",
    ),
    "adagrad": OptimizerEntry(0.01, ("eps",), "Adagrad (Duchi et al., JMLR 12, 2011)"),
    "adadelta": OptimizerEntry(1.0, ("rho", "eps"), "Adadelta (Zeiler, arXiv 1212.5701)"),
    "nadam": OptimizerEntry(3e-4, ("betas", "eps"), "Adam with Nesterov momentum (Dozat 2016)"),
    "radam": OptimizerEntry(3e-4, ("betas", "eps"), "rectified Adam (Liu et al., arXiv 1908.03265)"),
    "muon": OptimizerEntry(
        1e-3,
        ("momentum", "nesterov", "betas", "eps"),
        "Muon on weight matrices, AdamW on the rest (Jordan 2024; Liu et al., arXiv 2502.16982)",
    ),
}


class OptimizerConfig(BaseModel):
    """The optimizer of a recipe. Options that the named optimizer does not have are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: OptimizerName = Field("adam", description="one of " + ", ".join(OPTIMIZERS))
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

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        entry = OPTIMIZERS[self.name]
        given = [
            key
            for key in ("momentum", "nesterov", "betas", "alpha", "rho", "eps")
            if getattr(self, key) is not None
        ]
        wrong = [key for key in given if key not in entry.options]
        if wrong:
            raise ValueError(
                f"{self.name} has no {wrong[0]}; its options: lr, weight_decay, {', '.join(entry.options)}"
            )
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas: both must be at least 0 and less than 1")
        if self.name == "sgd" and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum greater than 0")
        if self.lr is None:
            object.__setattr__(self, "lr", entry.lr)  # resolved, so that the saved recipe says what was used
        return self
