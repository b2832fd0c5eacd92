"""From distance fields and random draws to images, in fixed point.

Nothing here is floating: SIMD units may round sums of floats differently, and the same glyph has to come out bit for
bit the same everywhere. Lengths are in 1/256 pixel ("units"), factors in 1/4096.
"""

import numpy as np
from numpy.typing import NDArray

from convtrials.data.sources.glyphs_distortion import CONTROLS, SIDE, Draws, Integers
from convtrials.data.sources.glyphs_typefaces import FIELD_SIDE, POINTS_PER_PIXEL, UNITS_PER_PIXEL

_ONE = 4096

#: Pixel centres from the middle of the image, in units: -13.5 ... 13.5 pixels.
_CENTRES: Integers = (2 * np.arange(SIDE, dtype=np.int32) - (SIDE - 1)) * (UNITS_PER_PIXEL // 2)


def draw_images(fields: NDArray[np.int16], which: NDArray[np.int64], draws: Draws) -> NDArray[np.uint8]:
    """Draw distorted characters.

    Parameters
    ----------
    fields : ndarray of int16, shape (m, 112, 112)
        Distance fields of the undistorted characters, from `distance_fields`.
    which : ndarray of int64, shape (n,)
        The field of each image.
    draws : Draws
        The random numbers of the n images.

    Returns
    -------
    ndarray of uint8, shape (n, 28, 28)
        Light ink on black.
    """
    across, down, thicker = smooth_fields(draws.controls)
    across, down = _bend(draws, across, down)
    distance = sample(fields, which, across, down)
    distance += thicker
    distance += draws.stroke[:, None, None]
    _damage(distance, draws)
    return _ink(distance, draws)


def rotation(half_tangent: Integers) -> tuple[Integers, Integers]:
    """Cosine and sine, in 1/4096, of the angle whose half has the tangent given in 1/1024; rational, so exact."""
    t = half_tangent.astype(np.int64)
    whole = 1024 * 1024 + t * t
    cosine = (1024 * 1024 - t * t) * _ONE // whole
    sine = 2 * 1024 * t * _ONE // whole
    return cosine.astype(np.int32), sine.astype(np.int32)


def smooth_fields(controls: Integers) -> Integers:
    """Spread control points over the image as a cubic B-spline.

    Parameters
    ----------
    controls : ndarray of int32, shape (..., 7, 7)
        Values of at most 8,000.

    Returns
    -------
    ndarray of int32, shape (..., 28, 28)
        In the units of the control points.
    """
    weights = _spline_weights()
    rows = np.matmul(weights, controls)  # in 1/256
    spread: Integers = np.matmul(rows, weights.T) >> 16
    return spread


def _spline_weights() -> Integers:
    """Weight in 1/256 of each control point for each pixel, shape (28, 7)."""
    spacing = SIDE // (CONTROLS - 3)
    weights = np.zeros((SIDE, CONTROLS), np.int32)
    whole = 6 * (2 * spacing) ** 3
    for pixel in range(SIDE):
        first, part = divmod(2 * pixel + 1, 2 * spacing)
        f, one = part, 2 * spacing
        basis = (
            (one - f) ** 3,
            3 * f**3 - 6 * f * f * one + 4 * one**3,
            -3 * f**3 + 3 * f * f * one + 3 * f * one * one + one**3,
            f**3,
        )
        for offset, value in enumerate(basis):
            weights[pixel, first + offset] = (value * 256 + whole // 2) // whole
    return weights


def _bend(draws: Draws, across: Integers, down: Integers) -> tuple[Integers, Integers]:
    """Say where in the undistorted character each pixel lies: units from its middle, each (n, 28, 28)."""
    cosine, sine = rotation(draws.half_tangent)
    # An image is looked up backwards, so sizes divide; slant and angle are as likely to go one way as the other.
    narrow = _ONE * 1024 // (draws.scale * (1024 + draws.aspect) // 1024)
    low = _ONE * 1024 // draws.scale
    xx = (cosine - (draws.slant * sine >> 10)) * narrow >> 12
    xy = (sine + (draws.slant * cosine >> 10)) * narrow >> 12
    yx = -sine * low >> 12
    yy = cosine * low >> 12
    x = _CENTRES - draws.shift[0][:, None]
    y = _CENTRES - draws.shift[1][:, None]
    across += (xx[:, None] * x >> 12)[:, None, :]
    across += (xy[:, None] * y >> 12)[:, :, None]
    down += (yx[:, None] * x >> 12)[:, None, :]
    down += (yy[:, None] * y >> 12)[:, :, None]
    return across, down


def sample(fields: NDArray[np.int16], which: NDArray[np.int64], across: Integers, down: Integers) -> Integers:
    """Look the fields up between their points, bilinearly.

    Parameters
    ----------
    fields : ndarray of int16, shape (m, 112, 112)
        Distance fields.
    which : ndarray of int64, shape (n,)
        The field of each image.
    across, down : ndarray of int32, shape (n, ...)
        Places in units from the field's middle; those beyond the field count as its border.

    Returns
    -------
    ndarray of int32, shape (n, ...)
        Distances in units.
    """
    columns, right = _split(across)
    rows, below = _split(down)
    origins = (which * FIELD_SIDE**2).reshape(-1, *[1] * (across.ndim - 1))
    corner = rows * np.int64(FIELD_SIDE) + columns + origins
    flat = fields.reshape(-1)
    upper = _mix(flat[corner], flat[corner + 1], right)
    corner += FIELD_SIDE
    lower = _mix(flat[corner], flat[corner + 1], right)
    return (upper * np.int32(256) + (lower - upper) * below) >> 16


def _split(place: Integers) -> tuple[Integers, Integers]:
    """Split a place into the point before it and the part of the way to the next point, in 1/256."""
    last = (FIELD_SIDE - 1) * 256 - 1
    fine = place * np.int32(256 * POINTS_PER_PIXEL // UNITS_PER_PIXEL) + np.int32((FIELD_SIDE - 1) * 128)
    np.clip(fine, 0, last, out=fine)
    return fine >> 8, fine & 255


def _mix(one: NDArray[np.int16], other: NDArray[np.int16], part: Integers) -> Integers:
    """Mix two values; the result is in 1/256 unit."""
    difference = (other - one) * part
    difference += one * np.int32(256)
    return difference


def _damage(distance: Integers, draws: Draws) -> None:
    """Cut gaps and blots out of the ink and add scratches, in place."""
    hit = np.flatnonzero(draws.gap[3])
    distance[hit] = np.minimum(distance[hit], _off_line(draws.gap[:, hit]))
    hit = np.flatnonzero(draws.blot[3])
    distance[hit] = np.minimum(distance[hit], _off_disc(draws.blot[:, hit]))
    hit = np.flatnonzero(draws.scratch[3])
    distance[hit] = np.maximum(distance[hit], -_off_line(draws.scratch[:, hit]))


def _off_line(lines: Integers) -> Integers:
    """Distance from straight strips in units, negative within, shape (n, 28, 28)."""
    x, y, half_tangent, width = lines
    cosine, sine = rotation(half_tangent)
    from_x = cosine[:, None] * (_CENTRES - x[:, None]) >> 12
    from_y = sine[:, None] * (_CENTRES - y[:, None]) >> 12
    beyond: Integers = np.abs(from_x[:, None, :] + from_y[:, :, None]) - width[:, None, None]
    return beyond


def _off_disc(discs: Integers) -> Integers:
    """Distance from discs in units, negative within: (d² - r²) / 2r, which is right at the edge."""
    x, y, _, radius = discs
    from_x, from_y = _CENTRES - x[:, None], _CENTRES - y[:, None]
    beyond = (from_x * from_x)[:, None, :] + (from_y * from_y)[:, :, None] - (radius * radius)[:, None, None]
    at_edge: Integers = beyond // (2 * radius)[:, None, None]
    return at_edge


def _ink(distance: Integers, draws: Draws) -> NDArray[np.uint8]:
    """Turn distances into grey: half ink at the edge, more the further inside; then paleness and noise."""
    # Beyond four pixels nothing changes any more, and the products below stay small.
    np.clip(distance, -4 * UNITS_PER_PIXEL, 4 * UNITS_PER_PIXEL, out=distance)
    distance *= draws.edge[:, None, None]
    distance >>= 8
    distance += 128
    np.clip(distance, 0, 255, out=distance)
    distance *= draws.ink[:, None, None]
    distance += draws.noise * (draws.noise_level * 2)[:, None, None]
    distance >>= 8
    np.clip(distance, 0, 255, out=distance)
    return distance.astype(np.uint8)
