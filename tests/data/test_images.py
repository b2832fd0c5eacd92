"""Every kind of image file becomes the pixels that a person would see."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convtrials.data.sources import images as module
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import UnreadableImageError, decode_image, fit_images, read_header

GREY = np.random.default_rng(1).integers(0, 256, (9, 7), dtype=np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def shape_of(path: Path) -> tuple[int, int, int]:
    with open(path, "rb", buffering=0) as file:
        return read_header(file)[:3]


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def luma(colour: np.ndarray) -> np.ndarray:
    """Grey as ITU-R 601 weighs colours."""
    return colour @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "PPM"])
def test_grey_in_any_lossless_format(kind: str) -> None:
    np.testing.assert_array_equal(
        decode_image(encoded(Image.fromarray(GREY), kind), Frame((9, 7, 1)))[..., 0], GREY
    )
    tripled = decode_image(encoded(Image.fromarray(GREY), kind), Frame((9, 7, 3)))
    np.testing.assert_array_equal(tripled, np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_colour_in_any_lossless_format(kind: str) -> None:
    data = encoded(Image.fromarray(COLOUR), kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decode_image(data, Frame((9, 7, 3))), COLOUR)
    assert np.abs(decode_image(data, Frame((9, 7, 1)))[..., 0] - luma(COLOUR)).max() <= 1
    assert decode_image(data, Frame()).shape == (9, 7, 3)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (9, 7), dtype=np.uint16)
    deep[0, :2] = 0, 65535
    for kind in ("PNG", "TIFF"):
        got = decode_image(encoded(Image.fromarray(deep), kind), Frame((9, 7, 1)))[..., 0]
        assert np.abs(got - deep / 257.0).max() <= 0.5 + 1e-9
    portable = b"P5 7 9 65535\n" + deep.astype(">u2").tobytes()
    assert np.abs(decode_image(portable, Frame((9, 7, 1)))[..., 0] - deep / 257.0).max() <= 0.5 + 1e-9


def test_floats_are_read_from_0_to_1_and_refused_beyond() -> None:
    values = GREY.astype(np.float32) / 255
    got = decode_image(encoded(Image.fromarray(values), "TIFF"), Frame((9, 7, 1)))
    np.testing.assert_array_equal(got[..., 0], GREY)
    with pytest.raises(UnreadableImageError, match="pixel values"):
        decode_image(encoded(Image.fromarray(values * 300), "TIFF"), Frame((9, 7, 1)))


def test_one_bit_is_black_and_white() -> None:
    bits = Image.fromarray(GREY > 127)
    assert bits.mode == "1"
    np.testing.assert_array_equal(decode_image(encoded(bits), Frame((9, 7, 1)))[..., 0], (GREY > 127) * 255)


def test_transparency_lies_over_white() -> None:
    alpha = np.random.default_rng(4).integers(0, 256, (9, 7), dtype=np.uint8)
    share = alpha / 255.0
    layered = Image.fromarray(np.dstack([COLOUR, alpha]))
    expected = COLOUR * share[..., None] + 255 * (1 - share[..., None])
    assert np.abs(decode_image(encoded(layered), Frame((9, 7, 3))) - expected).max() <= 1
    grey = Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(alpha)))
    over = decode_image(encoded(grey), Frame((9, 7, 1)))[..., 0]
    assert np.abs(over - (GREY * share + 255 * (1 - share))).max() <= 1
    assert decode_image(encoded(grey), Frame()).shape == (9, 7, 1)
    keyed = decode_image(encoded(Image.fromarray(GREY), transparency=int(GREY[0, 0])), Frame((9, 7, 1)))[
        ..., 0
    ]
    np.testing.assert_array_equal(keyed, np.where(GREY[0, 0] == GREY, 255, GREY))


def test_palettes() -> None:
    palette = Image.fromarray(COLOUR).quantize(200)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(decode_image(encoded(palette), Frame((9, 7, 3))), expected)
    clear = palette.copy()
    got = decode_image(encoded(clear, transparency=clear.getpixel((0, 0))), Frame((9, 7, 3)))
    np.testing.assert_array_equal(got[0, 0], [255, 255, 255])


def test_cmyk() -> None:
    ink = np.random.default_rng(5).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    got = decode_image(encoded(Image.fromarray(ink, "CMYK"), "TIFF"), Frame((9, 7, 3)))
    share = 1 - ink / 255.0
    assert np.abs(got - 255 * share[..., :3] * share[..., 3:]).max() <= 1.5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("code", "turn"),
    [(2, lambda a: a[:, ::-1]), (3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)],
)
def test_images_are_turned_as_exif_says(kind: str, code: int, turn: object) -> None:
    picture = np.zeros((32, 16), np.uint8)
    picture[:8, :8] = 255
    upright = turn(picture)  # type: ignore[operator]
    exif = Image.Exif()
    exif[0x0112] = code
    data = encoded(
        Image.fromarray(picture), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})
    )
    got = decode_image(data, Frame((*upright.shape, 1)))[..., 0]
    assert np.abs(got.astype(int) - upright).max() <= 12
    assert decode_image(data, Frame()).shape[:2] == upright.shape


def test_other_sizes_cover_the_frame_and_lose_only_the_rim() -> None:
    wide = np.zeros((40, 120), np.uint8)
    wide[:, 40:80] = 200
    got = decode_image(encoded(Image.fromarray(wide)), Frame((20, 20, 1)))
    assert (got[:, 1:-1] == 200).all()  # the resampling of the rim looks a pixel further
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    small = decode_image(encoded(Image.fromarray(ramp)), Frame((16, 16, 1)))[..., 0]
    assert np.abs(small - ramp.reshape(16, 4, 16, 4).mean((1, 3))).max() < 6
    large = decode_image(encoded(Image.fromarray(GREY)), Frame((27, 21, 1)))
    assert large.shape == (27, 21, 1)


def test_a_large_jpeg_shrinks_to_what_it_shows() -> None:
    picture = np.zeros((800, 800, 3), np.uint8)
    picture[:, 400:] = 240, 10, 10
    got = decode_image(encoded(Image.fromarray(picture), "JPEG", quality=95), Frame((32, 32, 3)))
    assert np.abs(got[:, 20:].astype(int) - [240, 10, 10]).max() <= 4
    assert got[:, :12].max() <= 4


def test_an_array_is_fitted_like_a_file() -> None:
    for picture, channels in ((GREY[..., None], 3), (COLOUR, 1)):
        file = encoded(Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture))
        np.testing.assert_array_equal(
            fit_images(picture[None], Frame((5, 6, channels)))[0], decode_image(file, Frame((5, 6, channels)))
        )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF"])
def test_a_cut_file_is_bad(kind: str) -> None:
    noise = np.random.default_rng(6).integers(0, 256, (64, 64), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(UnreadableImageError):
        decode_image(data[: len(data) // 2], Frame((64, 64, 1)))


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (200, 100)))
    monkeypatch.setattr(module, "MAX_PIXELS", 19_999)
    with pytest.raises(UnreadableImageError, match="too many pixels"):
        decode_image(data, Frame((8, 8, 1)))
    bomb = bytearray(encoded(Image.new("L", (8, 8))))
    bomb[16:24] = (60_000).to_bytes(4) * 2
    with pytest.raises(UnreadableImageError):
        decode_image(bytes(bomb), Frame((8, 8, 1)))


@pytest.mark.filterwarnings("ignore")
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\0"]),
)
def test_any_bytes_are_an_image_or_bad(data: bytes, start: bytes) -> None:
    try:
        assert decode_image(start + data, Frame((4, 4, 1))).shape == (4, 4, 1)
    except UnreadableImageError:
        return


def test_headers_tell_the_shape_that_decoding_gives(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = Image.fromarray(GREY)
    pictures = {
        "l.png": Image.fromarray(GREY),
        "rgb.png": Image.fromarray(COLOUR),
        "la.png": Image.merge("LA", (alpha, alpha)),
        "one.png": Image.fromarray(GREY > 9),
        "deep.png": Image.fromarray(GREY.astype(np.uint16) * 257),
        "p.png": Image.fromarray(COLOUR).quantize(16),
        "l.jpg": Image.fromarray(GREY),
        "rgb.gif": Image.fromarray(COLOUR),
        "cmyk.jpg": Image.new("CMYK", (7, 9)),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
    Image.fromarray(COLOUR).save(tmp_path / "turned.jpg", exif=exif)
    for file in tmp_path.iterdir():
        assert shape_of(file) == decode_image(file.read_bytes(), Frame()).shape, file.name
    assert shape_of(tmp_path / "turned.jpg") == (7, 9, 3)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def turning_chunk(form: str) -> bytes:
    """Orientation 6 as PNG files carry it: EXIF in its own chunk, in an old text chunk, or as XMP."""
    exif = Image.Exif()
    exif[0x0112] = 6
    if form == "xmp":
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:li tiff:Orientation="6"/></x:xmpmeta>'
        return png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    if form == "text":
        lines = exif.tobytes().hex()
        return png_chunk(
            b"tEXt", b"Raw profile type exif\0\nexif\n%8d\n" % (len(lines) // 2) + lines.encode()
        )
    return png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))


@pytest.mark.parametrize("form", ["exif", "text", "xmp"])
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("size", [(9, 7), (300, 200)])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_headers_of_turned_png_files(
    tmp_path: Path, form: str, place: str, size: tuple[int, int], mode: str
) -> None:
    noise = np.random.default_rng(7).integers(0, 256, size, dtype=np.uint8)
    picture = Image.fromarray(noise) if mode == "L" else Image.fromarray(noise).convert("P")
    data = encoded(picture)
    # after the header, or after the pixels: before the last chunk, which takes 12 bytes
    cut = 33 if place == "before" else len(data) - 12
    file = tmp_path / "turned.png"
    file.write_bytes(data[:cut] + turning_chunk(form) + data[cut:])
    turned = decode_image(file.read_bytes(), Frame())
    assert turned.shape[:2] == size[::-1]
    np.testing.assert_array_equal(turned[..., 0], np.rot90(noise, -1))
    assert shape_of(file) == (*turned.shape[:2], 1)


def test_headers_of_png_files_with_other_text_or_cut_short(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(GREY))
    software = png_chunk(b"tEXt", b"Software\0eXIf and Raw profile type exif")
    for number, content in enumerate([data[:33] + software + data[33:], data[:50], data[:-12]]):
        file = tmp_path / f"{number}.png"
        file.write_bytes(content)
        assert shape_of(file) == (9, 7, 1)
