"""How far the values of images of more than 8 bits reach."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Extent:
    """Largest values of some images of more than 8 bits; -1 where there are none of a kind.

    Attributes
    ----------
    integers : int
        Of images stored as 16-bit or 32-bit integers.
    floats : float
        Of images stored as floats.
    reduced : int
        Of 16-bit colour images, of which only the high 8 bits are decoded.
    """

    integers: int = -1
    floats: float = -1.0
    reduced: int = -1

    def joined(self, other: "Extent") -> "Extent":
        """Return the extent of both."""
        return Extent(
            max(self.integers, other.integers),
            max(self.floats, other.floats),
            max(self.reduced, other.reduced),
        )


@runtime_checkable
class HasExtent(Protocol):
    """A source whose images may have more than 8 bits."""

    def extent(self, start: int, stop: int) -> Extent:
        """Largest values of images ``start:stop``; images of 8 bits are passed over, and so are unreadable ones."""
        ...

    def wide(self, index: int) -> bool:
        """Whether an image is stored in more than 8 bits, or in numbers whose white is to be known."""
        ...
