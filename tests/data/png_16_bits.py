"""PNG files of 16 bits in colour, which Pillow reads and does not write."""

import struct
import zlib

import numpy as np


def colour_16_bits(top: int) -> bytes:
    """A random image, 8 x 8, of values up to `top`."""
    values = (np.random.default_rng(top).random((8, 8, 3)) * top).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
