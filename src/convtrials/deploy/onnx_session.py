"""ONNX Runtime on the CPU: a file in, a function from images to probabilities out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.deploy.needs import DeployError, first_line, need
from convtrials.deploy.onnx_export import INPUT, OUTPUT

#: Images, uint8 (N, H, W, C), to probabilities, float32 (N, K).
Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def open_onnx(path: Path, threads: int | None = None) -> Classify:
    """Open an exported run.

    Parameters
    ----------
    path : Path
        From `convtrials.deploy.onnx_export.write_onnx`.
    threads : int, optional
        Threads inside one operation; ONNX Runtime's choice by default.

    Returns
    -------
    callable

    Raises
    ------
    DeployError
        If ONNX Runtime is missing or cannot run the file.
    """
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors; they are raised as well
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session: Any = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base of their own
        raise DeployError(f"ONNX Runtime {runtime.__version__}: {_reason(error, path)}") from error

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = session.run([OUTPUT], {INPUT: images})[0]
        return probabilities

    return classify


def _reason(error: Exception, path: Path) -> str:
    """Return ONNX Runtime's message without its number and without the folder, which may be a temporary one."""
    told = first_line(error).replace(str(path), path.name)
    return told.removeprefix("[ONNXRuntimeError] : ").partition(" : ")[2] or told
