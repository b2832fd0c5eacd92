"""Execution: how a run is computed. Chosen once, recorded, kept by every resume."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict

from convtrials.core.errors import StudyError
from convtrials.training.engine.device import check_device, check_supported, device_type
from convtrials.training.loggers.log_to import check_loggers

# Late: who only reads how a run was computed must not wait for torch.
if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Execution:
    """How a run is computed. Bit-for-bit promises hold for one execution on one machine kind.

    Attributes
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
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
    def device_type(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""
        return device_type(self.device)

    @property
    def memory_format(self) -> "torch.memory_format":
        """torch's name for the layout."""
        import torch

        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def fabric_precision(self) -> Literal["32-true", "bf16-mixed"]:
        """Fabric's name for the precision."""
        return "bf16-mixed" if self.precision == "bf16" else "32-true"


@dataclass(frozen=True)
class ComputeOptions:
    """What a person asks of the computing; None: chosen by timing training steps.

    Attributes
    ----------
    workers, threads : int or None
        Runs at a time, threads of each.
    precision, device : str or None
    channels_last : bool or None
        Memory format of images and convolution weights.
    checkpoint_seconds : float
        Between checkpoints inside an epoch.
    replicas : int or None
        Seeds of one arm trained at once, in one process.
    log_to : str or sequence of str, or None
        Loggers that the runs of a study are sent to; None: those that the study has.
    """

    workers: int | None = None
    threads: int | None = None
    precision: Precision | None = None
    device: str | None = None
    checkpoint_seconds: float = 60.0
    replicas: int | None = None
    channels_last: bool | None = None
    log_to: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.log_to is not None:
            check_loggers(self.log_to)
        for name, value in (("workers", self.workers), ("threads", self.threads)):
            if value is not None and value < 1:
                raise StudyError(f"--{name} {value}: must be 1 or more")


def check_execution(execution: Execution) -> None:
    """Refuse an execution that is not possible here.

    Raises
    ------
    RunError
    """
    check_device(execution.device)
    check_supported(execution.device, execution.precision, execution.channels_last)
