"""The data of a benchmark, written for all contestants: arrays, the network's description, and PNG files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.race.errors import BenchError
from benchmarks.race.network import IMAGE_SIZE, describe_network
from convtrials.core.files import write_text
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset

#: At most so many training images are taken: speed does not depend on more.
MOST_IMAGES = 4096

#: Images of each class that a source is asked for; the training split has 70% of them.
SAMPLES_PER_CLASS = 200


def open_data(source: str) -> Dataset:
    """Open a built-in dataset or a path, scaled to the size of the networks that are compared."""
    return load_dataset(source, image_size=IMAGE_SIZE, samples_per_class=SAMPLES_PER_CLASS)


def training_images(data: Dataset, batch_size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and labels of the training split: a whole number of batches, all classes mixed.

    Raises
    ------
    BenchError
        There are fewer than two batches.
    """
    chosen = data.indices("train")
    chosen = np.random.default_rng(0).permutation(chosen)[:MOST_IMAGES]
    whole = len(chosen) // batch_size * batch_size
    if whole < 2 * batch_size:
        raise BenchError(
            f"--batch-size {batch_size}: {data.name} gives {len(chosen):,} training images here, and two batches "
            "are needed"
        )
    chosen = np.sort(chosen[:whole])  # ascending: so a memory map is read once from end to end
    mixed = np.random.default_rng(1).permutation(whole)
    return np.asarray(data.images[chosen])[mixed], data.labels[chosen][mixed].astype(np.int64)


def write_data(
    folder: Path, data: Dataset, *, model: str, width: float, batch_size: int, files: bool
) -> dict[str, Any]:
    """Write what contestants read, and return the network's description.

    Parameters
    ----------
    folder : Path
        Gets ``images.npy`` (uint8, (N, H, W, C)), ``labels.npy`` (int64), ``network.json``, and with `files`
        ``png/CLASS/NUMBER.png``.
    model, width
        Which network.
    files : bool
        Whether PNG files are needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = describe_network(
        model, width=width, channels=data.image_shape[2], classes=len(data.class_names)
    )
    images, labels = training_images(data, batch_size)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    write_text(folder / "network.json", json.dumps(network))
    if files:
        write_png_files(folder / "png", images, labels)
    return network


def write_png_files(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Write images into a folder per class, as tutorials have them."""
    from PIL import Image

    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / f"{label:04d}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = image[:, :, 0] if image.shape[2] == 1 else image
        Image.fromarray(pixels).save(place / f"{number:06d}.png")
