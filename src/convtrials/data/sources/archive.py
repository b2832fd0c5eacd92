"""A zip or tar archive as a tree of files, read in place: nothing is unpacked to disk."""

import lzma
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from convtrials.core.errors import DataError
from convtrials.data.paths import is_clutter
from convtrials.data.sources.images import UnreadableImageError
from convtrials.data.sources.tree import ARCHIVE_ENDINGS, MAX_FILE_BYTES

#: An archive of more entries is refused.
MAX_ENTRIES = 5_000_000
#: What grows beyond both, in bytes and compared with what is stored, is a decompression bomb.
_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 200
#: A compressed tar may be so much larger than the ratio says.
_STREAM_BYTES = 1 << 30
_LONGEST_TARGET = 4096
_BROKEN = (
    *(OSError, EOFError, ValueError, IndexError, RuntimeError, NotImplementedError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
)


@dataclass(frozen=True)
class _Entry:
    """A file of an archive: where its bytes begin in a tar's stream, or how a zip names it."""

    size: int
    offset: int = 0
    raw_name: str = ""
    stored: int = 0


@dataclass
class ArchiveTree:
    """A zip or tar file, plain or compressed.

    Links to files of the same archive are followed, others are left out, with a note. A compressed tar is one stream:
    its files are read in their order, by one process.

    Parameters
    ----------
    path : Path
        The archive.

    Raises
    ------
    DataError
        It is damaged or encrypted, names files outside itself, or has too many entries.
    """

    path: Path
    name: str = field(init=False)
    location: str = field(init=False)
    in_order: bool = field(init=False)
    _files: dict[str, _Entry] | None = field(default=None, init=False, repr=False)
    _folders: dict[str, tuple[list[str], list[str]]] | None = field(default=None, init=False, repr=False)
    _left_out: int = field(default=0, init=False, repr=False)
    _stream: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.path = Path(self.path).resolve()
        self.location = str(self.path)
        lower = self.path.name.lower()
        ending = max((one for one in ARCHIVE_ENDINGS if lower.endswith(one)), key=len, default="")
        self.name = self.path.name[: len(lower) - len(ending)]
        self.in_order = ending not in (".zip", ".tar")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stream": None}  # an open file does not travel to other processes

    def stamp(self) -> str:
        """Size and time of the archive."""
        found = self.path.stat()
        return f"{found.st_size}:{found.st_mtime_ns}"

    def entries(self, place: str) -> tuple[list[str], list[str]]:
        """Names of files and folders, as `FileTree` says."""
        files, folders = self._places().get(place, ([], []))
        return list(files), list(folders)

    def clutter(self, place: str) -> list[str]:
        """Names of folders, as `FileTree` says."""
        start = f"{place}/" if place else ""
        inside = (path[len(start) :].split("/") for path in self._index() if path.startswith(start))
        return sorted({parts[0] for parts in inside if len(parts) > 1 and is_clutter(parts[0])})

    def where(self, path: str) -> str:
        """Archive and name."""
        return f"{self.location}/{path}" if path else self.location

    def position(self, path: str) -> int:
        """Where a file lies in the archive, for reading in order."""
        return self._index()[path].offset

    def open(self, path: str) -> BinaryIO:
        """Open a file."""
        try:
            return BytesIO(self.read(path))
        except UnreadableImageError as error:
            raise OSError(str(error)) from error

    def read(self, path: str) -> bytes:
        """Read a whole file, of bounded size."""
        entry = self._index().get(path)
        if entry is None:
            raise UnreadableImageError("no such file in the archive")
        if entry.size > MAX_FILE_BYTES:
            raise UnreadableImageError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
        if entry.size > _BOMB_BYTES and entry.size > _BOMB_RATIO * max(1, entry.stored):
            raise UnreadableImageError(
                f"{entry.stored:,} bytes that grow to {entry.size:,}: a decompression bomb"
            )
        try:
            data = self._bytes(entry)
        except _BROKEN as error:
            raise UnreadableImageError(f"damaged in the archive ({error!s:.80})") from error
        if len(data) < entry.size:
            raise UnreadableImageError("cut short in the archive")
        return data

    def _bytes(self, entry: _Entry) -> bytes:
        if self._stream is None:
            self._stream = self._opened()
        if isinstance(self._stream, zipfile.ZipFile):
            with self._stream.open(entry.raw_name) as file:
                return file.read(entry.size)
        stream = self._stream.fileobj
        stream.seek(entry.offset)  # forwards a compressed stream is read on, backwards it begins again
        return bytes(stream.read(entry.size))

    def _opened(self) -> "zipfile.ZipFile | tarfile.TarFile":
        try:
            if zipfile.is_zipfile(self.path):
                return zipfile.ZipFile(self.path)
            return tarfile.open(self.path)
        except _BROKEN as error:
            raise DataError(f"{self.path}: not an archive that can be read ({_first_line(error)})") from error

    def _index(self) -> dict[str, _Entry]:
        if self._files is None:
            self._stream = self._opened()
            found: dict[str, _Entry] = {}
            self._left_out = 0
            try:
                listed = (
                    self._zip_entries() if isinstance(self._stream, zipfile.ZipFile) else self._tar_entries()
                )
                for name, entry in listed:
                    found[self._relative(name)] = entry  # of two of one name the later, as unpacking does
                    if len(found) > MAX_ENTRIES:
                        raise DataError(f"{self.path}: more than {MAX_ENTRIES:,} files")
            except _BROKEN as error:
                raise DataError(f"{self.path}: damaged ({_first_line(error)})") from error
            self._files = found
        return self._files

    def notes(self) -> tuple[str, ...]:
        """Name what is not read: links to folders and out of the archive, and sparse files of a tar."""
        self._index()
        if not self._left_out:
            return ()
        return (f"left out: {self._left_out:,} link(s) to what is no file of the archive, or sparse file(s)",)

    def _zip_entries(self) -> Iterator[tuple[str, _Entry]]:
        links: list[tuple[str, str]] = []
        files: dict[str, _Entry] = {}
        for info in self._stream.infolist():
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                raise DataError(f"{self.path}: encrypted; unpack it first")
            name = _zip_name(info)
            if stat.S_ISLNK(info.external_attr >> 16):
                with self._stream.open(info) as file:
                    links.append((name, _target(name, file.read(_LONGEST_TARGET).decode(errors="replace"))))
                continue
            files[name] = _Entry(info.file_size, info.header_offset, info.filename, info.compress_size)
            yield name, files[name]
        yield from self._linked(links, files)

    def _tar_entries(self) -> Iterator[tuple[str, _Entry]]:
        most = _BOMB_RATIO * self.path.stat().st_size + _STREAM_BYTES
        links: list[tuple[str, str]] = []
        files: dict[str, _Entry] = {}
        for member in self._stream:
            if member.offset_data > most:
                raise DataError(f"{self.path}: grows beyond {most >> 20:,} MiB: a decompression bomb")
            if member.islnk():
                links.append((member.name, member.linkname))
            elif member.issym():
                links.append((member.name, _target(member.name, member.linkname)))
            elif member.issparse():
                self._left_out += 1
            elif member.isreg():
                # Stored bytes are those of the stream: what is in it was paid for.
                files[member.name] = _Entry(member.size, member.offset_data, stored=member.size)
                yield member.name, files[member.name]
        yield from self._linked(links, files)

    def _linked(self, links: list[tuple[str, str]], files: dict[str, _Entry]) -> Iterator[tuple[str, _Entry]]:
        """Yield links to files of the archive, and count the others."""
        for name, target in links:
            if target in files:
                yield name, files[target]
            elif not any(map(is_clutter, filter(None, name.split("/")))):
                self._left_out += 1

    def _relative(self, name: str) -> str:
        """Return a name in the archive as a path below it."""
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        outside = name.startswith(("/", "\\")) or ".." in parts or (parts and parts[0].endswith(":"))
        if outside or "\0" in name:
            raise DataError(
                f"{self.path}: names a file outside itself ({name!r:.60}); such an archive is not read"
            )
        return "/".join(parts)

    def _places(self) -> dict[str, tuple[list[str], list[str]]]:
        """Files and folders of every folder."""
        if self._folders is None:
            files: dict[str, list[str]] = {"": []}
            folders: dict[str, set[str]] = {"": set()}
            for path in self._index():
                parts = path.split("/")
                if any(is_clutter(part) for part in parts):
                    continue
                place = "/".join(parts[:-1])
                files.setdefault(place, []).append(parts[-1])
                for depth in range(len(parts) - 1):
                    folders.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
            self._folders = {
                place: (files.get(place, []), sorted(folders.get(place, ())))
                for place in files.keys() | folders.keys()
            }
        return self._folders


def _target(name: str, link: str) -> str:
    """Return the name that a symbolic link leads to; one that no file has where it leads out."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def _first_line(error: Exception) -> str:
    """Say what is wrong in a line: tarfile lists every compression that it tried."""
    return (str(error).splitlines() or [type(error).__name__])[0][:80].rstrip(" :")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name; macOS writes UTF-8 without saying so, which reads as code page 437 otherwise."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename
