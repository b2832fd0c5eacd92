"""Where files of a source lie: a folder on disk, or an archive that is read in place."""

import os
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Protocol

from convtrials.data.paths import count_entries, descend, entries, is_clutter
from convtrials.data.sources.images import UnreadableImageError

MAX_FILE_BYTES = 1 << 30

#: Endings of archives that are read.
ARCHIVE_ENDINGS = (*(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),)


class FileTree(Protocol):
    """Folders and files below one place. Paths are relative to it, with ``/``; ``""`` is the place itself.

    Small, and cheap to send to a worker process.
    """

    name: str
    """For people: the last part of the path."""

    location: str
    """Absolute path of the folder or archive, for messages and as identity."""

    in_order: bool
    """Whether files are best read in the order of their positions, by one process."""

    def stamp(self) -> str:
        """Say cheaply whether anything may have changed; reads no file."""
        ...

    def entries(self, place: str) -> tuple[list[str], list[str]]:
        """Names of the files (in any order) and of the folders (sorted) in a folder, clutter left out."""
        ...

    def clutter(self, place: str) -> list[str]:
        """Names of the folders in a folder that `entries` leaves out: hidden ones, and those of systems and tools."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Say what of it is not read: a line each, for people."""
        ...

    def where(self, path: str) -> str:
        """Name a file or folder for messages."""
        ...

    def position(self, path: str) -> int:
        """Where a file lies among the others."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Open a file, seekable; raises OSError."""
        ...

    def read(self, path: str) -> bytes:
        """Read a whole image file.

        Raises
        ------
        UnreadableImageError
            It cannot be read, or is larger than `MAX_FILE_BYTES`.
        """
        ...


@dataclass
class DiskTree:
    """A folder on disk.

    Parameters
    ----------
    folder : Path
        The outermost folder.
    """

    folder: Path
    name: str = field(init=False)
    location: str = field(init=False)
    in_order: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder).resolve()
        self.name, self.location = self.folder.name, str(self.folder)

    def stamp(self) -> str:
        """Time of change and number of entries of every folder; no file is opened."""
        digest = blake2b(digest_size=16)
        pending = [(self.location, 0)]
        while pending:
            place, depth = pending.pop()
            count, folders = count_entries(place)
            time = os.stat(place).st_mtime_ns
            digest.update(f"{place}\0{time}\0{count}\n".encode(errors="surrogateescape"))
            pending += [(f"{place}/{name}", depth + 1) for name in descend(folders, place, depth)]
        return digest.hexdigest()

    def entries(self, place: str) -> tuple[list[str], list[str]]:
        """Names of files and folders, as `FileTree` says."""
        return entries(self.where(place))

    def clutter(self, place: str) -> list[str]:
        """Names of folders, as `FileTree` says."""
        with os.scandir(self.where(place)) as found:
            return sorted(one.name for one in found if is_clutter(one.name) and one.is_dir())

    def notes(self) -> tuple[str, ...]:
        """Nothing: links are followed."""
        return ()

    def where(self, path: str) -> str:
        """Absolute path."""
        return f"{self.location}/{path}" if path else self.location

    def position(self, path: str) -> int:
        """Not known: all the same."""
        return 0

    def open(self, path: str) -> BinaryIO:
        """Open a file, without a buffer."""
        return open(self.where(path), "rb", buffering=0)

    def read(self, path: str) -> bytes:
        """Read a whole file."""
        return read_bytes(self.where(path))


def read_bytes(path: str) -> bytes:
    """Read a whole file in as few system calls as there can be."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            data = os.read(handle, 1 << 16)
            if len(data) < 1 << 16:
                return data
            pieces, size = [data], len(data)
            while piece := os.read(handle, 1 << 20):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_FILE_BYTES:
                    raise UnreadableImageError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
            return b"".join(pieces)
        finally:
            os.close(handle)
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error


def is_archive(path: Path) -> bool:
    """Whether a file is an archive by its ending."""
    return path.name.lower().endswith(ARCHIVE_ENDINGS)
