"""Weights on disk: safetensors out; safetensors and PyTorch's files in, never through pickle's open door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import atomic_path

if TYPE_CHECKING:
    from torch import Tensor, nn

    State = dict[str, Tensor]

_SHOWN = 4

#: Under which keys training programs put the state dict into a checkpoint.
_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")

#: What DataParallel puts in front of every name.
_WRAPPED = "module."


class WeightsError(ConvtrialsError):
    """A file of weights cannot be read, or does not fit the model."""


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Save parameters and buffers as a safetensors file, atomically.

    Parameters
    ----------
    model : nn.Module
        On any device, in any memory format.
    path : str or Path
        Usually ends in ``.safetensors``. Missing folders are made.
    """
    import torch
    from safetensors.torch import save_file

    state = {
        # A copy for each name: the format has neither strides nor shared tensors.
        key: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for key, tensor in model.state_dict().items()
    }
    with atomic_path(Path(path)) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


class Change(str):
    """A line on a layer whose weights are not the file's own.

    Attributes
    ----------
    layer : str
        Its name.
    fresh : bool
        Whether it keeps the weights that it had; False: the file's were adapted.
    """

    layer: str
    fresh: bool

    def __new__(cls, text: str, layer: str, fresh: bool = True) -> Self:
        """Make the line."""
        line = super().__new__(cls, text)
        line.layer, line.fresh = layer, fresh
        return line


def load_weights(model: nn.Module, path: str | Path) -> list[Change]:
    """Load weights by name into a model, in place.

    Where the file has another class count, the last linear layer keeps the weights it has (its initial ones, in a new
    model). Where it has another number of input channels and one side is grey, the first convolution's weights are
    adapted so that a grey image gives the same maps: summed over the channels, as timm does, or shared out among them.
    Any other difference is an error, and then nothing is loaded.

    Parameters
    ----------
    model : nn.Module
        With torchvision's parameter names, if the file has them.
    path : str or Path
        ``.safetensors``, or ``.pth`` / ``.pt`` holding a state dict, alone or in a checkpoint under ``state_dict``,
        ``model_state_dict`` or ``model``; read with ``weights_only=True``, which runs no code from the file.

    Returns
    -------
    list of Change
        A line for each layer that was not loaded as it is in the file; empty if all were.

    Raises
    ------
    WeightsError
        If the file cannot be read, or its names or shapes do not fit.
    """
    path = Path(path)
    given = _read(path)
    own = model.state_dict()
    changes = [*_adapted_stem(model, own, given), *_fresh_head(model, own, given)]
    for key in own.keys() - given.keys():
        # Files from before PyTorch 0.4.1 lack this counter, which nothing here reads.
        if key.endswith(".num_batches_tracked"):
            given[key] = own[key]
    _refuse_misfits(path, own, given)
    model.load_state_dict(given)
    return changes


def _adapted_stem(model: nn.Module, own: State, given: State) -> Iterator[Change]:
    """Adapt the first convolution's weights, (out, in, h, w), to the model's input channels; ``given`` is changed."""
    from torch import nn

    stem = next((name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)), None)
    if stem is None or not _differs_only_in(own, given, stem, 1):
        return
    key = f"{stem}.weight"
    theirs, ours = given[key].shape[1], own[key].shape[1]
    between = f"the file is for {theirs} input channels, the model has {ours}"
    if ours == 1:
        given[key] = given[key].sum(dim=1, keepdim=True)
        yield Change(f"{stem}: weights are summed over the channels: {between}", stem, fresh=False)
    elif theirs == 1:
        given[key] = given[key].expand(-1, ours, -1, -1) / ours
        yield Change(f"{stem}: weights are shared out among the channels: {between}", stem, fresh=False)
    else:
        given.update((name, own[name]) for name in (key, f"{stem}.bias") if name in own)
        yield Change(f"{stem} starts from scratch: {between}", stem)


def _fresh_head(model: nn.Module, own: State, given: State) -> Iterator[Change]:
    """Let the last linear layer keep its weights where the file's are for other classes; ``given`` is changed."""
    from torch import nn

    head = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)][-1:]
    if not head or not _differs_only_in(own, given, head[0], 0):
        return
    key = f"{head[0]}.weight"
    between = f"the file is for {given[key].shape[0]} classes, the model has {own[key].shape[0]}"
    given.update((name, own[name]) for name in (key, f"{head[0]}.bias") if name in own)
    yield Change(f"{head[0]} starts from scratch: {between}", head[0])


def _read(path: Path) -> State:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: object = load_file(path, device="cpu")
        elif path.suffix in (".pth", ".pt"):
            import torch

            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            raise WeightsError(f"{path}: unknown kind of weights; allowed: .safetensors, .pth, .pt")
    except WeightsError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"{path}: not a readable file of weights ({type(error).__name__}: {reason})"
        ) from error
    return _as_state(path, state)


def _as_state(path: Path, state: object) -> State:
    import torch

    state = _unwrapped(state)
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, not a state dict (name -> tensor)")
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise WeightsError(
                f"{path}: is not a state dict: {key!r} holds a {type(tensor).__name__}, not a tensor"
            )
    if state and all(key.startswith(_WRAPPED) for key in state):  # saved from under DataParallel
        return {key.removeprefix(_WRAPPED): tensor for key, tensor in state.items()}
    return dict(state)


def _unwrapped(state: object) -> object:
    """Return the state dict inside a training program's checkpoint; anything else as it is."""
    if isinstance(state, dict):
        for key in _CHECKPOINT_KEYS:
            if isinstance(state.get(key), dict) and state[key]:
                return state[key]
    return state


def _differs_only_in(own: State, given: State, layer: str, dimension: int) -> bool:
    key = f"{layer}.weight"
    if key not in given or given[key].dim() != own[key].dim():
        return False
    different = [i for i, (a, b) in enumerate(zip(own[key].shape, given[key].shape, strict=True)) if a != b]
    return different == [dimension] and (f"{layer}.bias" in own) == (f"{layer}.bias" in given)


def _refuse_misfits(path: Path, own: State, given: State) -> None:
    misfits = [f"{key} is missing" for key in own if key not in given]
    misfits += [f"{key} is not in the model" for key in sorted(given.keys() - own.keys())]
    for key in own:
        if key in given and given[key].shape != own[key].shape:
            misfits.append(f"{key} is {tuple(given[key].shape)}, the model has {tuple(own[key].shape)}")
        elif key in given and own[key].is_floating_point() != given[key].is_floating_point():
            misfits.append(f"{key} is {given[key].dtype}, the model has {own[key].dtype}")
    if misfits:
        more = f"; and {len(misfits) - _SHOWN} more" if len(misfits) > _SHOWN else ""
        raise WeightsError(f"{path} does not fit the model: {'; '.join(misfits[:_SHOWN])}{more}")
