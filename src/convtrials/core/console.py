"""Text for consoles and files whose encoding does not have all our characters, as Windows' cp1252 and cp437."""

import codecs
import io
import sys
from typing import Any

#: The name of the way in which a character is written that an encoding lacks, for ``errors=``.
LOOKALIKES = "convtrials.lookalikes"

#: What stands for our own characters; any other becomes an escape.
_LOOKALIKE = {
    "−": "-", "–": "-", "—": "-", "×": "x", "…": "...", "•": "*", "→": "->", "±": "+/-", "≤": "<=", "≥": ">=",
    "·": ".", "’": "'", "“": '"', "”": '"', "✓": "+",
}  # fmt: skip


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = ""
    for one in error.object[error.start : error.end]:
        written += _LOOKALIKE.get(one) or one.encode("ascii", "backslashreplace").decode()
    return written, error.end


codecs.register_error(LOOKALIKES, _replaced)


def print_any_text() -> None:
    """Make standard output and error write what their encoding lacks by look-alikes or escapes, not fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=LOOKALIKES)


def for_print(text: str) -> str:
    """Return text that ``print`` can write to standard output as it is: on UTF-8 nothing changes."""
    encoding = _encoding(sys.stdout)
    return text if encoding is None else text.encode(encoding, LOOKALIKES).decode(encoding)


def writes_unicode(stream: Any) -> bool:
    """Say whether a stream can write every character."""
    return _encoding(stream) is None


def _encoding(stream: Any) -> str | None:
    """Return the encoding of a stream that cannot write every character; None where it can, or has none."""
    name = getattr(stream, "encoding", None)
    try:
        return None if name is None or codecs.lookup(name).name.startswith("utf") else str(name)
    except (LookupError, TypeError):
        return None
