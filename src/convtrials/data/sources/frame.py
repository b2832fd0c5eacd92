"""What every image is brought to: one size, one number of channels, and 8 bits from whatever range it has."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from convtrials.core.errors import DataError

Fit = Literal["cover", "pad", "stretch"]

#: How an image of another size is brought into the frame.
FITS: tuple[Fit, ...] = get_args(Fit)

#: What `pad` may be besides a colour.
EDGE = "edge"
_NAMED = {"black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128)}


@dataclass(frozen=True)
class PixelScale:
    """What is white in images of more than 8 bits: one value for a whole dataset, so that brightness stays comparable.

    Attributes
    ----------
    integers : int
        White of images stored as 16-bit or 32-bit integers, such as 4095 for 12 bits.
    floats : float
        White of images stored as floats: 1 or 255.
    bytes : int
        White of images stored in 8 bits; below 255 where fewer are used.
    colours : int
        White of 16-bit colour images. Only the high 8 bits of those are decoded: on another scale they are refused.
    """

    integers: int = 65535
    floats: float = 1.0
    bytes: int = 255
    colours: int = 65535


@dataclass(frozen=True)
class Frame:
    """How images are delivered.

    Attributes
    ----------
    shape : tuple of int or None
        (H, W, C) wanted, C 1 or 3. None: each image as it is, C 1 for grey and 3 for colour.
    fit : {"cover", "pad", "stretch"}
        An image of another size is scaled until it covers the frame and its middle is cut out, or until it fits into
        the frame and is padded, or stretched.
    pad : str
        What fills the rest with ``fit="pad"``: ``"edge"`` repeats the outermost pixels; or a colour, ``"black"``,
        ``"white"``, ``"grey"`` or ``"#rrggbb"``.
    scale : PixelScale
        What is white in images of more than 8 bits.
    """

    shape: tuple[int, int, int] | None = None
    fit: Fit = "cover"
    pad: str = EDGE
    scale: PixelScale = PixelScale()

    def as_it_is(self) -> "Frame":
        """Return the same without a size."""
        return replace(self, shape=None)


def pad_colour(pad: str) -> tuple[int, int, int] | None:
    """Return the colour that a `pad` names, red, green and blue from 0 to 255; None for the edge's own pixels.

    Raises
    ------
    DataError
        It names neither.
    """
    if pad == EDGE:
        return None
    if pad in _NAMED:
        return _NAMED[pad]
    digits = pad.removeprefix("#")
    if len(pad) == 7 and len(digits) == 6:
        try:
            return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
        except ValueError:
            pass
    allowed = ", ".join((EDGE, *_NAMED))
    raise DataError(f"pad: {pad!r:.40}: allowed are {allowed}, and a colour such as '#ffcc00'")
