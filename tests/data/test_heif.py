"""Photos of phones: HEIC where the package for it is installed, else a refusal that names it."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.data.open import load_dataset
from convtrials.data.sources import images


def heic(path: Path, seed: int, orientation: int | None = None) -> None:
    heif = pytest.importorskip("pillow_heif")
    values = np.zeros((32, 48, 3), np.uint8)
    values[: 8 * (1 + seed % 3)] = (200, 40 * (seed % 5), 90)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    heif.from_pillow(Image.fromarray(values)).save(path, quality=95, exif=exif.tobytes())


def test_heic_is_read_as_other_photos_are(tmp_path: Path) -> None:
    for number in range(12):
        heic(tmp_path / "set" / "ab"[number % 2] / f"{number}.HEIC", number)
    data = load_dataset(tmp_path / "set")
    assert data.image_shape == (32, 48, 3)
    top = data.images[:, 2, 20].astype(int)
    assert np.abs(top[:, 0] - 200).max() < 12
    renamed = tmp_path / "set" / "a" / "named.jpg"
    heic(tmp_path / "one.heic", 1)
    renamed.write_bytes((tmp_path / "one.heic").read_bytes())
    assert len(load_dataset(tmp_path / "set")) == 13


def test_without_the_package_the_refusal_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(path)
    heic(tmp_path / "set" / "a" / "photo.heic", 1)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(images, "_register_heif", images._register_heif.__wrapped__)
    for kind in ("HEIF", "AVIF"):
        monkeypatch.delitem(Image.OPEN, kind, raising=False)
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind in Image.OPEN])
    with pytest.raises(DataError, match=r"photo\.heic: HEIC needs the package pillow-heif"):
        load_dataset(tmp_path / "set")
    assert len(load_dataset(tmp_path / "set", skip_bad=True)) == 8


def test_a_broken_heic_is_a_bad_file() -> None:
    from convtrials.data.sources.frame import Frame

    with pytest.raises(images.UnreadableImageError):
        images.decode_image(b"\0\0\0\x18ftypheic" + bytes(100), Frame((8, 8, 3)))
