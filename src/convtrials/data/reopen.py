"""Open again the dataset that a run was trained on, from what the run's ``dataset.json`` says of it."""

from pathlib import Path
from typing import Any

from convtrials.core.errors import DataError
from convtrials.data.dataset import Dataset
from convtrials.data.open import BUILT_IN, load_dataset
from convtrials.data.store import open_pack


def source_name(dataset: Dataset) -> str | None:
    """Say what `load_dataset` would take for this dataset: a built-in name or a path; None if made in memory."""
    location: str | None = dataset.manifest.get("location")
    if location is None:
        return None
    name = location.partition("?")[0]
    return name if name in BUILT_IN else location


def reopen_dataset(
    record: dict[str, Any], *, source: str | Path | None = None, silent: bool = False
) -> Dataset:
    """Open the dataset that ``record`` describes.

    Parameters
    ----------
    record : dict
        ``pack`` (folder or None), ``source``, ``options`` of `load_dataset`, ``fingerprint``.
    source : str or Path, optional
        Where the data is now, if it has moved.
    silent : bool
        Show no progress.

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
    dataset = load_dataset(place, **(record.get("options") or {}), silent=silent)
    if dataset.fingerprint != record["fingerprint"]:
        raise DataError(
            f"{place}: the data has changed since the run began "
            f"(fingerprint {dataset.fingerprint[:12]}, recorded {record['fingerprint'][:12]})"
        )
    return dataset
