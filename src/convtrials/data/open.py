"""Open a dataset by its name or path, or again from what a run's ``dataset.json`` says of it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convtrials.core.errors import DataError
from convtrials.core.log import get_logger
from convtrials.data.dataset import DEFAULT_RATIOS, Dataset
from convtrials.data.pack import build_pack
from convtrials.data.selection import PackOptions, options_document
from convtrials.data.sources.find import BUILT_IN, find_source
from convtrials.data.split import check_ratios
from convtrials.data.store import index_path, look_up, open_pack, plain_disk_errors, remember

_log = get_logger(__name__)


def load_dataset(
    source: str | Path,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    samples_per_class: int | None = None,
    ratios: Sequence[float] = DEFAULT_RATIOS,
    split_seed: int = 0,
    skip_bad: bool = False,
    classes: Sequence[str] | None = None,
    verify: bool = False,
    workers: int | None = None,
) -> Dataset:
    """Open a dataset; the first time, pack it.

    Parameters
    ----------
    source : str or Path
        ``"glyphs"``, ``"emnist36"``, a folder of class folders, a folder split into train/val/test, a directory
        of EMNIST-layout IDX files, or an ``.npz`` file.
    image_size : int or None
        Pixels per side. None: as the images are, where all share a size of at most 224, else 64.
    channels : int or None
        1 or 3. None: 1 where every image is grey, else 3.
    samples_per_class : int or None
        At most so many images of each class, the same ones each time.
    ratios : sequence of three floats
        Train, val, test shares of what the source leaves open; together 1.
    split_seed : int
        Another seed, another split.
    skip_bad : bool
        Leave unreadable files out and name them in the manifest, instead of stopping.
    classes : sequence of str or None
        Names of the classes to use, two or more; None: all.
    verify : bool
        Read the source and the pack again, and pack once more where anything differs.
    workers : int or None
        Processes that decode images; None: one a processor.

    Returns
    -------
    Dataset
        With memory-mapped images.

    Raises
    ------
    DataError
        Where the source is not there, is no dataset, or holds unreadable files.

    Examples
    --------
    >>> data = load_dataset("glyphs", samples_per_class=12)
    >>> data.counts()
    {'train': 288, 'val': 72, 'test': 72}
    """
    options = PackOptions(
        image_size,
        channels,
        samples_per_class,
        check_ratios(ratios),
        split_seed,
        skip_bad,
        None if classes is None else tuple(classes),
    )
    found = find_source(source, samples_per_class=samples_per_class)
    entry = index_path(found.location, options_document(options))
    started = time.perf_counter()
    with plain_disk_errors():
        # Read before the source is read: what changes during the reading is seen the next time.
        stamp = found.stamp()
        known = None if verify else look_up(entry, stamp)
        if known is not None:
            return known
        folder = build_pack(found, options, workers=workers)
        dataset = open_pack(folder)
        if dataset is None:
            raise DataError(f"{folder}: the pack was damaged while it was written; check the disk")
        remember(entry, stamp, folder.name, found.location)
    _log.info(describe(dataset, time.perf_counter() - started))
    return dataset


def describe(dataset: Dataset, seconds: float) -> str:
    """One line on a fresh pack."""
    height, width, channels = dataset.image_shape
    counts = " + ".join(f"{count:,} {name}" for name, count in dataset.counts().items())
    left_out = len(dataset.manifest["quarantined"])
    chosen = " chosen" if dataset.manifest["options"].get("classes") else ""
    left_alone = dataset.manifest.get("left_alone", 0)
    return (
        f"{dataset.name}: {len(dataset):,} images of {len(dataset.class_names)}{chosen} classes, {height} x {width} x "
        f"{channels}, {counts}; packed in {seconds:.1f} s"
        + (f"; {left_out} bad file(s) left out" if left_out else "")
        + (f"; {left_alone:,} other file(s) ignored (see: convtrials data check)" if left_alone else "")
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
