"""``convtrials export``: a finished run as a file for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from convtrials.cli.evaluate import open_data
from convtrials.cli.terminal import without_lines
from convtrials.core.log import get_logger

_log = get_logger(__name__)

if TYPE_CHECKING:
    from convtrials.deploy.export_run import ExportPrecision

#: What ``--format`` and ``--precision`` take.
FORMATS, PRECISIONS = ("onnx", "torch"), ("fp32", "int8")


def export(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    file_format: Annotated[
        str, typer.Option("--format", "-f", help="onnx, or torch: a state dict.")
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file; by default model.onnx or model.pt in the run."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, or int8: smaller and faster, calibrated on validation images.")
    ] = "fp32",
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Where the dataset is now, if it has moved.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", callback=without_lines, help="Print only the file's path.")
    ] = False,
) -> None:
    """Write a run as an ONNX file, or as a state dict of PyTorch, and compare it with the run on test images.

    ONNX input: images, uint8 (N, height, width, channels), 0 to 255, as in the dataset; normalisation is inside.
    Output: probabilities, float32 (N, classes). Class names are in the file's metadata. A state dict (.pt) is weights
    alone; a .json file next to it names the network, the classes, and what images are normalised with.
    """
    for flag, value, allowed in (("--format", file_format, FORMATS), ("--precision", precision, PRECISIONS)):
        if value not in allowed:
            raise typer.BadParameter(f"{value!r}: allowed is {' or '.join(allowed)}", param_hint=flag)
    if file_format == "torch" and precision != "fp32":
        raise typer.BadParameter("a state dict is fp32; int8 is for onnx", param_hint="--precision")
    from convtrials.deploy.extra import need_onnx_tools

    if file_format == "onnx":
        need_onnx_tools()  # said before time is spent on opening data
    from convtrials.deploy.export_run import export_onnx, export_torch
    from convtrials.deploy.predictor import check_usable
    from convtrials.training.run_directory import Run

    directory = Run(run)
    check_usable(directory)  # a run that is not finished must not wait for its dataset
    dataset, problem = open_data(directory, data)
    if precision == "int8" and problem is not None:
        from convtrials.deploy.extra import DeployError

        raise DeployError(f"--precision int8 needs the run's dataset: {problem}")
    if file_format == "torch":
        done = export_torch(directory, dataset, out)
    else:
        done = export_onnx(directory, dataset, out, precision=cast("ExportPrecision", precision))
    if problem is not None:
        _log.info(f"note: compared on random pixels, as the data is not available: {problem}")
    what = "test images" if done.of_test_split else "random images"
    _log.info(
        f"{done.bytes / 1e6:.1f} MB; against torch fp32 on {done.images} {what}: probabilities differ by at most "
        f"{done.largest_difference:.1e}, the class of {done.changed:.1%}"
    )
    typer.echo(done.path)
