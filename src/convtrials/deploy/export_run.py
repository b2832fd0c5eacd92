"""Export a run and see that the file does what the run does."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from convtrials.core.files import atomic_path
from convtrials.core.streams import stream_generator
from convtrials.data.dataset import Dataset
from convtrials.data.rows import rows_of
from convtrials.deploy.extra import DeployError, need, need_onnx_tools
from convtrials.deploy.images import calibration_images, held_out_positions
from convtrials.deploy.onnx_file import PREFIX, Classify, open_onnx, write_onnx
from convtrials.deploy.predictor import FinishedRun, load_finished_run
from convtrials.deploy.quantize_onnx import write_int8_onnx
from convtrials.deploy.torch_file import (
    card_path,
    is_our_state_dict,
    open_state_dict,
    write_card,
    write_state_dict,
)
from convtrials.training.run_directory import Run

ExportPrecision = Literal["fp32", "int8"]

#: Images that a fresh file is compared on.
CHECKED_IMAGES = 512

#: Probabilities of an fp32 file may differ from torch's by this much: sums are taken in another order.
LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how it compares with torch in fp32.

    Attributes
    ----------
    images : int
        Compared on so many.
    of_test_split : bool
        False: random pixels, as the data was not at hand.
    largest_difference : float
        Between probabilities, 0 to 1.
    changed : float
        Share of images whose predicted class is another.
    """

    path: Path
    bytes: int
    images: int
    of_test_split: bool
    largest_difference: float
    changed: float


def export_onnx(
    run: Run, dataset: Dataset | None, out: Path | None = None, *, precision: ExportPrecision = "fp32"
) -> Exported:
    """Write a finished run as an ONNX file and compare it with torch.

    Parameters
    ----------
    run : Run
        Finished, with weights.
    dataset : Dataset or None
        The one it was trained on. Without it the file is compared on random pixels, and int8 cannot be had.
    out : Path, optional
        By default ``model.onnx`` (``model-int8.onnx``) in the run directory. An earlier export is replaced, another
        file never.
    precision : {"fp32", "int8"}
        int8 is calibrated on validation images.

    Raises
    ------
    DeployError, RunError
        A package is missing, the network cannot be exported, `out` is another file, or the file does not do what
        torch does; then nothing is written.
    """
    need_onnx_tools()
    finished = load_finished_run(run)
    if dataset is not None:
        finished.check_dataset(dataset)
    out = out or run.folder / ("model.onnx" if precision == "fp32" else f"model-{precision}.onnx")
    _check_replaceable(out)
    images, of_test_split = _images(finished, dataset)
    with TemporaryDirectory(prefix="convtrials-") as folder:
        made = Path(folder) / "fp32.onnx"
        write_onnx(finished, made)
        if precision == "int8":
            if dataset is None:
                raise DeployError("int8 needs the run's dataset: its ranges are set on validation images")
            write_int8_onnx(made, made.with_name("int8.onnx"), finished, calibration_images(dataset))
            made = made.with_name("int8.onnx")
        difference, changed = _compare(finished, open_onnx(made), images)
        if precision == "fp32" and not difference <= LARGEST_DIFFERENCE:
            raise DeployError(
                f"the ONNX file does not agree with the run: probabilities differ by up to {difference:.1e} "
                f"(allowed: {LARGEST_DIFFERENCE:.0e}); nothing was written"
            )
        with atomic_path(out) as temporary:
            temporary.write_bytes(made.read_bytes())
    return Exported(out, out.stat().st_size, len(images), of_test_split, difference, changed)


def export_torch(run: Run, dataset: Dataset | None, out: Path | None = None) -> Exported:
    """Write a finished run's weights as a state dict of PyTorch, with a JSON file next to it, and read it back.

    Parameters
    ----------
    run : Run
        Finished, with weights.
    dataset : Dataset or None
        The one it was trained on. Without it the file is compared on random pixels.
    out : Path, optional
        Ends in ``.pt`` or ``.pth``; by default ``model.pt`` in the run directory. An earlier export is replaced,
        another file never.

    Raises
    ------
    DeployError, RunError
        `out` is another file, or the file does not do what the run does; then nothing is written.
    """
    finished = load_finished_run(run)
    if dataset is not None:
        finished.check_dataset(dataset)
    out = out or run.folder / "model.pt"
    if out.suffix not in (".pt", ".pth"):
        raise DeployError(f"{out}: a state dict's name ends in .pt or .pth")
    if out.is_dir():
        raise DeployError(f"{out}: is a folder; name a file")
    card = card_path(out)
    if (out.exists() or card.exists()) and not is_our_state_dict(out):
        there = out if out.exists() else card
        raise DeployError(f"{there}: exists and was not exported by convtrials; choose another --out")
    images, of_test_split = _images(finished, dataset)
    with TemporaryDirectory(prefix="convtrials-") as folder:
        made = Path(folder) / out.name
        write_state_dict(finished, made)
        difference, changed = _compare(finished, open_state_dict(finished, made), images)
        if difference != 0:
            raise DeployError(
                f"the state dict does not agree with the run: probabilities differ by up to {difference:.1e}; "
                "nothing was written"
            )
        with atomic_path(out) as temporary:
            temporary.write_bytes(made.read_bytes())
    write_card(finished, out)
    return Exported(out, out.stat().st_size, len(images), of_test_split, difference, changed)


def _check_replaceable(out: Path) -> None:
    if out.is_dir():
        raise DeployError(f"{out}: is a folder; name a file")
    if not out.exists():
        return
    try:
        model = need("onnx").load(out, load_external_data=False)
        ours = any(entry.key.startswith(PREFIX) for entry in model.metadata_props)
    except Exception:  # whatever it is, it is no export of ours
        ours = False
    if not ours:
        raise DeployError(f"{out}: exists and was not exported by convtrials; choose another --out")


def _images(finished: FinishedRun, dataset: Dataset | None) -> tuple[NDArray[np.uint8], bool]:
    """Test images to compare on; random pixels where there are none."""
    if dataset is not None and dataset.counts()["test"]:
        return rows_of(dataset.images).read(held_out_positions(dataset, CHECKED_IMAGES)), True
    shape = (64, *finished.image_shape)
    return stream_generator(0, "export").integers(0, 256, shape, dtype=np.uint8), False


def _compare(finished: FinishedRun, classify: Classify, images: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the largest difference from torch and the share of changed classes; with several batch sizes."""
    predictor = finished.predictor()
    difference, changed = 0.0, 0
    # A batch of one, of two, and the rest: a batch size that was frozen into the graph shows here.
    for piece in (
        images[:1],
        images[1:3],
        *(images[start : start + 64] for start in range(3, len(images), 64)),
    ):
        if len(piece) == 0:
            continue
        with torch.inference_mode():
            expected = predictor(torch.from_numpy(piece)).numpy()
        try:
            got = classify(piece)
        except Exception as error:
            raise DeployError(f"the file fails on {len(piece)} images: {error!s:.200}") from error
        if got.shape != expected.shape:
            raise DeployError(f"the file gives {got.shape} for {len(piece)} images, torch {expected.shape}")
        difference = float(np.maximum(difference, np.abs(got - expected).max()))  # NaN stays NaN
        changed += int((got.argmax(axis=1) != expected.argmax(axis=1)).sum())
    return difference, changed / len(images)
