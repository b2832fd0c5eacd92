"""Devices by their names, ``cpu``, ``cuda``, ``cuda:N`` and ``mps``: which are here, and what differs between them.

torch is imported late: who only reads a name must not wait for it.
"""

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from convtrials.core.errors import RunError
from convtrials.core.log import get_logger

if TYPE_CHECKING:
    import torch

_log = get_logger(__name__)

#: What may be asked for; ``cuda`` is the first GPU.
DEVICE = re.compile(r"cpu|mps|cuda(:\d{1,3})?")
ALLOWED = "cpu, cuda, cuda:N (the GPU with number N, from 0) and mps (Apple's GPU)"

#: Read by torch when it is imported: operations that MPS does not have are computed on the CPU.
MPS_FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"


def device_type(device: str) -> str:
    """Return ``cpu``, ``cuda`` or ``mps``.

    Examples
    --------
    >>> device_type("cuda:1")
    'cuda'
    """
    return device.partition(":")[0]


def device_index(device: str) -> int | None:
    """Return the number of a GPU that was named with one; None where it was not."""
    number = device.partition(":")[2]
    return int(number) if number else None


def devices_here() -> list[str]:
    """Return the devices that torch can use here, each by its number: ``["cpu", "cuda:0", "cuda:1"]``."""
    import torch

    gpus = (
        [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def check_device(device: str) -> None:
    """Refuse a device that torch cannot use here.

    Raises
    ------
    RunError
        In a line, with the devices that are here.
    """
    if not DEVICE.fullmatch(device):
        raise RunError(f"device {device!r:.40}: allowed are {ALLOWED}")
    here = devices_here()
    if (f"{device}:0" if device == "cuda" else device) not in here:
        raise RunError(f"device {device}: is not here; torch sees {', '.join(here)}")
    if device == "mps" and os.environ.get(MPS_FALLBACK) is None:
        _log.warning(
            f"torch was imported before convtrials: an operation that mps lacks will fail; import convtrials first, "
            f"or set {MPS_FALLBACK}=1"
        )


def check_supported(device: str, precision: str | None, channels_last: bool | None) -> None:
    """Refuse what a device does not compute reliably: on MPS bf16, which old systems lack, and channels_last.

    Raises
    ------
    RunError
    """
    if device_type(device) != "mps":
        return
    if precision == "bf16":
        raise RunError("device mps: computes in fp32 alone; leave out precision bf16")
    if channels_last:
        raise RunError("device mps: the memory format is contiguous there; leave out channels_last")


def use_device(device: str) -> None:
    """Make a GPU that was named by its number the one that torch means where none is named: streams, generators."""
    number = device_index(device)
    if number is not None:
        import torch

        torch.cuda.set_device(number)


def wait_for(device: str) -> None:
    """Wait until a device has done all that was asked of it."""
    import torch

    waits: dict[str, Callable[[], Any]] = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}
    waits.get(device_type(device), lambda: None)()


def free_memory(device: str) -> None:
    """Give memory that is kept for later use back to a GPU."""
    import torch

    frees: dict[str, Callable[[], Any]] = {"cuda": torch.cuda.empty_cache, "mps": torch.mps.empty_cache}
    frees.get(device_type(device), lambda: None)()


def generator_state(device: "torch.device") -> "torch.Tensor":
    """Return the state of the generator from which layers on a device draw."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else torch.get_rng_state()


def gpu_name(device: str = "cuda") -> str | None:
    """Return the name of a GPU; of ``cpu``, of the GPU that is here. None where there is none."""
    import torch

    if device_type(device) != "mps" and torch.cuda.is_available():
        return torch.cuda.get_device_name(device_index(device) or 0)
    return "Apple GPU (mps)" if torch.backends.mps.is_available() else None


def worker_environment(device: str, place: int, visible: int) -> dict[str, str]:
    """Return what a worker's environment needs so that workers on ``cuda`` share all GPUs, each on one of them.

    A GPU named by its number, MPS and the CPU are every worker's. In the worker its GPU is ``cuda``, as the study
    says, so that any worker can go on with any run.

    Parameters
    ----------
    place : int
        The worker's number, from 0.
    visible : int
        GPUs that torch sees in this process.
    """
    if device != "cuda" or visible < 2:
        return {}
    named = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    gpus = named[:visible] or [str(number) for number in range(visible)]
    return {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]}
