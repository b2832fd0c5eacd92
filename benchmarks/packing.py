"""How fast a folder of small PNG files is packed, and how fast the pack opens the second time.

    python benchmarks/packing.py [--images 100800] [--repeat 3]

Draws glyph-like random strokes (so that files are about as long as those of real characters) into a temporary
folder of 36 class folders, packs it, opens it again.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CLASSES = 36


def stroke_image(generator: np.random.Generator) -> Image.Image:
    """A grey 28x28 image of a few blurred strokes."""
    image = Image.new("L", (28, 28))
    pen = ImageDraw.Draw(image)
    for _ in range(int(generator.integers(1, 4))):
        pen.line([tuple(point) for point in generator.integers(3, 25, (3, 2)).tolist()], fill=255, width=3)
    return image.filter(ImageFilter.GaussianBlur(0.7))


def make_folder(folder: Path, count: int) -> None:
    """Write ``count`` different PNG files in 36 class folders."""
    generator = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class{label:02d}").mkdir(parents=True)
    for number in range(count):
        stroke_image(generator).save(folder / f"class{number % CLASSES:02d}" / f"{number:06d}.png")


def main() -> None:
    """Make, pack, open again, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_800)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, default=None, help="keep the made images here for the next time"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "images"
        if not folder.exists():
            make_folder(folder, given.images)
        for turn in range(given.repeat):
            os.environ["CONVTRIALS_CACHE"] = str(Path(temporary) / f"cache{turn}")
            measure(folder)


def processor_seconds() -> float:
    """Seconds of processor time of this process and those that it ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def measure(folder: Path) -> None:
    """Pack into an empty cache, open again; processor time beside wall time shows whether the machine was busy."""
    from convtrials.data.open import load_dataset

    started, before = time.perf_counter(), processor_seconds()
    data = load_dataset(folder)
    packed, busy = time.perf_counter() - started, processor_seconds() - before
    started = time.perf_counter()
    again = load_dataset(folder)
    opened = time.perf_counter() - started
    assert again.fingerprint == data.fingerprint
    print(
        f"{len(data):,} PNG files, {data.image_shape}: packed in {packed:.2f} s ({busy:.2f} s of processor time), "
        f"{len(data) / packed:,.0f} images/s; second open {opened * 1000:.0f} ms"
    )


if __name__ == "__main__":
    main()
