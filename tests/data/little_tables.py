"""Small tables of images, as people have them."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convtrials.core.errors import DataError
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset

RANDOM = np.random.default_rng(7)
PIXELS = RANDOM.integers(0, 256, (40, 6, 6), dtype=np.uint8)
CLASSES = ("cat", "dog", "owl", "elk")


def write_csv(path: Path, rows: Iterable[Sequence[Any]], header: Sequence[str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(header)
        writer.writerows(rows)
    return path


def write_images(folder: Path, count: int = 40, ending: str = "png") -> list[str]:
    """Write ``000.png`` and so on; the pixels are `PIXELS`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03d}.{ending}" for number in range(count)]
    for name, image in zip(names, PIXELS, strict=False):
        Image.fromarray(image).save(folder / name)
    return names


def labels(count: int = 40) -> list[str]:
    return [CLASSES[number % 4] for number in range(count)]


def pixel_rows(pixels: np.ndarray, own: Iterable[Any]) -> list[list[Any]]:
    return [[label, *image.ravel().tolist()] for label, image in zip(own, pixels, strict=True)]


def refusal(path: Path, **options: Any) -> str:
    try:
        load_dataset(path, **options)
    except DataError as error:
        text = str(error)
        assert len(text.splitlines()) <= 3
        return text
    raise AssertionError("not refused")


def check_pixels(data: Dataset, pixels: np.ndarray = PIXELS) -> None:
    np.testing.assert_array_equal(data.images[..., 0] if pixels.ndim == 3 else data.images, pixels)
