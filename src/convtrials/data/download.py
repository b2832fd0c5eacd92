"""One large file over HTTP: resumed where it broke off, bounded, checked by MD5, put in place by one rename.

While a download is under way the folder holds ``NAME.part``, the bytes so far. ``NAME`` itself exists only once its
checksum was right: presence is proof. The checksum also judges resumed bytes, so that nothing is recorded of them.
"""

import errno
import hashlib
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from convtrials.core.errors import DataError
from convtrials.core.files import flush, replace_file
from convtrials.core.locks import FileLock
from convtrials.core.log import get_logger
from convtrials.core.progress import Task, progress_task

_log = get_logger(__name__)

#: Bytes asked of the connection at a time.
CHUNK = 1 << 18
#: HTTP errors that pass: time-outs, too many requests, and whatever ails the server itself.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


def download(
    url: str,
    target: Path,
    *,
    md5: str,
    max_bytes: int,
    timeout: float = 30.0,
    attempts: int = 5,
    wait: float = 1.0,
    remedy: str = "",
) -> Path:
    """Download ``url`` to ``target`` unless it is there already.

    Parameters
    ----------
    url : str
        ``https`` or ``http``. A redirect may lead from ``http`` to ``https``, never back, and to no other scheme.
    target : Path
        Exists afterwards, whole and with this MD5 (hex digest), or not at all.
    max_bytes : int
        A file announced or found to be larger is refused; never are more bytes written.
    timeout : float
        Seconds that a connection may stay silent.
    attempts, wait : int, float
        Connections tried, and seconds before the second, doubled before each further one. What arrived is kept for the
        next call.
    remedy : str
        What else a person can do, such as where to put a copy of the file; ends the error messages.

    Raises
    ------
    DataError
        The server cannot be reached, refuses, sends too much or other bytes, or the disk cannot be written.
    """
    target = Path(target)
    if target.exists():
        return target
    if url.partition("://")[0].lower() not in ("https", "http"):
        raise DataError(f"cannot download {url}: only https and http addresses are allowed")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(target.name + ".lock"))
        with lock.acquire(), ExitStack() as stack:  # one process at a time; the others wait
            if target.exists():  # another process finished it while this one waited
                return target
            transfer = _Transfer(url, target.with_name(target.name + ".part"), max_bytes, timeout, remedy)
            transfer.show = lambda total: stack.enter_context(
                progress_task(f"downloading {target.name}", total)
            )
            earlier = transfer.size
            transfer.fetch(attempts, wait)
            if earlier and transfer.md5() != md5.lower():  # what an earlier call left may be of another file
                transfer.discard()
                transfer.fetch(attempts, wait)
            transfer.move_to(target, md5.lower())
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}{_line(remedy)}") from error
    return target


class _Interrupted(Exception):
    """An attempt failed in a way that another one may mend; ``reached``: whether a server had answered."""

    def __init__(self, reason: str, *, reached: bool = True):
        super().__init__(reason)
        self.reached = reached


