"""From an image file, or an array, to uint8 pixels of one size and one number of channels."""

from io import BytesIO
from math import prod
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from convtrials.core.errors import DataError
from convtrials.data.sources.frame import Frame, PixelScale

#: Images of more pixels are refused (Pillow's own threshold for decompression bombs).
MAX_PIXELS = 89_478_485
#: Modes whose pixels have no colour.
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_TURNING = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
_ORIENTATION = 0x0112
#: So much of a file is read at first: all of a small picture, the header of any.
_HEAD_BYTES = 4096
_PNG = b"\x89PNG\r\n\x1a\n"

_TURNING_CHUNKS = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
#: Keywords of text chunks that hold EXIF or XMP; eXIf, the chunk meant for it, is younger than they are.
_TURNING_WORDS = (b"exif\0", b"xmp\0", b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
_PEEK = 8 + max(map(len, _TURNING_WORDS))
_MOST_CHUNKS = 1 << 16
#: The chunk that ends a file, or the file's end before it.
_LAST = frozenset({b"IEND", b""})
_RESAMPLE = Image.Resampling.BILINEAR


class UnreadableImageError(Exception):
    """Bytes that do not become an image; the message says why in a few words."""


def decode_image(data: bytes, frame: Frame) -> NDArray[np.uint8]:
    """Decode any image that Pillow reads.

    Turned as EXIF says; transparency is laid over white; 16-bit grey is scaled, not clipped; the first frame of
    several counts.

    Parameters
    ----------
    data : bytes
        The file.
    frame : Frame
        Size, channels and scale wanted.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)

    Raises
    ------
    UnreadableImageError
        Where the file is no image, is cut short, or has too many pixels.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            return _decode(image, frame)
    except UnreadableImageError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImageError("too many pixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image that Pillow can read" if data else "empty file") from error
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def _decode(image: Image.Image, frame: Frame) -> NDArray[np.uint8]:
    shape = frame.shape
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(f"too many pixels ({width} x {height})")
    wanted = None if shape is None else ("L" if shape[2] == 1 else "RGB")
    if wanted == image.mode and shape is not None and (height, width) == shape[:2] and image.format == "PNG":
        image.load()
        if not _needs_care(image):
            return np.frombuffer(image.tobytes(), np.uint8).reshape(shape)
    if image.format == "JPEG" and shape is not None:
        # The JPEG decoder can halve sizes by itself; twice the target leaves the last step to good resampling.
        image.draft(None, (2 * max(shape[:2]), 2 * max(shape[:2])))
    image.load()
    if any(key in image.info for key in _TURNING):
        image = ImageOps.exif_transpose(image)
    plain = to_plain(image, frame.scale)
    if wanted is not None and plain.mode != wanted:
        plain = plain.convert(wanted)
    return np.atleast_3d(np.asarray(plain if shape is None else fit(plain, frame)))


def _needs_care(image: Image.Image) -> bool:
    return "transparency" in image.info or any(key in image.info for key in _TURNING)


def to_plain(image: Image.Image, scale: PixelScale) -> Image.Image:
    """Bring an image of any mode to ``L`` (grey) or ``RGB``."""
    grey = image.mode in GREY_MODES
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled(image, scale)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, layered).convert("L" if grey else "RGB")
    return image.convert("L" if grey else "RGB")


def _scaled(image: Image.Image, scale: PixelScale) -> Image.Image:
    # Wider than 8 bits. Pillow's convert("L") would clip at 255.
    values = np.asarray(image)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    full = scale.floats if image.mode == "F" else float(scale.integers)
    if not (low >= 0 and high <= full):
        raise UnreadableImageError(f"pixel values {low:g} to {high:g}; 0 to {full:g} are supported")
    return Image.fromarray(np.rint(values.astype(np.float64) * (255.0 / full)).astype(np.uint8))


def fit(image: Image.Image, frame: Frame) -> Image.Image:
    """Bring an ``L`` or ``RGB`` image to the frame's height and width; the exact size is left alone."""
    assert frame.shape is not None
    height, width, _ = frame.shape
    if image.size == (width, height):
        return image
    return ImageOps.fit(image, (width, height), method=_RESAMPLE)


def fit_images(images: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Bring a batch of images of one shape to the frame's.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, c)
        c is 1 or 3.
    frame : Frame
        With a shape.

    Returns
    -------
    ndarray of uint8, shape (n, H, W, C)
    """
    shape = frame.shape
    assert shape is not None
    if images.shape[1:] == shape:
        return images
    if images.shape[3] not in (1, 3) or shape[2] not in (1, 3):
        raise DataError(
            f"images of {images.shape[3]} channels cannot become {shape[2]}; 1 and 3 are supported"
        )
    out = np.empty((len(images), *shape), np.uint8)
    for target, own in zip(out, images, strict=True):
        image = Image.fromarray(own[..., 0] if own.shape[2] == 1 else own)
        image = image.convert("L" if shape[2] == 1 else "RGB")
        target[...] = np.atleast_3d(np.asarray(fit(image, frame)))
    return out


def refuse_huge(what: str, shape: tuple[int, ...]) -> None:
    """Raise DataError where one stored image, of height and width `shape`, has more pixels than are decoded."""
    if prod(shape) > MAX_PIXELS:
        raise DataError(
            f"{what}: images of {' x '.join(map(str, shape))} pixels; at most {MAX_PIXELS:,} are read"
        )


def header_shape(file: BinaryIO) -> tuple[int, int, int]:
    """(H, W, C) of an image file, open and seekable, by its header alone; C is 1 where the pixels have no colour."""
    try:
        head = file.read(_HEAD_BYTES)
        png = head[:8] == _PNG and head[12:16] == b"IHDR" and len(head) >= 26
        turned = png and _may_be_turned(file, head, whole=len(head) < _HEAD_BYTES)
        if png and not turned and head[25] != 3:
            width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
            return height, width, 3 if head[25] & 2 else 1
        file.seek(0)
        with Image.open(file) as image:
            width, height = image.size
            if turned and width * height <= MAX_PIXELS:
                image.load()  # what stands behind the pixels counts as well
            if any(key in image.info for key in _TURNING) and image.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            return height, width, 1 if _is_grey(image) else 3
    except Exception as error:  # as in decode_image
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def _may_be_turned(file: BinaryIO, head: bytes, *, whole: bool) -> bool:
    """Whether a PNG file holds EXIF or XMP, which may say how the picture is to be turned.

    Only heads of chunks beyond `head`, the file's beginning (`whole`: all of it), are read. True as well for a file of
    more chunks than are looked at; False where the file ends early. Such chunks may stand before the pixels or after
    them (PNG, third edition, section 5.6). Pillow would take four times as long, and not see those after the pixels.
    """
    place = len(_PNG)
    for _ in range(_MOST_CHUNKS):
        start = head[place : place + _PEEK]
        if len(start) < _PEEK and not whole:
            file.seek(place)
            start = file.read(_PEEK)
        kind = start[4:8]
        if kind in _LAST:
            return False
        if kind in _TURNING_CHUNKS and (kind == b"eXIf" or start.startswith(_TURNING_WORDS, 8)):
            return True
        place += 12 + int.from_bytes(start[:4])
    return True


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return bool((colours == colours[:, :1]).all())
    return image.mode in GREY_MODES
