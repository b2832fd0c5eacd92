"""Every image of a source looked at once, as it is: a hash of its pixels, or why it has none."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convtrials.core.progress import progress_task
from convtrials.data.pack import team_for
from convtrials.data.plan import blocks
from convtrials.data.sources.base import BadImage, Listing, Source
from convtrials.data.sources.images import UnreadableImageError

_HASH_BYTES = 16


@dataclass(frozen=True)
class Survey:
    """What a look at every image gave.

    Attributes
    ----------
    digests : dict of int to bytes
        Hash of the decoded pixels and their size, by position in the listing; equal for equal pictures whatever
        the file format, and for grey whether stored as grey or as colour.
    bad : list of BadImage
        Files that gave no image, by position.
    """

    digests: dict[int, bytes]
    bad: list[BadImage]


@dataclass(frozen=True)
class _Looker:
    source: Any
    shape: tuple[int, int, int] | None

    def __call__(self, task: tuple[int, NDArray[np.int64]]) -> tuple[list[tuple[int, bytes]], list[BadImage]]:
        good: list[tuple[int, bytes]] = []
        bad: list[BadImage] = []
        for index in task[1].tolist() if self.shape is None else ():
            try:
                good.append((index, pixel_digest(self.source.native(index))))
            except UnreadableImageError as error:
                bad.append(BadImage(index, self.source.path_of(index), str(error)))
        if self.shape is not None:
            start, stop = int(task[1][0]), int(task[1][-1]) + 1
            images, bad = self.source.read(start, stop, self.shape)
            failed = {item.index for item in bad}
            good = [(start + i, pixel_digest(own)) for i, own in enumerate(images) if start + i not in failed]
        return good, bad


def survey(source: Source, listing: Listing, *, silent: bool = False) -> Survey:
    """Decode every image at its own size and hash its pixels.

    Parameters
    ----------
    source : Source
        Array sources are read at their native shape; a folder decodes file by file.
    listing : Listing
        The source's.
    silent : bool
        Show no progress.

    Returns
    -------
    Survey
        Sixteen bytes an image are kept, no pixels.
    """
    found = Survey({}, [])
    rows = np.arange(len(listing.labels))
    size = int(np.prod(listing.native_shape)) if listing.native_shape else 1
    with (
        team_for(source, len(rows)) as team,
        progress_task(f"look at {source.name}", len(rows), silent=silent) as progress,
    ):
        for (_, own), (good, bad) in team.map(_Looker(source, listing.native_shape), blocks(rows, size)):
            found.digests.update(good)
            found.bad.extend(bad)
            progress.advance(len(own))
    found.bad.sort(key=lambda item: item.index)
    return found


def pixel_digest(image: NDArray[np.uint8]) -> bytes:
    """Hash one image, uint8 (H, W, C); a colour image without colour hashes as the grey one it is."""
    if image.shape[2] == 3 and (image[..., :1] == image).all():
        image = image[..., :1]
    digest = blake2b(repr(image.shape).encode(), digest_size=_HASH_BYTES)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
