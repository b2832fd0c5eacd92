"""The parts of a network by name: its layers from the input to the head, and modules by the beginning of their name.

Freezing and layer-wise learning rates name parts; both work for any network, without a list for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from convtrials.core.errors import RecipeError

if TYPE_CHECKING:
    from torch import nn

#: Names that a message shows at most.
_SHOWN = 12


def layer_numbers(network: nn.Module) -> dict[str, int]:
    """Return for every module of a network the number of its layer, 0 at the input.

    A layer is a convolution, a linear layer or another module with weights, together with the normalisation and
    activation that follow it, so numbers do not depend on batch norm. A block (a module of its own class, such as a
    residual block) is one layer. What is opened is the network itself, lists (``nn.Sequential``, ``nn.ModuleList``)
    and modules that hold a list of like blocks. The order is that in which modules were registered, as in timm.

    Parameters
    ----------
    network : nn.Module
        Of any kind.

    Returns
    -------
    dict of str to int
        By the names of ``network.named_modules()``; the last layer has the largest number.
    """
    numbers: dict[str, int] = {}
    latest = -1

    def visit(name: str, module: nn.Module, opened: bool) -> None:
        nonlocal latest
        if not opened:
            latest += any(parameter.ndim >= 2 for parameter in module.parameters())
            for inner, _ in module.named_modules(prefix=name):
                numbers.setdefault(inner, max(latest, 0))
            return
        numbers.setdefault(name, max(latest, 0))
        for child_name, child in module.named_children():
            visit(f"{name}.{child_name}" if name else child_name, child, _opens(child))

    visit("", network, True)
    return numbers


def layer_names(network: nn.Module) -> list[str]:
    """Return the name of the module that begins each layer, from the input to the head; see `layer_numbers`."""
    numbers = layer_numbers(network)
    names: dict[int, str] = {}
    for name, module in network.named_modules():
        holds_weights = any(parameter.ndim >= 2 for parameter in module.parameters())
        if name and holds_weights and not _above(name, numbers):
            names.setdefault(numbers[name], name)
    return [names[number] for number in sorted(names)]


def matching(network: nn.Module, beginnings: Iterable[str], key: str) -> dict[str, str]:
    """Return the parameters and modules that names stand for.

    Parameters
    ----------
    beginnings : iterable of str
        ``layer1`` stands for ``layer1`` and all inside it, not for ``layer10``.
    key : str
        The recipe's key, for messages.

    Returns
    -------
    dict of str to str
        Name of a parameter or module -> the longest of the beginnings that it has.

    Raises
    ------
    RecipeError
        The network has nothing of that name.
    """
    known = [name for name, _ in (*network.named_parameters(), *network.named_modules())]
    found: dict[str, str] = {}
    for beginning in sorted(beginnings, key=len):  # the longest last, so that it counts
        inside = [name for name in known if name == beginning or name.startswith(f"{beginning}.")]
        if not inside:
            top = _shortened([name for name, _ in network.named_children()])
            raise RecipeError(
                f"{key}: the network has no {beginning!r}; its parts are {top}, and what is inside them"
            )
        found.update(dict.fromkeys(inside, beginning))
    return found


def frozen_parts(network: nn.Module, freeze: int | str | Sequence[str]) -> set[str]:
    """Return the names of the parameters and modules that a recipe's ``freeze`` stands for.

    Parameters
    ----------
    freeze : int, str or sequence of str
        So many layers from the input; below zero: all but so many at the head; or the beginnings of names.

    Raises
    ------
    RecipeError
        No such part, or nothing would be left to train.
    """
    if isinstance(freeze, int):
        frozen = _first_layers(network, freeze)
    else:
        frozen = set(matching(network, [freeze] if isinstance(freeze, str) else freeze, "freeze"))
    if frozen.issuperset(name for name, _ in network.named_parameters()):
        raise RecipeError(f"freeze = {freeze}: nothing would be left to train")
    return frozen


def _first_layers(network: nn.Module, count: int) -> set[str]:
    numbers, names = layer_numbers(network), layer_names(network)
    if not 0 < abs(count) < len(names):
        raise RecipeError(
            f"freeze = {count}: the network has {len(names)} layers ({_shortened(names)}); "
            f"allowed are 1 to {len(names) - 1}, or -1 to {1 - len(names)} for all but the last"
        )
    limit = count if count > 0 else len(names) + count
    modules = {name for name, number in numbers.items() if number < limit}
    parameters = {name for name, _ in network.named_parameters() if name.rpartition(".")[0] in modules}
    return modules | parameters


def _opens(module: nn.Module) -> bool:
    from torch import nn

    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return True
    return any(_has_like_blocks(inner.children()) for inner in module.modules() if _is_list(inner))


def _is_list(module: nn.Module) -> bool:
    from torch import nn

    return isinstance(module, nn.Sequential | nn.ModuleList)


def _has_like_blocks(members: Iterator[nn.Module]) -> bool:
    """Whether two members are of one class that has modules inside and is no mere list."""
    kinds = [type(one) for one in members if next(one.children(), None) is not None and not _is_list(one)]
    return len(set(kinds)) < len(kinds)


def _above(name: str, numbers: dict[str, int]) -> bool:
    """Whether a module holds more than one layer."""
    inside = {number for other, number in numbers.items() if other.startswith(f"{name}.")}
    return len(inside) > 1 or bool(inside and inside != {numbers[name]})


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
