"""The part of a download that has arrived, and what must hold for a server's answer to continue it."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

from convtrials.core.files import read_json, write_json

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")

#: The note beside the bytes holds three short fields; anything larger was not written here.
_NOTE_LIMIT = 64_000


class PartialFile:
    """Bytes on disk, and a note beside them (``.json``): which version of the server's file they are.

    Attributes
    ----------
    path : Path
        The bytes so far.
    size : int
        How many there are.
    total : int or None
        Length of the whole file, where the server has said it.

    Notes
    -----
    Continuing follows RFC 9110, section 13.1.5 (``If-Range``) and section 14.4 (``Content-Range``).
    """

    def __init__(self, path: Path, url: str):
        self.path = path
        self._note_path = path.with_name(path.name + ".json")
        self._url = url
        note = self._read_note()
        self.total: int | None = note.get("total")
        self._validator: str | None = note.get("validator")
        self.size = path.stat().st_size if path.exists() else 0
        if self.size and (note.get("url") != url or (self.total is not None and self.size > self.total)):
            self.discard()

    def complete(self) -> bool:
        """Whether every byte that the server announced is here."""
        return self.total is not None and self.size == self.total and self.path.exists()

    def request_headers(self) -> dict[str, str]:
        """Headers that ask for the rest, provided that the server's file is still the same."""
        if not self.size:
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        if self._validator:
            headers["If-Range"] = self._validator
        return headers

    def fits(self, status: int, headers: Message) -> bool:
        """Whether an answer begins the file (200) or goes on exactly where these bytes end (206)."""
        if status == 200:
            return True
        if status != 206:
            return False
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != self.size:
            return False
        return found[3] == "*" or self.total is None or int(found[3]) == self.total

    def begin(self, status: int, headers: Message) -> None:
        """Make ready to append the body of an answer that fits; a 200 starts over."""
        if status == 200:
            self.path.write_bytes(b"")
            self.size = 0
            length = headers.get("Content-Length", "")
            self.total = int(length) if re.fullmatch(r"\d{1,18}", length) else None
            self._validator = _validator(headers)
        else:
            found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
            if found is not None and found[3] != "*":
                self.total = int(found[3])
        write_json(self._note_path, {"url": self._url, "total": self.total, "validator": self._validator})

    def discard(self) -> None:
        """Forget everything that has arrived."""
        self.path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)
        self.size, self.total, self._validator = 0, None, None

    def move_to(self, target: Path) -> None:
        """Put the finished file in its place by one rename."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, target)
        self._note_path.unlink(missing_ok=True)

    def _read_note(self) -> dict[str, Any]:
        """Read the note; a damaged one counts as none, and the download starts over."""
        try:
            if self._note_path.stat().st_size > _NOTE_LIMIT:
                return {}
            note = read_json(self._note_path)
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(note, dict):
            return {}
        total, validator = note.get("total"), note.get("validator")
        if not (total is None or (type(total) is int and total >= 0)):
            return {}
        if not (validator is None or (isinstance(validator, str) and validator.isprintable())):
            return {}
        return note


def _validator(headers: Message) -> str | None:
    """What identifies this version of the file: a strong ETag, else the time of its last change."""
    etag = headers.get("ETag", "").strip()
    if etag.startswith('"') and etag.isprintable():
        return str(etag)
    changed = headers.get("Last-Modified", "").strip()
    return str(changed) if changed and changed.isprintable() else None


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Let one process at a time into the block; the others wait (Windows has no such lock)."""
    with open(lock, "ab") as file:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
