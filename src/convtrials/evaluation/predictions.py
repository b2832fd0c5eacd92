"""The predictions of a run: class probabilities, true labels, and which images they belong to."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.documents import check_format
from convtrials.core.errors import ConvtrialsError, RunError
from convtrials.core.files import atomic_path

#: The newest format of the file that is read; a file that names none is of format 1.
NEWEST_FORMAT = 1

#: The most bytes that a predictions file may unpack to; a file from elsewhere cannot fill the memory.
LARGEST_FILE = 8 * 2**30

#: How far from 1 a row of probabilities may sum; a softmax in float32 stays well within it.
SUM_TOLERANCE = 1e-3

#: What a damaged, cut or encrypted archive may make zipfile and NumPy raise.
_UNREADABLE = (
    OSError, ValueError, EOFError, MemoryError, RuntimeError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a run says about every image of one split.

    Attributes
    ----------
    probabilities : ndarray of float64, shape (N, K)
        From 0 to 1; rows sum to one within `SUM_TOLERANCE`.
    labels : ndarray of int64, shape (N,)
        True classes, ``0`` to ``K - 1``.
    indices : ndarray of int64, shape (N,)
        Positions of the images in ``Dataset.images``.
    run : str or None
        Digest of the identity of the run that made them; None in files of earlier versions.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    run: str | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each image, shape (N,); the first one of equals."""
        best: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return best

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the predicted class, shape (N,)."""
        best: NDArray[np.float64] = self.probabilities.max(axis=1)
        return best


def check_probabilities(
    probabilities: NDArray[Any], labels: NDArray[Any], *, where: str = "predictions"
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities and labels in full precision, or refuse them.

    Rows are not scaled to sum to one exactly: that would break ties between images at random.

    Parameters
    ----------
    probabilities : ndarray of float, shape (N, K)
        N at least 1, K at least 2, values from 0 to 1, row sums within `SUM_TOLERANCE` of 1.
    labels : ndarray of int, shape (N,)
        From 0 to K - 1.
    where : str
        What to call the arrays in an error: a file name.

    Returns
    -------
    probabilities : ndarray of float64, shape (N, K)
    labels : ndarray of int64, shape (N,)

    Raises
    ------
    RunError
        Where a shape, kind or value is outside the bounds above.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.dtype.kind != "f" or probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise RunError(
            f"{where}: probabilities have shape {probabilities.shape} and type {probabilities.dtype}; "
            "floats of shape (images, classes) with two classes or more are needed"
        )
    count, classes = probabilities.shape
    if count == 0:
        raise RunError(f"{where}: there are no predictions; at least one image is needed")
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise RunError(
            f"{where}: labels have shape {labels.shape} and type {labels.dtype}; "
            f"integers of shape ({count},) are needed"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise RunError(
            f"{where}: labels go from {labels.min()} to {labels.max()}; 0 to {classes - 1} is allowed"
        )
    exact = probabilities.astype(np.float64)
    # Written so that NaN, which compares false with everything, is refused as well.
    if not (exact.min() >= 0 and exact.max() <= 1 + SUM_TOLERANCE):
        raise RunError(f"{where}: probabilities outside 0 to 1, or not a number")
    sums = exact.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > SUM_TOLERANCE:
        raise RunError(f"{where}: the probabilities of row {worst} sum to {sums[worst]:.4f}, not to 1")
    return np.minimum(exact, 1.0), labels.astype(np.int64)


def read_predictions(path: Path) -> Predictions:
    """Read and check a predictions file as training writes it.

    Parameters
    ----------
    path : Path
        An ``.npz`` with arrays ``probabilities`` (N, K), ``labels`` (N,) and ``indices`` (N,), and ``run``, a text;
        ``format``, a whole number, where it is not 1.

    Returns
    -------
    Predictions

    Raises
    ------
    RunError
        Where the file is missing, damaged, too large, or its arrays do not fit together.
    """
    path = Path(path)
    if not path.exists():
        raise RunError(f"{path}: no such file; a dataset without a test split leaves none")
    arrays = read_arrays(path, ("probabilities", "labels", "indices"), ("run",))
    where = str(path)
    probabilities, labels = check_probabilities(arrays["probabilities"], arrays["labels"], where=where)
    indices = arrays["indices"]
    if indices.dtype.kind not in "iu" or indices.shape != labels.shape:
        raise RunError(
            f"{where}: indices must be integers of shape {labels.shape}, not {indices.dtype} {indices.shape}"
        )
    if indices.min() < 0 or len(np.unique(indices)) != len(indices):
        raise RunError(f"{where}: indices must be positions of images, each at most once, none negative")
    named = arrays.get("run")
    if named is not None and (named.dtype.kind != "U" or named.shape != ()):
        raise RunError(f"{where}: run must be text, not {named.dtype} of shape {named.shape}")
    run = None if named is None else str(named)
    return Predictions(probabilities, labels, indices.astype(np.int64), run)


def write_predictions(
    path: Path,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    *,
    run: str,
) -> None:
    """Write a predictions file, atomically; arguments as the attributes of `Predictions`."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, probabilities=probabilities, labels=labels, indices=indices, run=np.array(run))


def read_arrays(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    *,
    what: str = "a readable predictions file",
    error: type[ConvtrialsError] = RunError,
) -> dict[str, NDArray[Any]]:
    """Read named arrays of an ``.npz``, which may be damaged, or made to fill the memory; `error` is what it raises."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_FILE:
            raise error(f"{path}: unpacks to {size:,} bytes; at most {LARGEST_FILE:,} are read")
        with np.load(path, allow_pickle=False) as stored:
            _check_format(stored, path, error)
            missing = [name for name in needed if name not in stored]
            if missing:
                raise error(f"{path}: array {missing[0]!r} is missing; needed are {', '.join(needed)}")
            arrays = {name: stored[name] for name in (*needed, *optional) if name in stored}
    except _UNREADABLE as problem:
        raise error(f"{path}: not {what} ({problem})") from problem
    for name, array in arrays.items():
        # NumPy hands over the bare bytes of a member that is no .npy.
        if not isinstance(array, np.ndarray):
            raise error(f"{path}: {name!r} is not a NumPy array; needed are {', '.join(needed)}")
    return arrays


def _check_format(stored: Any, path: Path, error: type[ConvtrialsError]) -> None:
    found = stored["format"] if "format" in stored else np.array(1)
    whole = isinstance(found, np.ndarray) and found.shape == () and found.dtype.kind in "iu"
    check_format(int(found) if whole else None, NEWEST_FORMAT, str(path), error)
