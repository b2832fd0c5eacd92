"""Store a tree of tensors and plain values in one safetensors file: no pickle, strides and types kept.

Strides matter: a fused optimizer walks parameter and state side by side in memory, so a state that comes back in
another layout than it left would be applied to the wrong weights.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from convtrials.core.errors import RunError
from convtrials.core.files import atomic_path


def save_tree(path: Path, tree: Any) -> None:
    """Write nested dicts, lists and tuples of tensors, numbers, strings, booleans and None; atomically."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_encode(tree, tensors))
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"tree": text})


def load_tree(path: Path) -> Any:
    """Read what `save_tree` wrote: equal values, types, shapes and strides."""
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            return _decode(json.loads(stored.metadata()["tree"]), tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise RunError(f"{path}: not a checkpoint of convtrials ({error})") from None


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        # clone: safetensors refuses tensors that share memory, as weights and their average may
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name, "stride": list(value.stride())}
    if isinstance(value, dict):
        return {"dict": [[_encode(key, tensors), _encode(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list):
        return [_encode(item, tensors) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain values, not {type(value).__name__}")


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        stored = tensors[value["tensor"]]
        laid_out = torch.empty_strided(stored.shape, value["stride"], dtype=stored.dtype)
        return laid_out.copy_(stored)
    if "tuple" in value:
        return tuple(_decode(item, tensors) for item in value["tuple"])
    return {_decode(key, tensors): _decode(item, tensors) for key, item in value["dict"]}
