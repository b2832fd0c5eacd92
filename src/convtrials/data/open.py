"""Open a dataset by its name or path, or again from what a run's ``dataset.json`` says of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convtrials.core.errors import DataError
from convtrials.core.log import get_logger, quiet
from convtrials.data.dataset import Dataset
from convtrials.data.groups import groups_stamp
from convtrials.data.options import DatasetOptions
from convtrials.data.pack import build_pack
from convtrials.data.paths import typed_path
from convtrials.data.sources.base import Source
from convtrials.data.sources.find import BUILT_IN, find_source
from convtrials.data.sources.tree import is_archive
from convtrials.data.store import index_path, look_up, open_pack, plain_disk_errors, remember

_log = get_logger(__name__)


def load_dataset(
    source: str | Path | None = None,
    *,
    train: str | Path | None = None,
    verify: bool = False,
    workers: int | None = None,
    **options: Any,
) -> Dataset:
    """Open a dataset; the first time, pack it.

    Parameters
    ----------
    source : str, Path or None
        ``"glyphs"``, ``"emnist36"``, or a path: a folder of class folders, a folder split into train/val/test, a
        table of paths or pixels, an archive of any of these, a directory of EMNIST-layout IDX files, an ``.npz`` file.
    train : str or Path, optional
        The source, where it holds only the images to train on; goes with ``test=`` and, if there are any, ``val=``.
    verify : bool
        Read the source and the pack again, and pack once more where anything differs.
    workers : int or None
        Processes that decode images; None: one a processor.
    **options
        Fields of `convtrials.data.options.DatasetOptions`: ``image_size``, ``channels``, ``samples_per_class``,
        ``ratios``, ``split_seed``, ``skip_bad``, ``classes``, ``fit``, ``pad``, ``bits``, ``groups``, ``columns``,
        ``fold``, ``val``, ``test``.

    Returns
    -------
    Dataset
        With memory-mapped images.

    Raises
    ------
    DataError
        Where the source is not there, is no dataset, or holds unreadable files; where an option is none.

    Examples
    --------
    >>> data = load_dataset("glyphs", samples_per_class=12)
    >>> data.counts()
    {'train': 288, 'val': 72, 'test': 72}
    """
    wanted = DatasetOptions.make(options)
    place = one_source(source, train)
    known = None if verify else _packed_archive(place, wanted)
    if known is not None:
        return known
    return pack_source(find_source(place, wanted), wanted, verify=verify, workers=workers)


def _packed_archive(place: str | Path, wanted: DatasetOptions) -> Dataset | None:
    """Open the pack of an archive that is as it was; what it holds, which takes long to list, is then known."""
    path = typed_path(place)
    if wanted.val is not None or wanted.test is not None or not (is_archive(path) and path.is_file()):
        return None
    from convtrials.data.sources.archive import ArchiveTree

    tree = ArchiveTree(path)
    return look_up(index_path(tree.location, wanted.document()), tree.stamp() + groups_stamp(wanted))


def pack_source(found: Source, wanted: DatasetOptions, *, verify: bool, workers: int | None) -> Dataset:
    """Open the pack of a source, or make it, as `load_dataset` does."""
    entry = index_path(found.location, wanted.document())
    started = time.perf_counter()
    with plain_disk_errors():
        # Read before the source is read: what changes during the reading is seen the next time.
        stamp = found.stamp() + groups_stamp(wanted)
        known = None if verify else look_up(entry, stamp)
        if known is not None:
            return known
        folder = build_pack(found, wanted, workers=workers)
        dataset = open_pack(folder)
        if dataset is None:
            raise DataError(f"{folder}: the pack was damaged while it was written; check the disk")
        remember(entry, stamp, folder.name, found.location)
    _log.info(describe(dataset, time.perf_counter() - started))
    return dataset


def one_source(source: str | Path | None, train: str | Path | None) -> str | Path:
    """Return the one of both that is given."""
    if (source is None) == (train is None):
        problem = (
            "a source and train are both given" if train is not None else "no images to train on are given"
        )
        raise DataError(f"{problem}: name one source, or train and test (each a source of its own)")
    return source if source is not None else train  # type: ignore[return-value]


def reframed(dataset: Dataset, options: dict[str, Any]) -> Dataset:
    """Return the same images brought to another size, or in another way.

    Parameters
    ----------
    options : dict
        ``image_size``, ``fit`` and ``pad``, as far as they are asked for.

    Raises
    ------
    DataError
        The dataset was made in memory and stays as it is, or its source gives other images now.
    """
    own = DatasetOptions.make(dataset.manifest.get("options") or {})
    height, width, _ = dataset.image_shape
    other = {key: value for key, value in options.items() if value != getattr(own, key)}
    if other.get("image_size") == height == width:
        del other["image_size"]
    if not other:
        return dataset
    asked = ", ".join(f"{key} {value}" for key, value in other.items())
    source = source_name(dataset)
    if source is None:
        raise DataError(f"{asked}: the dataset was made in memory and stays as it is, {height} x {width}")
    before = own.document()
    if other.get("fit", "pad") != "pad":
        before.pop("pad", None)  # which belonged to the other fit
    with quiet():
        found = load_dataset(source, **before | other)
    if not (np.array_equal(found.labels, dataset.labels) and np.array_equal(found.split, dataset.split)):
        raise DataError(f"{asked}: {source} does not give the same images in this way")
    return replace(found, weights=dataset.weights)  # which may have been given in memory


def describe(dataset: Dataset, seconds: float) -> str:
    """One line on a fresh pack; `convtrials.data.summary` says what is in it."""
    left_out = len(dataset.manifest["quarantined"])
    return (
        f"{dataset.name}: {len(dataset):,} images of {len(dataset.class_names)} classes packed in {seconds:.1f} s"
        + (f"; {left_out} bad file(s) left out" if left_out else "")
        + (
            f"; {len(dataset.notes)} note(s) (Dataset.notes, or: convtrials data info)"
            if dataset.notes
            else ""
        )
    )


def source_name(dataset: Dataset) -> str | None:
    """Say what `load_dataset` would take for this dataset: a built-in name or a path; None if made in memory."""
    location: str | None = dataset.manifest.get("location")
    if location is None:
        return None
    name = location.partition("?")[0]
    return name if name in BUILT_IN else location


def reopen_dataset(record: dict[str, Any], *, source: str | Path | None = None) -> Dataset:
    """Open the dataset that ``record`` describes.

    Parameters
    ----------
    record : dict
        ``pack`` (folder or None), ``source``, ``options`` of `load_dataset`, ``fingerprint``.
    source : str or Path, optional
        Where the data is now, if it has moved.

    Returns
    -------
    Dataset
        With the recorded fingerprint.

    Raises
    ------
    DataError
        The data cannot be found, or it has changed since.
    """
    if source is None and record.get("pack"):
        dataset = open_pack(Path(record["pack"]))
        if dataset is not None and dataset.fingerprint == record["fingerprint"]:
            return dataset
    place = source if source is not None else record.get("source")
    if place is None:
        raise DataError(f"dataset {record.get('name')}: was made in memory; say where it is now")
    dataset = load_dataset(place, **(record.get("options") or {}))
    if dataset.fingerprint != record["fingerprint"]:
        raise DataError(
            f"{place}: the data has changed since the run began "
            f"(fingerprint {dataset.fingerprint[:12]}, recorded {record['fingerprint'][:12]})"
        )
    return dataset
