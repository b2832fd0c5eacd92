"""The ways of running a finished run that are measured against each other, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convtrials.deploy.extra import DeployError
from convtrials.deploy.onnx_file import Classify, open_onnx, write_onnx
from convtrials.deploy.predictor import FinishedRun, Predictor
from convtrials.deploy.quantize_onnx import write_int8_onnx
from convtrials.deploy.quantize_torch import quantize_network

#: The engine that accuracy and speed of the others are compared with.
REFERENCE = "torch-fp32"

#: First version of ONNX's operators whose convolution takes bf16.
_BF16_OPSET = 22


@dataclass(frozen=True, eq=False)
class Engine:
    """One way of running a network, ready to run.

    Attributes
    ----------
    name : str
        One of `ENGINES`.
    classify : callable
        Images, uint8 (N, H, W, C), to probabilities, float32 (N, K).
    bytes : int
        Of the ONNX file; for torch, of weights and buffers.
    """

    name: str
    classify: Classify
    bytes: int


class EngineBuilder:
    """What engines are made from.

    Parameters
    ----------
    calibration : ndarray of uint8, shape (n, H, W, C)
        Validation images for the ranges of int8.
    threads : int
        For ONNX Runtime, which keeps threads of its own; torch's are set by the caller.
    folder : Path
        Where ONNX files go.
    """

    def __init__(
        self, finished: FinishedRun, calibration: NDArray[np.uint8], threads: int, folder: Path
    ) -> None:
        self.finished = finished
        self.calibration = calibration
        self.threads = threads
        self.folder = folder

    @cached_property
    def onnx_file(self) -> Path:
        """The run exported in fp32, once for all engines that begin with it."""
        path = self.folder / "fp32.onnx"
        write_onnx(self.finished, path)
        return path

    def make(self, name: str) -> Engine:
        """Make an engine.

        Raises
        ------
        DeployError
            If it cannot be had here: a package is missing, or a kernel.
        """
        return ENGINES[name].make(self, name)


def _torch_float(precision: torch.dtype) -> Callable[[EngineBuilder, str], Engine]:
    def make(builder: EngineBuilder, name: str) -> Engine:
        predictor = builder.finished.predictor(precision)
        return _of_predictor(name, predictor.to(memory_format=torch.channels_last))  # type: ignore[call-overload]

    return make


def _torch_int8(builder: EngineBuilder, name: str) -> Engine:
    finished = builder.finished
    predictor = finished.predictor()
    images = predictor.normalised(torch.from_numpy(builder.calibration))
    quantized = quantize_network(predictor.network, images)
    return _of_predictor(name, Predictor(quantized, finished.mean, finished.std))


def _onnx_fp32(builder: EngineBuilder, name: str) -> Engine:
    return _of_file(name, builder.onnx_file, builder.threads)


def _onnx_bf16(builder: EngineBuilder, name: str) -> Engine:
    # Tried again each time: the day ONNX Runtime has the kernels, the row has figures.
    path = builder.folder / "bf16.onnx"
    write_onnx(builder.finished, path, precision=torch.bfloat16, opset=_BF16_OPSET)
    return _of_file(name, path, builder.threads)


def _onnx_int8(builder: EngineBuilder, name: str) -> Engine:
    path = builder.folder / "int8.onnx"
    write_int8_onnx(builder.onnx_file, path, builder.finished, builder.calibration)
    return _of_file(name, path, builder.threads)


def _of_predictor(name: str, predictor: nn.Module) -> Engine:
    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            probabilities: NDArray[np.float32] = predictor(torch.from_numpy(images)).numpy()
        return probabilities

    return Engine(name, classify, _tensor_bytes(predictor.state_dict()))


def _of_file(name: str, path: Path, threads: int) -> Engine:
    return Engine(name, open_onnx(path, threads), path.stat().st_size)


def _tensor_bytes(value: object) -> int:
    """Add up the tensors of a state; quantised linear layers keep theirs in tuples."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_tensor_bytes(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_tensor_bytes(item) for item in value)
    return 0


@dataclass(frozen=True)
class EngineKind:
    """An engine that can be named: what it is in a line, and how it is made."""

    summary: str
    make: Callable[[EngineBuilder, str], Engine]


#: In the order of tables.
ENGINES = {
    "torch-fp32": EngineKind("torch, eager, channels_last", _torch_float(torch.float32)),
    "torch-bf16": EngineKind("torch, eager, channels_last, weights in bf16", _torch_float(torch.bfloat16)),
    "torch-int8": EngineKind("torch, static quantisation (FX)", _torch_int8),
    "onnx-fp32": EngineKind("ONNX Runtime, CPU", _onnx_fp32),
    "onnx-bf16": EngineKind("ONNX Runtime, CPU, weights in bf16", _onnx_bf16),
    "onnx-int8": EngineKind("ONNX Runtime, CPU, static quantisation (QDQ)", _onnx_int8),
}


def check_engine_names(names: list[str]) -> list[str]:
    """Return the names, each once; all of them for an empty list.

    Raises
    ------
    DeployError
        If there is no such engine.
    """
    for name in names:
        if name not in ENGINES:
            raise DeployError(f"engine {name!r} does not exist: choose from {', '.join(ENGINES)}")
    return list(dict.fromkeys(names)) or list(ENGINES)
