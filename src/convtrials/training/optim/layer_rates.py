"""Learning rates by layer: how much of the recipe's rate each parameter gets."""

from typing import TYPE_CHECKING

from convtrials.core.errors import RecipeError
from convtrials.models.parts import layer_numbers, matching
from convtrials.training.optim.optimizers import OptimizerConfig

if TYPE_CHECKING:
    from torch import nn


def rate_factors(config: OptimizerConfig, network: "nn.Module") -> dict[str, float] | None:
    """Return the factor of each parameter's learning rate, by name; None where all have the same rate.

    ``layer_decay`` to the power of the layers between a layer and the head, as BEiT (Bao et al., arXiv 2106.08254)
    and timm have it, times the factor that ``lr_factors`` has for the longest beginning of the parameter's name.

    Raises
    ------
    RecipeError
        ``lr_factors`` names a part that the network does not have, or the network is a single layer.
    """
    if config.layer_decay is None and not config.lr_factors:
        return None
    names = [name for name, _ in network.named_parameters()]
    factors = dict.fromkeys(names, 1.0)
    if config.layer_decay is not None:
        numbers = layer_numbers(network)
        last = max(numbers.values())
        if last == 0:
            raise RecipeError("optimizer.layer_decay: the network is one layer; name its parts in lr_factors")
        for name in names:
            factors[name] *= config.layer_decay ** (last - numbers[name.rpartition(".")[0]])
    chosen = matching(network, config.lr_factors, "optimizer.lr_factors")
    for name in names:
        if name in chosen:
            factors[name] *= config.lr_factors[chosen[name]]
    return factors
