"""Names that people read as one: Unicode's two spellings, and names that differ in what is hardly seen."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable


def composed(name: str) -> str:
    """Return the composed spelling (NFC): macOS stores and zips names decomposed, other systems as they are typed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def look(name: str) -> str:
    """Return what two names share that look alike: without case, spaces at the ends, and invisible characters."""
    seen = unicodedata.normalize("NFKC", name)
    visible = "".join(one for one in seen if unicodedata.category(one) not in ("Cf", "Cc"))
    return " ".join(visible.split()).casefold()


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the sets of two names or more that are different and look alike.

    Examples
    --------
    >>> alike(["Cat", "cat", "dog", "owl", "owl "])
    [('Cat', 'cat'), ('owl', 'owl ')]
    """
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        found[look(name)].add(name)
    return sorted(tuple(sorted(own)) for own in found.values() if len(own) > 1)


def likeness(missing: Iterable[str], present: Iterable[str]) -> str:
    """Say which of the names that are missing look like one that is there: a hint for the end of a message."""
    by_look = {look(name): name for name in present}
    for name in missing:
        other = by_look.get(look(name))
        if other is not None and other != name:
            return f"; there is {other!r}, which looks like {name!r}: if they are one class, give them one spelling"
    return ""


def shortened(names: Iterable[str], most: int = 5) -> str:
    """List names, the first few of many; those with blanks at their ends in quotes."""
    every = [repr(name) if name != name.strip() or not name.isprintable() else name for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
