"""Weights on disk: safetensors out; safetensors and PyTorch's files in, never through pickle's open door."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import atomic_path

if TYPE_CHECKING:
    from torch import Tensor, nn

    State = dict[str, Tensor]

_SHOWN = 4


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


def load_weights(model: nn.Module, path: str | Path) -> list[str]:
    """Load weights by name into a model, in place.

    Where the file has another class count, the last linear layer keeps the weights it has (its initial ones,
    in a new model); where it has another number of channels, the first convolution does. Any other difference
    is an error, and then nothing is loaded.

    Parameters
    ----------
    model : nn.Module
        With torchvision's parameter names, if the file has them.
    path : str or Path
        ``.safetensors``, or ``.pth`` / ``.pt`` holding a state dict; the latter is read with
        ``weights_only=True``, which runs no code from the file.

    Returns
    -------
    list of str
        A line for each layer that was not loaded; empty if all were.

    Raises
    ------
    WeightsError
        If the file cannot be read, or its names or shapes do not fit.
    """
    path = Path(path)
    given = _read(path)
    own = model.state_dict()
    messages: list[str] = []
    for layer, dimension, message in _replaceable(model):
        if _differs_only_in(own, given, layer, dimension):
            theirs, ours = (state[f"{layer}.weight"].shape[dimension] for state in (given, own))
            messages.append(message.format(theirs=theirs, ours=ours, layer=layer))
            for key in (f"{layer}.weight", f"{layer}.bias"):
                if key in own:
                    given[key] = own[key]
    for key in own.keys() - given.keys():
        # Files from before PyTorch 0.4.1 lack this counter, which nothing here reads.
        if key.endswith(".num_batches_tracked"):
            given[key] = own[key]
    _refuse_misfits(path, own, given)
    model.load_state_dict(given)
    return messages


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

    if not isinstance(state, dict):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, not a state dict (name -> tensor)")
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise WeightsError(
                f"{path}: is not a state dict: {key!r} holds a {type(tensor).__name__}, not a tensor"
            )
    return dict(state)


def _replaceable(model: nn.Module) -> list[tuple[str, int, str]]:
    """First convolution and last linear: (name, dimension of its weight that may differ, message)."""
    from torch import nn

    convolutions = [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    linears = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    found = []
    if convolutions:
        text = "{layer} starts from scratch: the file is for {theirs} input channels, the model has {ours}"
        found.append((convolutions[0], 1, text))
    if linears:
        text = "{layer} starts from scratch: the file is for {theirs} classes, the model has {ours}"
        found.append((linears[-1], 0, text))
    return found


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
