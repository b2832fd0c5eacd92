"""What a PNG file says of itself besides its pixels, without decoding it."""

from io import FileIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_TELLING = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
#: Keywords of text chunks that hold EXIF or XMP; eXIf, the chunk meant for it, is younger than they are.
_KEYWORDS = (b"exif\0", b"xmp\0", b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
_PEEK = 8 + max(map(len, _KEYWORDS))
_MOST_CHUNKS = 1 << 16
#: The chunk that ends a file, or the file's end before it.
_LAST = frozenset({b"IEND", b""})


def may_be_turned(file: FileIO, head: bytes, *, whole: bool) -> bool:
    """Whether a chunk holds EXIF or XMP, which may say how the picture is to be turned.

    Parameters
    ----------
    file : unbuffered binary file
        A PNG file; only heads of chunks beyond `head` are read from it.
    head : bytes
        How the file begins.
    whole : bool
        Whether `head` is all of the file.

    Returns
    -------
    bool
        True as well for a file of more chunks than are looked at; False where the file ends early.

    Notes
    -----
    PNG, third edition: such chunks may stand before the pixels or after them (section 5.6).
    """
    place = len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        start = head[place : place + _PEEK]
        if len(start) < _PEEK and not whole:
            file.seek(place)
            start = file.read(_PEEK)
        kind = start[4:8]
        if kind in _LAST:
            return False
        if kind in _TELLING and (kind == b"eXIf" or start.startswith(_KEYWORDS, 8)):
            return True
        place += 12 + int.from_bytes(start[:4])
    return True
