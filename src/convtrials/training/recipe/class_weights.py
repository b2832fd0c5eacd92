"""The recipe's weights of classes, as a person writes them."""

import math
from typing import Any

#: Weights by the number of training images, so that all classes weigh alike.
BALANCED = "balanced"

#: The largest weight, and the largest number of classes that can be named.
LARGEST_WEIGHT, MOST_NAMES = 1e6, 100_000


def read_class_weights(value: Any) -> Any:
    """Return what `convtrials.training.recipe.recipe.Recipe` holds: ``"balanced"``, weights by name, or None.

    Raises
    ------
    ValueError
        With what is allowed, for pydantic to put the key in front.
    """
    if value is None or value == BALANCED:
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError("must be balanced, or weights by class, such as {cat: 2.5, dog: 1}")
    if len(value) > MOST_NAMES:
        raise ValueError(f"names {len(value):,} classes; at most {MOST_NAMES:,} can be named")
    weights: dict[str, float] = {}
    for name, weight in value.items():
        if _name(name) in weights:
            raise ValueError(f"the class {name!s:.40} is named twice")
        weights[_name(name)] = _weight(name, weight)
    return weights


def _name(name: Any) -> str:
    if isinstance(name, str):
        return name
    if isinstance(name, int) and not isinstance(name, bool):  # as YAML reads the class 7
        return str(name)
    raise ValueError(f"the class {name!s:.40} is not read as text; write its name in quotes")


def _weight(name: Any, weight: Any) -> float:
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight) or not 0 < weight <= LARGEST_WEIGHT:
        raise ValueError(
            f"the weight of {name!s:.40} is {weight!s:.40}; must be a number above 0, at most {LARGEST_WEIGHT:,.0f}"
        )
    return float(weight)
