"""From an image file, or an array, to uint8 pixels of one size and one number of channels."""

from functools import cache
from io import BytesIO
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from convtrials.core.errors import DataError
from convtrials.data.sources.frame import Frame, PixelScale, pad_colour

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
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_NO_HEIF = "HEIC needs the package pillow-heif (pip install pillow-heif)"
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
        with _opened(data) as image:
            return _decode(image, frame)
    except UnreadableImageError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImageError("too many pixels") from error
    except UnidentifiedImageError as error:
        reason = _NO_HEIF if _is_heif(data) else "not an image that Pillow can read"
        raise UnreadableImageError(reason if data else "empty file") from error
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def _is_heif(head: bytes) -> bool:
    """Whether a file begins as HEIC or HEIF do (ISO/IEC 23008-12)."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _opened(data: bytes) -> Image.Image:
    """Open an image; HEIC by the package that decodes it, where it is installed."""
    if _is_heif(data[:12]):
        _register_heif()
    return Image.open(BytesIO(data))


@cache
def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _decode(image: Image.Image, frame: Frame) -> NDArray[np.uint8]:
    shape = frame.shape
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(f"too many pixels ({width} x {height})")
    if frame.scale.colours != 65535 and image.mode not in GREY_MODES and _is_16_bit(image):
        raise UnreadableImageError(
            "16-bit colour, of which only the high 8 bits can be decoded: leave bits out"
        )
    wanted = None if shape is None else ("L" if shape[2] == 1 else "RGB")
    same = shape is not None and wanted == image.mode and (height, width) == shape[:2]
    if same and image.format == "PNG" and frame.scale.bytes == 255:
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
        return Image.fromarray(to_8_bits(np.asarray(image), scale))
    if scale.bytes != 255 and image.mode != "1":
        if image.mode not in ("L", "RGB") or "transparency" in image.info:
            raise UnreadableImageError(
                f"bits below 8 are read of grey and RGB without transparency, not {image.mode}"
            )
        return Image.fromarray(to_8_bits(np.asarray(image), scale))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, layered).convert("L" if grey else "RGB")
    return image.convert("L" if grey else "RGB")


def to_8_bits(values: NDArray[Any], scale: PixelScale) -> NDArray[np.uint8]:
    """Scale numbers of one image, or of several, so that white becomes 255.

    Raises
    ------
    UnreadableImageError
        Values below 0 or above white, or NaN.
    """
    if values.dtype == np.uint8:
        full = float(scale.bytes)
    else:
        full = scale.floats if values.dtype.kind == "f" else float(scale.integers)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= 0 and high <= full):
        raise UnreadableImageError(f"pixel values {low:g} to {high:g}; 0 to {full:g} are supported")
    return np.rint(values.astype(np.float64) * (255.0 / full)).astype(np.uint8)


def largest_value(data: bytes) -> tuple[str, float] | None:
    """Look at an image that is stored in more than 8 bits.

    Returns
    -------
    (str, float) or None
        ``"integers"`` or ``"floats"`` and the largest pixel value; ``"reduced"`` and the largest of the 8 bits that are
        decoded of 16-bit colour. None for an image of 8 bits or fewer, or one that cannot be read.
    """
    try:
        with _opened(data) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                return None
            if image.mode.startswith("I") or image.mode == "F":
                return ("floats" if image.mode == "F" else "integers"), float(np.asarray(image).max())
            if not _is_16_bit(image):
                return None
            colours = image.convert("RGB")  # transparency may hide any colour
            return "reduced", float(np.asarray(colours).max())
    except Exception:  # decoding will say what is wrong with it
        return None


def _is_16_bit(image: Image.Image) -> bool:
    """Whether Pillow decodes only the high bytes of a file's 16-bit samples."""
    return any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def fit(image: Image.Image, frame: Frame) -> Image.Image:
    """Bring an ``L`` or ``RGB`` image to the frame's height and width; the exact size is left alone."""
    assert frame.shape is not None
    height, width, _ = frame.shape
    if image.size == (width, height):
        return image
    if frame.fit == "stretch":
        return image.resize((width, height), _RESAMPLE)
    if frame.fit == "pad":
        return _padded(image, (width, height), frame.pad)
    return ImageOps.fit(image, (width, height), method=_RESAMPLE)


def _padded(image: Image.Image, size: tuple[int, int], pad: str) -> Image.Image:
    """Scale an image until it fits into (width, height), put it into the middle, and fill the rest."""
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.resize(inner, _RESAMPLE)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    colour = pad_colour(pad)
    if colour is None:
        values = np.asarray(image)
        sides = [(top, size[1] - inner[1] - top), (left, size[0] - inner[0] - left), (0, 0)][: values.ndim]
        return Image.fromarray(np.pad(values, sides, mode="edge"))
    filled = Image.new("RGB", size, colour).convert(image.mode)
    filled.paste(image, (left, top))
    return filled


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


class Header(NamedTuple):
    """What the header of an image file says.

    Attributes
    ----------
    height, width : int
        As the picture is looked at, turned as EXIF says.
    channels : int
        1 where the pixels have no colour, else 3.
    wide : bool
        Whether the samples have more than 8 bits.
    """

    height: int
    width: int
    channels: int
    wide: bool


def read_header(file: BinaryIO) -> Header:
    """Read the header of an image file, open and seekable."""
    try:
        head = file.read(_HEAD_BYTES)
        png = head[:8] == _PNG and head[12:16] == b"IHDR" and len(head) >= 26
        turned = png and _may_be_turned(file, head, whole=len(head) < _HEAD_BYTES)
        if png and not turned and head[25] != 3:
            width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
            return Header(height, width, 3 if head[25] & 2 else 1, head[24] > 8)
        if _is_heif(head[:12]):
            _register_heif()
        file.seek(0)
        with Image.open(file) as image:
            width, height = image.size
            wide = image.mode.startswith("I") or image.mode == "F" or _is_16_bit(image)
            if turned and width * height <= MAX_PIXELS:
                image.load()  # what stands behind the pixels counts as well
            if any(key in image.info for key in _TURNING) and image.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            return Header(height, width, 1 if _is_grey(image) else 3, wide)
    except Exception as error:  # as in decode_image
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def png_bits(head: bytes) -> int:
    """Return the bits of each sample by a file's first 32 bytes or more: more than 8 where it is no PNG file."""
    return head[24] if head[:8] == _PNG and head[12:16] == b"IHDR" and len(head) >= 26 else 16


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
