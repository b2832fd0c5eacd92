"""Build torch's optimizers from a recipe; weight decay spares biases and normalisation layers."""

from typing import Any

import torch
from torch import nn

from convtrials.training.optim.muon import MuonWithAdamW
from convtrials.training.optim.optimizer_config import OptimizerConfig

#: torch's class for each name; muon is put together in `convtrials.training.optim.muon`.
_TORCH = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}

#: These have one kernel for the whole update, on CPU and GPU alike.
_FUSED = ("sgd", "adam", "adamw")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters into those that decay (weights, two dimensions or more) and those that do not.

    Biases, normalisation layers and PReLU slopes have one dimension; shrinking them towards zero regularises nothing
    (He et al., arXiv 1812.01187, section 3.1).
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer that ``config`` describes, over all parameters of ``model`` that are trained."""
    options = config.model_dump(exclude_none=True, exclude={"name", "lr", "weight_decay"})
    groups = parameter_groups(model, config.weight_decay)
    assert config.lr is not None  # OptimizerConfig fills it in
    if config.name == "muon":
        return MuonWithAdamW(groups, lr=config.lr, **options)
    if config.name == "sgd":
        options.setdefault("momentum", 0.9)
    if config.name in _FUSED:
        options["fused"] = True
    optimizer: torch.optim.Optimizer = _TORCH[config.name](groups, lr=config.lr, **options)
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
