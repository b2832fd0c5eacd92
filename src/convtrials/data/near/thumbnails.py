"""What is kept of an image to compare it with others: a small thumbnail, and perceptual hashes of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Pixels per side of the grey thumbnail: what pHash reads.
SIDE = 32
#: Pixels per side of the two planes of colour.
COLOUR_SIDE = 8
#: Bytes of one thumbnail: grey, then blue-yellow and red-green.
THUMBNAIL_BYTES = SIDE * SIDE + 2 * COLOUR_SIDE * COLOUR_SIDE

_LOW = 8
_MOST_SHIFT = 2
#: Shifts (down, right) in thumbnail pixels whose hashes are looked up. One of each opposite pair is enough: that a
#: shifted to the left is like b is found as b, shifted to the right, that is like a.
SHIFTS = ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (2, 2), (2, -2))

#: Deviation of a thumbnail, in grey levels of 255, below which nothing is on it to compare.
FLAT_BELOW = 3.0


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Thumbnails of a block of images.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (n, `THUMBNAIL_BYTES`)
        To be split by `grey_of` and `colour_of`.
    hashes : ndarray of uint64, shape (n, len(`SHIFTS`))
        pHash of the grey thumbnail, and of the thumbnail shifted.
    flat : ndarray of bool, shape (n,)
        Images of one grey all over, whose hash would be that of noise.
    """

    pixels: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    flat: NDArray[np.bool_]


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink (or enlarge) one image to a thumbnail.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        C is 1 or 3.

    Returns
    -------
    ndarray of uint8, shape (`THUMBNAIL_BYTES`,)
        Resized to a square as imagehash's ``phash`` does; the planes of colour are Cb and Cr.
    """
    found = np.full(THUMBNAIL_BYTES, 128, np.uint8)
    grey = image.shape[2] == 1
    picture = Image.fromarray(image[..., 0] if grey else image)
    small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    found[: SIDE * SIDE] = np.asarray(small).reshape(-1)
    if not grey:
        planes = picture.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX).convert("YCbCr")
        found[SIDE * SIDE :] = np.moveaxis(np.asarray(planes)[..., 1:], 2, 0).reshape(-1)
    return found


def grey_of(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey planes of thumbnails, shape (n, `SIDE`, `SIDE`)."""
    return thumbnails[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE).astype(np.float32)


def colour_of(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colour planes of thumbnails around 0, shape (n, 2 * `COLOUR_SIDE` ** 2)."""
    return thumbnails[:, SIDE * SIDE :].astype(np.float32) - 128


def hashed(pixels: list[NDArray[np.uint8]]) -> Thumbnails:
    """Hash the thumbnails of a block of images, each as `thumbnail` makes it."""
    stacked = np.stack(pixels) if pixels else np.empty((0, THUMBNAIL_BYTES), np.uint8)
    grey = stacked[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)
    return Thumbnails(stacked, perceptual_hashes(grey), grey.std((1, 2)) < FLAT_BELOW)


def perceptual_hashes(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash grey thumbnails as they are, and shifted: 64 bits each (pHash, Zauner 2010).

    The 8 by 8 lowest frequencies of the cosine transform, each above the median of all or not. The first column is
    what ``imagehash.phash`` gives, bit by bit (a test compares them). That library hashes image by image, 77 µs for one
    hash of a 28 by 28 image and nine times that for nine; here thumbnail and nine hashes take 76 µs (36 and 40, same
    machine and run), in two matrix products for a whole block. And its import brings PyWavelets along.

    Parameters
    ----------
    grey : ndarray of uint8, shape (n, `SIDE`, `SIDE`)

    Returns
    -------
    ndarray of uint64, shape (n, len(`SHIFTS`))
    """
    margin = _MOST_SHIFT
    wide = SIDE + 2 * margin
    padded = np.pad(grey, ((0, 0), (margin, margin), (margin, margin)), mode="edge").astype(np.float64)
    basis = _shifted_cosines()
    across = (padded.reshape(-1, wide) @ basis.T).reshape(len(grey), wide, -1)
    both = (across.transpose(0, 2, 1).reshape(-1, wide) @ basis.T).reshape(
        len(grey), 2 * margin + 1, _LOW, -1, _LOW
    )
    found = np.empty((len(grey), len(SHIFTS)), np.uint64)
    for place, (down, right) in enumerate(SHIFTS):
        low = both[:, margin + right, :, margin + down].transpose(0, 2, 1).reshape(-1, _LOW * _LOW)
        bits = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
        found[:, place] = bits.view(">u8").reshape(-1)
    return found


def _shifted_cosines() -> NDArray[np.float64]:
    """Rows of the cosine transform (type II) at every shift; shape (shifts * 8, SIDE + 2 * most shift)."""
    angles = np.pi * np.outer(np.arange(_LOW), 2 * np.arange(SIDE) + 1) / (2 * SIDE)
    rows = np.zeros((2 * _MOST_SHIFT + 1, _LOW, SIDE + 2 * _MOST_SHIFT))
    for start in range(2 * _MOST_SHIFT + 1):
        rows[start, :, start : start + SIDE] = 2 * np.cos(angles)
    return rows.reshape(-1, SIDE + 2 * _MOST_SHIFT)
