"""The typefaces of the glyphs dataset, and the distance field of every character in each of them.

A distance field says for each point how far the nearest edge of the ink is: positive inside, negative outside. It is
smooth where a picture has edges, so it can be bent, and the strokes made thinner or thicker, before any ink is set.
"""

from functools import lru_cache
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError

#: One class a character, in label order.
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: Text typefaces in matplotlib's own font folder that have all 36 characters, each with its own shape. Left out:
#: symbol fonts (cmex10, cmsy10, STIXSize*, STIXNonUni*, *Display), the placeholder LastResort, and cmmi10, whose
#: old-style zero and one are a round o and a small capital I.
TYPEFACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)

#: A field covers the image of 28 x 28 pixels with this many points per pixel and side; FreeType draws a dot for each.
POINTS_PER_PIXEL = 4
FIELD_SIDE = 28 * POINTS_PER_PIXEL
#: Field values are in this fraction of a pixel.
UNITS_PER_PIXEL = 256

#: Field units from one point to the next.
_STEP = UNITS_PER_PIXEL // POINTS_PER_PIXEL
#: In points: an undistorted character is 20 pixels high, or 22 wide where that is less.
_HEIGHT, _WIDTH = 20 * POINTS_PER_PIXEL, 22 * POINTS_PER_PIXEL
#: Beyond this distance, in points, the fields are flat.
_FARTHEST = 6 * POINTS_PER_PIXEL


@lru_cache(maxsize=1)
def distance_fields() -> NDArray[np.int16]:
    """Draw every character in every typeface as a distance field; kept for the life of the process.

    Returns
    -------
    ndarray of int16, shape (36, 21, 112, 112)
        Indexed by class, typeface, row, column. Distance to the nearest edge in 1/256 pixel of the 28 x 28 image,
        positive in the ink, cut at 6 pixels; the character's box is centred.

    Raises
    ------
    DataError
        If this matplotlib lacks one of the typefaces.
    """
    fields = np.empty((len(CHARACTERS), len(TYPEFACES), FIELD_SIDE, FIELD_SIDE), np.int16)
    for column, typeface in enumerate(TYPEFACES):
        font = _open(typeface)
        for row, character in enumerate(CHARACTERS):
            fields[row, column] = _field(_fitted_bitmap(font, character))
    fields.flags.writeable = False
    return fields


def _open(typeface: str) -> Any:
    import matplotlib
    from matplotlib.ft2font import FT2Font

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{typeface}.ttf"
    if not file.is_file():
        raise DataError(
            f"glyphs needs the typeface {file}, which matplotlib {matplotlib.__version__} does not have: "
            "install the version of matplotlib that the constraints file names"
        )
    return FT2Font(str(file))


def _fitted_bitmap(font: Any, character: str) -> NDArray[np.bool_]:
    """Draw the character at the size at which it just fits the box; True is ink."""
    probe = 200
    height, width = _bitmap(font, character, probe).shape
    # Whole points: a rounding that no machine does differently.
    size = min(probe * _HEIGHT // height, probe * _WIDTH // width)
    return _bitmap(font, character, size)


def _bitmap(font: Any, character: str, points: int) -> NDArray[np.bool_]:
    from matplotlib.ft2font import LoadFlags

    font.clear()
    font.set_size(points, 72)
    font.set_text(character, 0.0, flags=LoadFlags.NO_HINTING)
    font.draw_glyphs_to_bitmap(antialiased=True)
    ink = np.asarray(font.get_image()) >= 128
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _field(ink: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Turn a bitmap into the field of signed distances, in integers from end to end."""
    canvas = np.zeros((FIELD_SIDE, FIELD_SIDE), bool)
    top, left = (FIELD_SIDE - ink.shape[0]) // 2, (FIELD_SIDE - ink.shape[1]) // 2
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    # The edge runs half a step from a point towards its nearest neighbour on the other side.
    inside = _roots()[_squared_distance(canvas)] - _STEP // 2
    outside = _roots()[_squared_distance(~canvas)] - _STEP // 2
    return np.where(canvas, inside, -outside)


def _squared_distance(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Squared distance in points from each True point to the nearest False one, cut at the farthest."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(inside, return_distances=False, return_indices=True)
    places = np.arange(FIELD_SIDE)
    squared: NDArray[np.int64] = (nearest[0] - places[:, None]) ** 2 + (nearest[1] - places) ** 2
    return np.minimum(squared, _FARTHEST**2)


@lru_cache(maxsize=1)
def _roots() -> NDArray[np.int64]:
    """Square roots of 0, 1, 2, ... in field units, rounded down: from squared points to distances."""
    return np.array([isqrt(squared * _STEP**2) for squared in range(_FARTHEST**2 + 1)], np.int64)
