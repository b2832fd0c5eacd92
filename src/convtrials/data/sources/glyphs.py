"""The built-in dataset: 36 characters drawn from the typefaces that matplotlib ships, distorted until they are hard.

Image i shows character i mod 36. Every image depends on i alone, so that a smaller set is the beginning of a larger one
and any range can be drawn by itself.
"""

import hashlib
from functools import lru_cache
from importlib.metadata import version
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.data.sources.base import BadImage, Listing
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.glyphs_distortion import DISTORTION, SIDE, Draws, draw
from convtrials.data.sources.glyphs_drawing import draw_images
from convtrials.data.sources.glyphs_typefaces import CHARACTERS, FIELD_SIDE, TYPEFACES, distance_fields
from convtrials.data.sources.images import fit_images

#: Goes up when the same index means another image.
VERSION = 1
#: As many as EMNIST Balanced has of each class.
DEFAULT_SAMPLES = 2800
MOST_SAMPLES = 1_000_000

#: Images that share a random stream. Small enough for the arrays of a block to stay near the processor.
_BLOCK = 252
#: Coprime to the number of typefaces: neighbouring images of a class come from unlike typefaces.
_STRIDE = 8


class GlyphsSource:
    """The glyphs dataset.

    Parameters
    ----------
    samples_per_class : int
        Images of each of the 36 classes, from 1 to 1,000,000.

    Raises
    ------
    DataError
        If `samples_per_class` is out of range.

    Examples
    --------
    >>> source = GlyphsSource(samples_per_class=12)
    >>> source.location
    'glyphs?v1&samples_per_class=12'
    >>> images, bad = source.read(0, 36, Frame((28, 28, 1)))
    >>> images.shape, bad
    ((36, 28, 28, 1), [])
    """

    takes: ClassVar[frozenset[str]] = frozenset()
    name = "glyphs"

    def __init__(self, samples_per_class: int = DEFAULT_SAMPLES):
        if not 1 <= samples_per_class <= MOST_SAMPLES:
            raise DataError(
                f"samples_per_class is {samples_per_class}: allowed are 1 to {MOST_SAMPLES:,} images per class"
            )
        self.samples_per_class = samples_per_class
        self.location = f"glyphs?v{VERSION}&samples_per_class={samples_per_class}"

    def stamp(self) -> str:
        """Version, strengths of the distortions, and the libraries: all that decides the bits of the images."""
        strengths = hashlib.blake2b(repr(DISTORTION).encode(), digest_size=8).hexdigest()
        # matplotlib brings the typefaces and the FreeType that draws them, NumPy the random draws
        libraries = " ".join(f"{name} {version(name)}" for name in ("matplotlib", "numpy"))
        return f"glyphs v{VERSION} {strengths} {libraries}"

    def scan(self) -> Listing:
        """List class and typeface of every image; draws nothing."""
        labels, typefaces = _what(np.arange(len(CHARACTERS) * self.samples_per_class))
        return Listing(
            class_names=tuple(CHARACTERS),
            labels=labels,
            native_shape=(SIDE, SIDE, 1),
            groups=typefaces.astype(np.int32),
            group_names=TYPEFACES,
            group_kind="typeface",
            groups_are_sampled=False,
        )

    def read(self, start: int, stop: int, frame: Frame) -> tuple[NDArray[np.uint8], list[BadImage]]:
        """Draw images ``start:stop``, resized where the frame is not (28, 28, 1); none can fail."""
        total = len(CHARACTERS) * self.samples_per_class
        if not 0 <= start <= stop <= total:
            raise DataError(f"glyphs: images {start} to {stop} do not exist: there are {total:,}")
        images = np.empty((stop - start, SIDE, SIDE, 1), np.uint8)
        for block in range(start // _BLOCK, -(-stop // _BLOCK)):
            first = block * _BLOCK
            low, high = max(start, first), min(stop, first + _BLOCK)
            images[low - start : high - start, :, :, 0] = _draw(block, slice(low - first, high - first))
        return fit_images(images, frame), []


def _what(indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Class and typeface of images: both run round evenly, whatever the number of samples."""
    labels, samples = indices % len(CHARACTERS), indices // len(CHARACTERS)
    return labels, (_STRIDE * samples + labels) % len(TYPEFACES)


def _draw(block: int, images: slice) -> NDArray[np.uint8]:
    """Draw some images of one block, shape (n, 28, 28)."""
    fields = distance_fields().reshape(-1, FIELD_SIDE, FIELD_SIDE)
    labels, typefaces = _what(np.arange(block * _BLOCK, (block + 1) * _BLOCK)[images])
    return draw_images(fields, labels * len(TYPEFACES) + typefaces, _draws(block).part(images))


@lru_cache(maxsize=2)
def _draws(block: int) -> Draws:
    """Make the random numbers of a block once, however many ranges of it are asked for."""
    return draw(block, _BLOCK)
