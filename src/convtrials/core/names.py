"""Names of files and folders made of what people wrote, such that every system takes them."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

#: Names that Windows keeps for devices, whatever follows after a dot.
RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}
)

#: What Windows allows in no name.
_FORBIDDEN = '<>:"/\\|?*'


def unreserved(name: str) -> str:
    """Return a name of letters, digits, dots and dashes such that it names no device of Windows.

    Examples
    --------
    >>> unreserved("aux.0.5-3f2a1b")
    'aux-0.5-3f2a1b'
    """
    stem, dot, rest = name.partition(".")
    return f"{stem}-{rest}" if dot and stem.lower() in RESERVED else name


def windows_refuses(name: str) -> str | None:
    """Say why Windows takes no file or folder of this name, or takes it under another one; None where it does."""
    wrong = sorted({one for one in name if one in _FORBIDDEN or ord(one) < 32})
    if wrong:
        return f"Windows allows no {' '.join(map(repr, wrong))} in a name"
    if name != name.rstrip(". "):
        return "Windows drops dots and spaces at the end of a name"
    if name.partition(".")[0].rstrip(" ").lower() in RESERVED:
        return "Windows keeps this name for a device"
    return None


def merged_names(folder: Path, names: Iterable[str]) -> list[str]:
    """Return those of the names, of folders just made in `folder`, that did not become a folder of their own.

    A file system that ignores case, or how letters with accents are written, makes one of two; Windows drops dots and
    spaces at the end of a name.
    """
    there = {unicodedata.normalize("NFC", entry) for entry in os.listdir(folder)}
    made = sorted(names)
    seen: dict[str, list[str]] = {}
    for name in made:
        seen.setdefault(_key(name) if len(there) < len(set(made)) else name, []).append(name)
    several = [name for group in seen.values() if len(group) > 1 for name in group]
    return several or [name for name in made if unicodedata.normalize("NFC", name) not in there]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().rstrip(". ")
