"""How fast images are packed from each form that people have them in, and how fast the pack opens again.

    python benchmarks/packing.py [--images 100800] [--from DATASET ...] [--forms folder zip ...] [--repeat 1]

Images are those of the datasets named (built-in names or paths), one after another, until there are enough: real
characters, and glyphs for the rest. Each form is packed in a process of its own, for its peak memory.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

FORMS = ("folder", "zip", "tar", "tar.gz", "parquet", "csv")


def images_of(sources: list[str], count: int) -> tuple[np.ndarray, list[str]]:
    """The first `count` images of some datasets, (count, 28, 28), and the names of their classes."""
    from convtrials.core.log import quiet
    from convtrials.data.open import load_dataset

    images: list[np.ndarray] = []
    labels: list[str] = []
    for source in sources:
        with quiet():
            data = load_dataset(source)
        # Evenly over the whole, which may be sorted by class.
        wanted = np.linspace(0, len(data), min(len(data), count - len(labels)), endpoint=False).astype(int)
        images.append(data.images[wanted, :, :, 0])
        labels += [data.class_names[label] for label in data.labels[wanted]]
    return np.concatenate(images), labels


def png_files(images: np.ndarray, labels: list[str]) -> Iterator[tuple[str, bytes]]:
    """Name, in class folders below ``cnn_dataset``, and bytes of each image as PNG."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        yield f"cnn_dataset/{label}/{number:06d}.png", out.getvalue()


def write(form: str, place: Path, images: np.ndarray, labels: list[str]) -> Path:
    """Write the images in one form; return what to open."""
    if form == "folder":
        for name, data in png_files(images, labels):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        return place / "cnn_dataset"
    path = place / f"cnn_dataset.{form}"
    if form == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in png_files(images, labels):
                archive.writestr(name, data)
    elif form.startswith("tar"):
        with tarfile.open(path, "w:gz" if form.endswith("gz") else "w") as archive:
            for name, data in png_files(images, labels):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    elif form == "parquet":
        import pandas

        pictures = [{"bytes": data, "path": name} for name, data in png_files(images, labels)]
        pandas.DataFrame({"image": pictures, "label": labels}).to_parquet(path)
    else:
        import pandas

        pixels = pandas.DataFrame(
            images.reshape(len(images), -1), columns=[f"pixel{place}" for place in range(784)]
        )
        pixels.insert(0, "label", labels)
        pixels.to_csv(path, index=False)
    return path


def pack(path: Path) -> None:
    """Pack into the cache of this process, open again, and print one line."""
    from convtrials.core.log import quiet
    from convtrials.data.open import load_dataset

    peak = PeakMemory()
    with quiet(), peak:
        started = time.perf_counter()
        data = load_dataset(path)
        packed = time.perf_counter() - started
    started = time.perf_counter()
    again = load_dataset(path)
    opened = time.perf_counter() - started
    assert again.fingerprint == data.fingerprint
    print(
        f"{path.name:22} {len(data):>8,} images, {len(data.class_names)} classes: packed in {packed:6.2f} s "
        f"({len(data) / packed:,.0f} images/s), second open {opened * 1000:4.0f} ms, peak memory "
        f"{peak.bytes / 2**20:,.0f} MiB over all processes; fingerprint {data.fingerprint[:8]}"
    )


class PeakMemory:
    """Watches the memory of this process and its children: what each has for itself, shared pages left out."""

    def __enter__(self) -> "PeakMemory":
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        here = psutil.Process()
        while not self._done.wait(0.05):
            total = 0
            for process in [here, *here.children(recursive=True)]:
                try:
                    total += process.memory_full_info().uss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)


def main() -> None:
    """Make, pack, open again, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_800)
    parser.add_argument("--from", dest="sources", nargs="+", default=["glyphs"], metavar="DATASET")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--pack", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pack is not None:
        pack(given.pack)
        return
    images, labels = images_of(given.sources, given.images)
    with tempfile.TemporaryDirectory() as temporary:
        for form in given.forms:
            place = Path(temporary) / form
            place.mkdir()
            path = write(form, place, images, labels)
            for turn in range(given.repeat):
                environment = os.environ | {"CONVTRIALS_CACHE": str(place / f"cache{turn}")}
                subprocess.run([sys.executable, __file__, "--pack", str(path)], env=environment, check=True)


if __name__ == "__main__":
    main()
