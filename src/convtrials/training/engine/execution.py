"""Execution: how a run is computed. Measured once on the real model, recorded, kept by every resume."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict

from convtrials.core.errors import RunError
from convtrials.core.process import available_cores

if TYPE_CHECKING:
    import torch
    from torch import nn

Precision = Literal["fp32", "bf16"]

#: fp32 stays unless bf16 saves at least this share of the time: rounding is only worth it for speed.
NEEDED_GAIN = 0.10

#: Seconds of a first step after which a candidate is given up: some builds emulate bf16.
_HOPELESS = 5.0

#: Pixels in one probing step; enough to keep the cores busy, few enough to be short.
_PROBE_PIXELS = 64 * 28 * 28


@dataclass(frozen=True)
class Execution:
    """How a run is computed. Bit-for-bit promises hold for one execution on one machine kind.

    Attributes
    ----------
    device : str
        ``"cpu"`` or ``"cuda"``.
    precision : str
        ``"fp32"``, or ``"bf16"`` for bfloat16 autocast with fp32 weights.
    channels_last : bool
        Memory format of images and convolution weights.
    threads : int
        Threads inside one operation.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    channels_last: Annotated[bool, Strict()] = True  # in a file too, "yes" is no bool
    threads: Annotated[int, Strict(), Field(ge=1)] = 1

    def describe(self) -> str:
        """Say it in a few words."""
        layout = "channels_last" if self.channels_last else "contiguous"
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{self.device}, {self.precision}, {layout}, {threads}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @property
    def memory_format(self) -> "torch.memory_format":
        """torch's name for the layout."""
        import torch

        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def fabric_precision(self) -> Literal["32-true", "bf16-mixed"]:
        """Fabric's name for the precision."""
        return "bf16-mixed" if self.precision == "bf16" else "32-true"


def check_device(device: str) -> None:
    """Refuse a device that torch cannot use here.

    Raises
    ------
    RunError
    """
    import torch

    if device not in ("cpu", "cuda"):
        raise RunError(f"device {device!r}: allowed are cpu and cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise RunError("device cuda: torch sees no GPU here")


def probe_execution(
    make_model: "Callable[[], nn.Module]",
    image_shape: tuple[int, int, int],
    *,
    precision: Precision | None = None,
    threads: int | None = None,
    device: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Execution:
    """Choose precision, memory format and threads by timing a few training steps of the real model.

    Parameters
    ----------
    make_model : callable
        Returns a fresh model; it is thrown away afterwards.
    image_shape : tuple of int
        (H, W, C).
    precision, threads, device
        Given by a person: then kept, and not probed.
    report : callable
        Takes a line for each thing measured.

    Returns
    -------
    Execution
        The fastest; fp32 unless bf16 saves a tenth of the time.
    """
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(device)
    cores = threads or available_cores()
    height, width, channels = image_shape
    images = max(2, min(64, _PROBE_PIXELS // (height * width)))
    batch = torch.rand(images, channels, height, width)
    precisions: list[Precision] = [precision] if precision else ["fp32", "bf16"]
    rates: dict[Execution, float] = {}
    for candidate in precisions:
        for channels_last in (False, True):
            execution = Execution(device, candidate, channels_last, cores)
            limit = 3 * images / max(rates.values()) if rates else None
            rates[execution] = _rate(make_model(), batch, execution, limit)
            report(f"probe: {execution.describe()}: {rates[execution]:,.0f} images/s")
    best = max(rates, key=lambda one: rates[one] * (1 - NEEDED_GAIN if one.precision == "bf16" else 1))
    if threads is None and device == "cpu" and cores > 1:
        fewer = Execution(device, best.precision, best.channels_last, cores // 2)
        rates[fewer] = _rate(make_model(), batch, fewer, 3 * images / rates[best])
        report(f"probe: {fewer.describe()}: {rates[fewer]:,.0f} images/s")
        if rates[fewer] > rates[best]:
            best = fewer
    return best


def _rate(model: "nn.Module", images: "torch.Tensor", execution: Execution, limit: float | None) -> float:
    """Return training images per second: the best of three steps after one that warms up.

    A candidate that is slower than ``limit`` seconds a step, or hopeless while it warms up, is not asked again.
    """
    import torch

    from convtrials.data.batches import as_channels_last, as_contiguous

    torch.set_num_threads(execution.threads)
    device = torch.device(execution.device)
    model = model.to(device=device, memory_format=execution.memory_format).train()  # type: ignore[call-overload]
    laid_out = as_channels_last if execution.channels_last else as_contiguous
    images = laid_out(images.to(device))
    best = float("inf")
    for step in range(4):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=execution.precision == "bf16"):
            outputs = model(images)
        outputs.float().square().mean().backward()
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        if step > 0 or seconds > _HOPELESS:  # the first step pays for kernels and memory
            best = min(best, seconds)
        if seconds > _HOPELESS or (step > 0 and limit is not None and seconds > limit):
            break
    return len(images) / best
