"""How many planted near-duplicates `convtrials data check` finds, what else it lists, and what it costs.

    python benchmarks/near_duplicates.py [--images 50000] [--pairs 200] [--of photographs|glyphs|FOLDER] [--seed 7]
    python benchmarks/near_duplicates.py --hashes 1000000

Photograph-like images of 64 to 128 pixels are made ("dead leaves": overlapping shapes of all sizes, as in Lee, Mumford
and Huang 2001, with textures of 1/f spectra); or images of `glyphs`, or of a folder of IDX files such as emnist36, are
written as PNG. Of some in train, changed copies are put into test. With --hashes, the search alone is timed, on random
hashes with planted pairs that differ in 0 to 6 bits.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHIFT = 2
MARGIN = 2 * SHIFT
_FIELD = 512


def textures(generator: np.random.Generator) -> np.ndarray:
    """Four noise fields of spectra between 1/f and 1/f**2, mean 0 and deviation 1, shape (4, 512, 512)."""
    down, right = np.fft.fftfreq(_FIELD)[:, None], np.fft.rfftfreq(_FIELD)[None]
    frequency = np.hypot(down, right)
    frequency[0, 0] = np.inf
    fields = []
    for power in (0.8, 1.1, 1.4, 2.0):
        noise = generator.normal(size=frequency.shape) + 1j * generator.normal(size=frequency.shape)
        field = np.fft.irfft2(noise / frequency**power, s=(_FIELD, _FIELD))
        fields.append(field / field.std())
    return np.stack(fields)


def photograph(generator: np.random.Generator, fields: np.ndarray) -> np.ndarray:
    """One image with a margin of `MARGIN` pixels around, uint8 (H, W, 3); crowded or nearly empty, strong or pale."""
    size = int(generator.integers(64, 129)) + 2 * MARGIN
    image = Image.new("RGB", (size, size), tuple(generator.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(int(generator.integers(1, 60))):
        radius = min(size / 2, size * 0.03 / generator.random() ** 0.6)
        x, y = generator.random(2) * size
        colour = tuple(generator.integers(0, 256, 3).tolist())
        if generator.random() < 0.5:
            flat = radius * generator.uniform(0.4, 1)
            pen.ellipse([x - radius, y - flat, x + radius, y + flat], fill=colour)
        else:
            corners = np.sort(generator.random(int(generator.integers(3, 7)))) * 2 * np.pi
            pen.polygon([(x + radius * np.cos(a), y + radius * np.sin(a)) for a in corners], fill=colour)
    pixels = np.asarray(image, np.float64) * generator.uniform(0.1, 1)
    for field, strength in ((int(generator.integers(3)), 25), (3, 40)):
        top, left = generator.integers(0, _FIELD - size, 2)
        pixels += (fields[field, top : top + size, left : left + size] * generator.uniform(0, strength))[
            ..., None
        ]
    pixels += generator.uniform(80, 170) - pixels.mean()
    return np.clip(pixels, 0, 255).astype(np.uint8)


def middle(image: np.ndarray, down: int = 0, right: int = 0) -> Image.Image:
    """Cut the margin off, at a shift."""
    size = image.shape[0] - 2 * MARGIN
    cut = image[MARGIN + down : MARGIN + down + size, MARGIN + right : MARGIN + right + size]
    return Image.fromarray(cut)


def resized(image: np.ndarray, factor: float) -> Image.Image:
    plain = middle(image)
    return plain.resize((round(plain.width * factor),) * 2, Image.Resampling.BILINEAR)


def compressed(image: np.ndarray) -> Image.Image:
    file = io.BytesIO()
    middle(image).save(file, "JPEG", quality=50)
    return Image.open(file)


def brighter(image: np.ndarray, factor: float, offset: float) -> Image.Image:
    changed = np.asarray(middle(image), np.float64) * factor + offset
    return Image.fromarray(np.clip(changed, 0, 255).astype(np.uint8))


CHANGES: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "half the size": lambda image: resized(image, 0.5),
    "3/4 of the size": lambda image: resized(image, 0.75),
    "1.5 times the size": lambda image: resized(image, 1.5),
    "JPEG quality 50": compressed,
    "shifted by 2 pixels": lambda image: middle(image, 0, SHIFT),
    "shifted by 2 and 2 pixels": lambda image: middle(image, SHIFT, -SHIFT),
    "darker (x 0.7)": lambda image: brighter(image, 0.7, 0),
    "brighter (+ 40, clipped)": lambda image: brighter(image, 1, 40),
}


def write_part(task: tuple[Path, int, range, int, int, np.ndarray | None]) -> list[tuple[str, str, str]]:
    """Write images of a range, and changed copies of every so-manieth; return (change, file, copy)."""
    folder, seed, numbers, every, planted, images = task
    fields = textures(np.random.default_rng([seed, 0]))
    names = list(CHANGES)
    pairs = []
    for number in numbers:
        if images is None:
            image = photograph(np.random.default_rng([seed, 1, number]), fields)
        else:
            edge = ((MARGIN, MARGIN), (MARGIN, MARGIN))
            image = np.pad(images[number - numbers.start], edge, mode="edge")
        file = f"class{number % 10}/{number:06d}.png"
        middle(image).save(folder / "train" / file, compress_level=1)
        if number % every == 0 and number // every < planted:
            change = names[(number // every) % len(names)]
            CHANGES[change](image).save(folder / "test" / file, compress_level=1)
            pairs.append((change, f"train/{file}", f"test/{file}"))
    return pairs


def make_folder(folder: Path, count: int, planted: int, seed: int, of: str) -> list[tuple[str, str, str]]:
    """Write the dataset; return what was planted."""
    for part in ("train", "test"):
        for label in range(10):
            (folder / part / f"class{label}").mkdir(parents=True)
    images = None if of == "photographs" else characters(of, count, seed)
    count = count if images is None else len(images)
    every, step = count // planted, 2000
    tasks = []
    for start in range(0, count, step):
        own = range(start, min(start + step, count))
        part = None if images is None else images[own.start : own.stop]
        tasks.append((folder, seed, own, every, planted, part))
    with Pool() as pool:
        return [pair for pairs in pool.map(write_part, tasks, chunksize=1) for pair in pairs]


def characters(of: str, count: int, seed: int) -> np.ndarray:
    """Grey images of a source, chosen at random, shape (n, H, W)."""
    from convtrials.data.options import DatasetOptions
    from convtrials.data.sources.find import find_source
    from convtrials.data.sources.frame import Frame

    source = find_source(of, DatasetOptions())
    listing = source.scan()
    total = len(listing.labels)
    frame = Frame(listing.native_shape)
    pixels = np.concatenate(
        [source.read(at, min(at + 2520, total), frame)[0] for at in range(0, total, 2520)]
    )
    return pixels[np.random.default_rng(seed).permutation(total)[:count], :, :, 0]


def measure(folder: Path, planted: list[tuple[str, str, str]]) -> None:
    """Check the folder in a process of its own; print what it found and what it cost."""
    command = [sys.executable, "-m", "convtrials", "data", "check", str(folder), "--json"]
    for extra in (["--no-near"], []):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        answer = subprocess.run([*command, *extra], capture_output=True, text=True, check=False)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"data check {' '.join(extra) or '--near'}: {seconds:.0f} s, {processor:.0f} s of processor time, peak "
            f"memory of one process {after.ru_maxrss / 1024:.0f} MiB"
        )
    facts = json.loads(answer.stdout)
    found = {frozenset(pair["files"]): pair for pair in facts["near_pairs"]}
    same = {
        frozenset(item.split(" = "))
        for finding in facts["findings"]
        if finding["kind"] == "leakage"
        for item in finding["items"]
    }
    print(f"{'change':28} planted  found  certain  median distance")
    for change in CHANGES:
        own = [frozenset(pair[1:]) for pair in planted if pair[0] == change]
        listed = [found[pair] for pair in own if pair in found]
        equal = sum(pair in same for pair in own)
        distance = np.median([pair["distance"] for pair in listed]) if listed else float("nan")
        certain = sum(pair["certain"] for pair in listed)
        print(f"{change:28} {len(own):7} {len(listed) + equal:6} {certain + equal:8} {distance:10.3f}")
    wanted = {frozenset(pair[1:]) for pair in planted}
    others = [pair for key, pair in found.items() if key not in wanted]
    print(f"not planted: {len(others)} pairs, of them called certain {sum(p['certain'] for p in others)}")
    for pair in others[:10]:
        print("   ", *pair["files"], pair["distance"], pair["correlation"])
    for finding in facts["findings"]:
        if finding["kind"] == "not-compared":
            print("   ", finding["summary"])


def measure_hashes(count: int, seed: int) -> None:
    """Time the search on random hashes; 10,000 planted pairs."""
    from convtrials.data.near.candidates import similar_hashes
    from convtrials.data.near.thumbnails import SHIFTS

    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 1 << 64, (count, len(SHIFTS)), np.uint64, endpoint=False)
    rows = generator.permutation(count)[:20_000].reshape(-1, 2)
    bits = np.arange(len(rows)) % 7
    flips = np.zeros(len(rows), np.uint64)
    for place, number in enumerate(bits):
        for bit in generator.permutation(64)[:number]:
            flips[place] |= np.uint64(1) << np.uint64(bit)
    hashes[rows[:, 1]] = hashes[rows[:, 0]] ^ flips[:, None]
    before, started, busy = (
        resource.getrusage(resource.RUSAGE_SELF),
        time.perf_counter(),
        time.process_time(),
    )
    found = similar_hashes(hashes)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{count:,} hashes: {seconds:.1f} s, {busy:.1f} s of processor time; peak memory {peak / 1024:.0f} MiB, "
        f"{before.ru_maxrss / 1024:.0f} MiB before"
    )
    keys = set((found.first * count + found.second).tolist())
    for number in range(7):
        own = [min(a, b) * count + max(a, b) for a, b in rows[bits == number].tolist()]
        print(f"   pairs of {number} bits: {sum(key in keys for key in own)} of {len(own)} found")
    print(f"   {len(found.first):,} pairs in all")


def main() -> None:
    """Make, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--of", default="photographs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--hashes", type=int, default=None, help="time the search alone on so many")
    given = parser.parse_args()
    if given.hashes is not None:
        measure_hashes(given.hashes, given.seed)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        planted = make_folder(folder, given.images, given.pairs, given.seed, given.of)
        measure(folder, planted)


if __name__ == "__main__":
    main()
