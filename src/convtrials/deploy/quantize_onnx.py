"""An ONNX file with 8-bit integer arithmetic, its scales set on given images.

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convtrials.core.files import atomic_path
from convtrials.deploy.extra import DeployError, first_line, need
from convtrials.deploy.onnx_file import INPUT, describe
from convtrials.deploy.predictor import FinishedRun

#: What works on integers. Pooling is faster in float32 (full-width AlexNet, batches of 256: a sixth of the time); and
#: normalisation and softmax stay there because 1/256 is too coarse for a probability.
_INTEGER_OPERATORS = ("Conv", "Gemm", "MatMul", "Relu", "Reshape", "Flatten")

#: Images that pass through the network at once while ranges are taken.
_PIECE = 64


def write_int8_onnx(source: Path, target: Path, finished: FinishedRun, images: NDArray[np.uint8]) -> None:
    """Quantise an exported run: 8-bit activations, 7-bit weights with one scale per channel.

    Weights use 7 of the 8 bits because older processors add pairs of 8-bit products in 16 bits, which overflow; so the
    same file gives the same answers everywhere.

    Parameters
    ----------
    source : Path
        A float32 file from `convtrials.deploy.onnx_file.write_onnx`.
    target : Path
        Replaced where it exists.
    finished : FinishedRun
        The run that `source` was exported from.
    images : ndarray of uint8, shape (n, H, W, C)
        Ranges of all layers are those that these images give. Validation images, never test images.

    Raises
    ------
    DeployError
        If ONNX Runtime is missing or cannot quantise the network.
    """
    onnx, quantization = need("onnx"), need("onnxruntime.quantization")
    pieces = iter([{INPUT: images[start : start + _PIECE]} for start in range(0, len(images), _PIECE)])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(pieces, None)

    with atomic_path(target) as temporary:
        try:
            with _quiet():
                quantization.quantize_static(
                    str(source),
                    str(temporary),
                    Reader(),
                    quant_format=quantization.QuantFormat.QDQ,
                    op_types_to_quantize=list(_INTEGER_OPERATORS),
                    per_channel=True,
                    reduce_range=True,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                )
        except Exception as error:
            raise DeployError(f"ONNX Runtime cannot quantise this network: {first_line(error)}") from error
        model = onnx.load(temporary)
        describe(model, finished, "int8")
        onnx.save(model, temporary)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep advice to pre-process away from people: the exporter has folded and inferred all there is."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