class _CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects within http(s) only, and never from https down to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or req.type == "https"):
            raise DataError(f"{req.full_url} redirects to {newurl}: {req.type} to {scheme} is not allowed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Transfer:
    """The bytes so far (``part``, ``size``), how many there will be (``total``), and how more are asked for."""

    def __init__(self, url: str, part: Path, max_bytes: int, timeout: float, remedy: str):
        self._url, self._part, self._max, self._timeout, self._remedy = url, part, max_bytes, timeout, remedy
        self.size = part.stat().st_size if part.exists() else 0
        self.total: int | None = None
        self.show: Any = None
        self._bar: Task | None = None
        self._shown = 0

    def fetch(self, attempts: int, wait: float) -> None:
        """Bring the part to its full length, in as many connections as are allowed."""
        reached = False
        for attempt in range(1, attempts + 1):
            try:
                return self._attempt()
            except _Interrupted as cut:
                reached = reached or cut.reached
                # Where no server ever answered the machine is offline: do not keep the person waiting.
                if not reached or attempt == attempts:
                    raise self._gave_up(str(cut), attempt) from cut
                pause = wait * 2 ** (attempt - 1)
                _log.info(f"{cut}; trying again in {pause:g} s")
                time.sleep(pause)

    def _attempt(self) -> None:
        """Ask for what is missing and append it."""
        response = self._open()
        if response is None:
            return
        with response:
            limit = self._max if self.total is None else self.total
            if limit > self._max:
                self.discard()
                raise DataError(f"{self._url} announces {limit:,} bytes; at most {self._max:,} are allowed")
            free = shutil.disk_usage(self._part.parent).free
            if self.total is not None and self.total - self.size > free:
                raise OSError(
                    errno.ENOSPC, f"{self.total - self.size:,} bytes to go, {free:,} free on the disk"
                )
            with open(self._part, "ab") as file:
                while chunk := self._read(response):
                    if self.size + len(chunk) > limit:
                        file.close()
                        self.discard()
                        raise DataError(f"{self._url} sends more than {limit:,} bytes: nothing was kept")
                    file.write(chunk)
                    self.size += len(chunk)
                    self._progress()
        if self.total is not None and self.size < self.total:
            raise _Interrupted("the connection was cut")

    def _open(self) -> HTTPResponse | None:
        """Open the answer that goes on where the part ends; None where the server has no more."""
        headers = {"User-Agent": "convtrials", "Accept-Encoding": "identity"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
        try:
            request = urllib.request.Request(self._url, headers=headers)
            opener = urllib.request.build_opener(_CarefulRedirects)
            response: HTTPResponse = opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and self.size:
                return None  # nothing lies behind these bytes: the checksum says whether they are the file
            if error.code in PASSING:
                raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
            raise DataError(
                f"{self._url} cannot be downloaded: the server answered {error.code} {error.reason}"
                + _line(self._remedy)
            ) from error
        except urllib.error.URLError as error:
            raise _Interrupted(f"no connection ({_plain(error.reason)})", reached=False) from error
        except (OSError, HTTPException) as error:
            raise _Interrupted(_plain(error)) from error
        except ValueError as error:  # an address that is none, ours or that of a redirect
            raise DataError(
                f"{self._url} cannot be downloaded: it is no address, or redirects to none ({error})"
                + _line(self._remedy)
            ) from error
        if not self._fits(response):
            response.close()
            what = "starting over" if self.size else f"status {response.status} is unexpected here"
            self.discard()
            raise _Interrupted(f"the server did not send what was asked for, {what}")
        return response

    def _fits(self, response: HTTPResponse) -> bool:
        """Take an answer that begins the file (200) or goes on where these bytes end (206: RFC 9110, 14.4)."""
        if response.status == 200:
            self.discard()
            length = response.headers.get("Content-Length", "")
            self.total = int(length) if re.fullmatch(r"\d{1,18}", length) else None
            return True
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if response.status != 206 or found is None or int(found[1]) != self.size:
            return False
        total = self.total if found[2] == "*" else int(found[2])
        same = self.total in (None, total)
        self.total = total
        return same

    def _read(self, response: HTTPResponse) -> bytes:
        try:
            return response.read1(CHUNK)
        except (OSError, HTTPException) as error:
            raise _Interrupted(_plain(error)) from error

    def _progress(self) -> None:
        if self._bar is None:
            self._bar = self.show(self.total)
        of_total = "" if self.total is None else f" of {self.total / 1e6:.0f}"
        self._bar.show(f"{self.size / 1e6:.0f}{of_total} MB")
        self._bar.advance(self.size - self._shown)  # a download that starts over takes the bar back
        self._shown = self.size

    def discard(self) -> None:
        """Forget everything that has arrived."""
        self._part.unlink(missing_ok=True)
        self.size, self.total = 0, None

    def md5(self) -> str:
        """Hex digest of the part."""
        with open(self._part, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

    def move_to(self, target: Path, md5: str) -> None:
        """Put the file in its place by one rename, or remove it where it is another one."""
        found, size = self.md5(), self.size
        if found != md5:
            self.discard()
            raise DataError(
                f"{self._url}: wrong checksum, {size:,} bytes have MD5 {found}, not {md5}; they were removed.\n"
                f"The same command downloads the file again{_or(self._remedy)}"
            )
        flush(self._part)
        replace_file(self._part, target)

    def _gave_up(self, reason: str, attempt: int) -> DataError:
        tries = "" if attempt == 1 else f" after {attempt} attempts"
        of_total = "" if self.total is None else f" of {self.total:,}"
        kept = f"; {self.size:,}{of_total} bytes are kept" if self.size else ""
        again = "The same command goes on from there" if self.size else "The same command tries again"
        return DataError(
            f"{self._url} could not be downloaded{tries}: {reason}{kept}.\n{again}{_or(self._remedy)}"
        )


def _plain(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, ConnectionError | HTTPException):
        return f"the connection was cut ({type(error).__name__})"
    return str(error) or type(error).__name__


def _or(remedy: str) -> str:
    return f", or {remedy}." if remedy else "."


def _line(remedy: str) -> str:
    return f"\n{remedy[0].upper()}{remedy[1:]}." if remedy else ""
