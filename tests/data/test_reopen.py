from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convtrials.core.errors import DataError
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset, reopen_dataset, source_name


def record_of(dataset: Dataset) -> dict[str, object]:
    return {
        "name": dataset.name,
        "source": source_name(dataset),
        "options": dataset.manifest["options"],
        "fingerprint": dataset.fingerprint,
        "pack": str(dataset.folder),
    }


@pytest.fixture
def archive(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> Path:
    data = make_dataset()
    np.savez(tmp_path / "patterns.npz", images=data.images, labels=data.labels)
    return tmp_path / "patterns.npz"


def test_the_pack_is_enough(archive: Path) -> None:
    record = record_of(load_dataset(archive, split_seed=3))
    archive.unlink()
    assert reopen_dataset(record).fingerprint == record["fingerprint"]


def test_without_the_pack_the_source_is_packed_again_with_the_same_options(archive: Path) -> None:
    dataset = load_dataset(archive, split_seed=3, image_size=9)
    record = {**record_of(dataset), "pack": None}
    again = reopen_dataset(record)
    assert again.fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(again.split, dataset.split)


def test_a_place_it_moved_to(archive: Path, tmp_path: Path) -> None:
    record = {**record_of(load_dataset(archive)), "pack": None}
    moved = archive.rename(tmp_path / "moved.npz")
    with pytest.raises(DataError, match="no such file"):
        reopen_dataset(record)
    assert reopen_dataset(record, source=moved).fingerprint == record["fingerprint"]


def test_changed_data_is_refused(archive: Path, make_dataset: Callable[..., Dataset]) -> None:
    record = {**record_of(load_dataset(archive)), "pack": None}
    other = make_dataset(seed=9)
    np.savez(archive, images=other.images, labels=other.labels)
    with pytest.raises(DataError, match="has changed since"):
        reopen_dataset(record)


def test_built_in_sources_keep_their_names() -> None:
    assert source_name(load_dataset("glyphs", samples_per_class=10)) == "glyphs"


def test_data_made_in_memory_cannot_be_opened_again(make_dataset: Callable[..., Dataset]) -> None:
    assert source_name(make_dataset()) is None
    with pytest.raises(DataError, match="made in memory"):
        reopen_dataset({"name": "patterns", "fingerprint": "x"})
