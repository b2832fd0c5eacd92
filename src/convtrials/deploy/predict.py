"""Classify images with a finished run."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.paths import image_endings
from convtrials.data.sources.frame import Frame, PixelScale
from convtrials.data.sources.images import UnreadableImageError, decode_image
from convtrials.deploy.predictor import load_finished_run
from convtrials.training.run_directory import Run

if TYPE_CHECKING:
    import pandas as pd

#: Images classified at once.
_AT_ONCE = 64


def predict(run: Run, images: "NDArray[np.uint8] | str | Path | Iterable[str | Path]") -> "pd.DataFrame":
    """Classify images with the weights that count, on the CPU in fp32.

    Files are decoded, brought to the run's size and channels, and normalised as the training images were.

    Parameters
    ----------
    run : Run
        Finished, with its weights.
    images : array of uint8, path, or iterable of paths
        An array of shape (N, H, W, C) as the run has them; an image file, a folder whose image files are classified
        at any depth, or several of these.

    Returns
    -------
    DataFrame
        One row per image: ``image``, its path or number; ``predicted``, the name of a class; and for each class
        ``p(NAME)``, its probability from 0 to 1.

    Raises
    ------
    RunError
        There is no finished run with weights.
    DataError
        There is no image, one cannot be read, or an array has another shape.
    """
    import pandas  # late: half a second

    finished = load_finished_run(run)
    predictor, frame = finished.predictor(), _frame(run, finished.image_shape)
    names: list[int | str] = []
    probabilities = []
    with torch.inference_mode():
        for some_names, pixels in _batches(images, frame):
            names += some_names
            probabilities.append(predictor(torch.from_numpy(pixels)).numpy())
    if not names:
        raise DataError("predict: no images given")
    shares = np.concatenate(probabilities)
    of_class = np.array(finished.class_names, dtype=object)
    rows = pandas.DataFrame({"image": names, "predicted": of_class[shares.argmax(axis=1)]})
    columns = [f"p({name})" for name in finished.class_names]
    return pandas.concat([rows, pandas.DataFrame(shares, columns=columns)], axis=1)


def _frame(run: Run, shape: tuple[int, int, int]) -> Frame:
    """Return how the training images were brought to their size, and what was white in them."""
    data = run.dataset
    options = {key: value for key, value in (data.options or {}).items() if key in ("fit", "pad")}
    scale = PixelScale(**(data.pixel_scale or {}))  # type: ignore[arg-type]  # as the pack recorded it
    return Frame(shape, scale=scale, **options)


def _batches(
    images: "NDArray[np.uint8] | str | Path | Iterable[str | Path]", frame: Frame
) -> Iterator[tuple[Sequence[int | str], NDArray[np.uint8]]]:
    """Yield names and pixels, uint8 (n, H, W, C), of some images at a time."""
    shape = frame.shape
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise DataError(
                f"predict: an array of {images.dtype} {images.shape}; this run takes uint8 (N, {str(shape)[1:]}"
            )
        for start in range(0, len(images), _AT_ONCE):
            yield (
                range(start, min(start + _AT_ONCE, len(images))),
                np.array(images[start : start + _AT_ONCE]),
            )
        return
    files = _files([images] if isinstance(images, str | Path) else images)
    while paths := list(islice(files, _AT_ONCE)):
        yield [str(path) for path in paths], np.stack([_decoded(path, frame) for path in paths])


def _files(places: Iterable[str | Path]) -> Iterator[Path]:
    endings = image_endings()
    for place in map(Path, places):
        if not place.is_dir():
            yield place
            continue
        found = sorted(path for path in place.rglob("*") if path.suffix.lower() in endings and path.is_file())
        if not found:
            raise DataError(f"{place}: no image files in this folder")
        yield from found


def _decoded(path: Path, frame: Frame) -> NDArray[np.uint8]:
    try:
        return decode_image(path.read_bytes(), frame)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except UnreadableImageError as error:
        raise DataError(f"{path}: {error}") from None
