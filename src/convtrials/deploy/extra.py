"""Packages of the ``deploy`` extra: imported late, and asked for in one line where they are missing."""

from importlib import import_module
from typing import Any

from convtrials.core.errors import ConvtrialsError
from convtrials.core.extras import how_to_install


class DeployError(ConvtrialsError):
    """A run cannot be exported or measured as asked."""


def need(module: str) -> Any:
    """Import a module of the ``deploy`` extra.

    Parameters
    ----------
    module : str
        ``"onnx"``, ``"onnxruntime.quantization"``.

    Raises
    ------
    DeployError
        If its package is not installed, or is broken.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise DeployError(f"{package} is not installed: {how_to_install('deploy')}") from None
        raise DeployError(f"{package} cannot be imported: {first_line(error)}") from error


def need_onnx_tools() -> None:
    """See that an ONNX file can be written and run here.

    Raises
    ------
    DeployError
        Naming the package that is missing.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that says something, at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
