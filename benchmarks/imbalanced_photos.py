"""Pictures like photographs, with classes of very different size, to try what helps there.

    python benchmarks/imbalanced_photos.py OUT

Writes OUT/train with 500, 200, 100, 40 and 10 images of five classes and OUT/test with 100 of each, as JPEG files from
200x300 to 1000x800 pixels, upright and lying. What shows the class covers a part of the picture, anywhere in it.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

#: Images to train on; rarest last.
TRAIN = {"balls": 500, "bricks": 200, "leaves": 100, "stripes": 40, "waves": 10}
TEST = 100


def background(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Clouds of colour: noise whose power falls with frequency, as in natural pictures (Field 1987)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    spectrum = 1 / np.maximum(frequency, 1 / max(height, width)) ** generator.uniform(1.2, 1.8)
    grey = np.fft.irfft2(spectrum * np.exp(2j * np.pi * generator.random(spectrum.shape)), (height, width))
    grey = (grey - grey.min()) / np.ptp(grey)
    low, high = generator.integers(0, 256, (2, 3))
    return low + (high - low) * grey[..., None]


def colours(generator: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two colours that differ."""
    while True:
        one, two = generator.integers(0, 256, (2, 3))
        if np.abs(one - two).sum() > 200:
            return tuple(one.tolist()), tuple(two.tolist())


def pattern(name: str, generator: np.random.Generator, side: int) -> Image.Image:
    """What shows the class, RGBA, side x side."""
    image = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(image)
    one, two = colours(generator)
    step = side // int(generator.integers(4, 7))
    if name == "balls":
        for _ in range(int(generator.integers(2, 5))):
            x, y, r = generator.uniform([0.2, 0.2, 0.12], [0.8, 0.8, 0.25]) * side
            pen.ellipse([x - r, y - r, x + r, y + r], fill=one)
            pen.ellipse([x - r / 2, y - r / 2, x, y], fill=two)
    elif name == "bricks":
        pen.rectangle([0, 0, side, side], fill=one)
        for row in range(0, side, step):
            pen.line([0, row, side, row], fill=two, width=max(2, step // 8))
            for column in range((row // step % 2) * step, side, 2 * step):
                pen.line([column, row, column, row + step], fill=two, width=max(2, step // 8))
    elif name == "leaves":
        for _ in range(int(generator.integers(3, 6))):
            leaf = Image.new("RGBA", (side, side))
            drawn = ImageDraw.Draw(leaf)
            x, y = generator.uniform(0.25, 0.75, 2) * side
            drawn.ellipse([x - side / 4, y - side / 12, x + side / 4, y + side / 12], fill=one)
            drawn.line([x - side / 4, y, x + side / 4, y], fill=two, width=max(2, side // 40))
            image.alpha_composite(leaf.rotate(float(generator.uniform(0, 360)), center=(x, y)))
    else:
        across = np.arange(side)
        for row in range(-side, 2 * side, step):
            bend = step / 2 * np.sin(across * 2 * np.pi / (2 * step)) if name == "waves" else 0 * across
            points = [(float(x), float(row + y)) for x, y in zip(across, bend, strict=True)]
            pen.line(points, fill=one if row // step % 2 else two, width=max(3, step // 3))
        image = image.rotate(float(generator.uniform(0, 180)))
    return image


def photograph(name: str, generator: np.random.Generator) -> Image.Image:
    """One picture of a class."""
    sides = int(generator.integers(200, 801)), int(generator.integers(300, 1001))
    height, width = sides if generator.random() < 0.7 else sides[::-1]
    image = Image.fromarray(background(generator, height, width).astype(np.uint8)).convert("RGBA")
    side = int(min(height, width) * generator.uniform(0.45, 0.8))
    place = int(generator.integers(0, width - side + 1)), int(generator.integers(0, height - side + 1))
    image.alpha_composite(pattern(name, generator, side), place)
    light = np.linspace(*generator.uniform(0.6, 1.2, 2), width)[None, :, None]
    values = np.asarray(image.convert("RGB")) * light + generator.normal(0, 8, (height, width, 3))
    blurred = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    return blurred.filter(ImageFilter.GaussianBlur(float(generator.uniform(0, 1.5))))


def write(folder: Path, counts: dict[str, int], generator: np.random.Generator) -> None:
    """Write so many pictures of each class."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture = photograph(name, generator)
            picture.save(folder / name / f"IMG_{number:04d}.jpg", quality=int(generator.integers(70, 95)))


def main() -> None:
    """Write both folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    generator = np.random.default_rng(20261128)
    write(given.out / "train", TRAIN, generator)
    write(given.out / "test", dict.fromkeys(TRAIN, TEST), generator)


if __name__ == "__main__":
    main()
