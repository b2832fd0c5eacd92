"""A finished run as an ONNX file: stored pixels in, class probabilities out, and what it is in its metadata.

Written by torch's exporter, opened by ONNX Runtime on the CPU.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convtrials._version import __version__
from convtrials.core.files import atomic_path
from convtrials.deploy.extra import DeployError, first_line, need
from convtrials.deploy.predictor import FinishedRun

#: Operators as of this version of ONNX; files run in ONNX Runtime 1.19 and newer.
OPSET = 20

#: The oldest torch whose exporter writes what the tests ask for; 2.6 fails, versions between were not tried.
OLDEST_TORCH = (2, 9)

#: Names in the graph.
INPUT, OUTPUT = "images", "probabilities"

#: Images, uint8 (N, H, W, C), to probabilities, float32 (N, K).
Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

#: Every key of ours in a file's metadata begins so.
PREFIX = "convtrials."


def write_onnx(
    finished: FinishedRun, target: Path, *, precision: torch.dtype = torch.float32, opset: int = OPSET
) -> None:
    """Write a run's predictor as an ONNX file, whole or not at all.

    Parameters
    ----------
    target : Path
        Replaced where it exists.
    precision : torch.dtype
        Of the network's weights and arithmetic.
    opset : int
        Version of ONNX's operators.

    Raises
    ------
    DeployError
        If a package is missing or the network cannot be expressed in ONNX.

    Notes
    -----
    Input ``images``, uint8 (N, H, W, C), 0 to 255; output ``probabilities``, float32 (N, K); N is free.
    """
    _check_torch()
    onnx = need("onnx")
    need("onnxscript")
    predictor = finished.predictor(precision)
    example = torch.zeros(2, *finished.image_shape, dtype=torch.uint8)
    with atomic_path(target) as temporary:
        with _quiet():
            try:
                torch.onnx.export(
                    predictor,
                    (example,),
                    temporary,
                    input_names=[INPUT],
                    output_names=[OUTPUT],
                    dynamic_shapes=({0: "batch"},),
                    opset_version=opset,
                    external_data=False,
                    dynamo=True,
                    # Folding batch norm into bf16 convolutions would leave float32 biases, which no operator takes.
                    optimize=precision == torch.float32,
                    verbose=False,
                )
            except Exception as error:
                raise DeployError(
                    f"{finished.origin['model']}: cannot be exported to ONNX: {first_line(error)}"
                ) from error
        model = onnx.load(temporary)
        describe(model, finished, str(precision).removeprefix("torch."))
        onnx.save(model, temporary)


def _check_torch() -> None:
    """Refuse a torch whose exporter cannot leave the number of images free."""
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < OLDEST_TORCH:
        wanted = ".".join(map(str, OLDEST_TORCH))
        raise DeployError(f"export to ONNX needs torch {wanted} or newer; here is {torch.__version__}")


def describe(model: Any, finished: FinishedRun, precision: str) -> None:
    """Put into an ONNX model's metadata what it is, and take out where the exporting machine keeps its files."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]  # stack traces with paths
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "convtrials", __version__
    model.doc_string = (
        f"{INPUT}: uint8 (N, H, W, C), 0 to 255, normalised inside; {OUTPUT}: float32 (N, classes)"
    )
    facts = {
        "class_names": json.dumps(finished.class_names, ensure_ascii=False),
        "image_shape": json.dumps(finished.image_shape),
        "precision": precision,
        **finished.framing,
        **{key: str(value) for key, value in finished.origin.items()},
    }
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = PREFIX + key, value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on optional packages and its own future away from people."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def open_onnx(path: Path, threads: int | None = None) -> Classify:
    """Open an exported run.

    Parameters
    ----------
    path : Path
        From `write_onnx`.
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
    line = first_line(error).replace(str(path), path.name)
    return line.removeprefix("[ONNXRuntimeError] : ").partition(" : ")[2] or line
