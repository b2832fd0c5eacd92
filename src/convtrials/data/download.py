"""One large file over HTTP: resumed where it broke off, bounded, checked by MD5, put in place by one rename.

While a download is under way the folder holds ``NAME.part`` (the bytes so far) and ``NAME.part.json`` (what
the server said of them). ``NAME`` itself exists only once its checksum was right: presence is proof.
"""

import errno
import hashlib
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO

from convtrials.core.errors import DataError
from convtrials.core.progress import Task, progress_task
from convtrials.data.partial import PartialFile, only_one

#: Bytes asked of the connection at a time.
CHUNK = 1 << 18

#: HTTP errors that pass: time-outs, too many requests, and whatever ails the server itself.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


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
    silent: bool = False,
) -> Path:
    """Download ``url`` to ``target`` unless it is there already.

    Parameters
    ----------
    url : str
        Where the file is; ``https`` or ``http``. A redirect may lead from ``http`` to ``https``, never back,
        and to no other scheme.
    target : Path
        Where it goes. Exists afterwards, whole and verified, or not at all.
    md5 : str
        Hex digest that the file must have.
    max_bytes : int
        A file announced or found to be larger is refused; never are more bytes written.
    timeout : float
        Seconds that a connection may stay silent.
    attempts : int
        Connections tried in all, at least 1, before giving up. What arrived is kept for the next call.
    wait : float
        Seconds before the second attempt, doubled before each further one.
    remedy : str
        What else a person can do, such as where to put a copy of the file; ends the error messages.
    silent : bool
        Show no progress.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    DataError
        If the server cannot be reached, refuses, sends too much, or sends other bytes than ``md5`` says; or
        if the disk is full or may not be written.
    """
    target = Path(target)
    if target.exists():
        return target
    if urllib.parse.urlsplit(url).scheme not in ("https", "http"):
        raise DataError(f"cannot download {url}: only https and http addresses are allowed")
    order = _Order(url, max_bytes, timeout, max(1, attempts), wait, remedy)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_one(target.with_name(target.name + ".lock")):
            if target.exists():  # another process finished it while this one waited
                return target
            part = PartialFile(target.with_name(target.name + ".part"), url)
            _fetch(order, part, silent)
            _verify(order, part, md5)
            part.move_to(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {target}: {reason}{_second_line(remedy)}") from error
    return target


@dataclass(frozen=True)
class _Order:
    url: str
    max_bytes: int
    timeout: float
    attempts: int
    wait: float
    remedy: str


class _Interrupted(Exception):
    """An attempt failed in a way that another one may mend; ``reached``: whether a server had answered."""

    def __init__(self, reason: str, *, reached: bool = True):
        super().__init__(reason)
        self.reached = reached


class _CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects within http(s) only, and never from https down to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or req.type == "https"):
            raise DataError(f"{req.full_url} redirects to {newurl}: {req.type} to {scheme} is not allowed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # Built by hand: urllib's default also opens file: and ftp: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _CarefulRedirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _fetch(order: _Order, part: PartialFile, silent: bool) -> None:
    """Bring ``part`` to its full length, in as many connections as ``order`` allows."""
    reached = False
    with ExitStack() as stack:
        bar = _Bar(stack, f"downloading {part.path.name.removesuffix('.part')}", silent)
        for attempt in range(1, order.attempts + 1):
            if part.complete():
                return
            try:
                _attempt(order, part, bar)
                return
            except _Interrupted as cut:
                reached = reached or cut.reached
                # Where no server ever answered the machine is offline: do not keep the person waiting.
                if not reached or attempt == order.attempts:
                    raise _gave_up(order, part, str(cut), attempt) from cut
                pause = order.wait * 2 ** (attempt - 1)
                bar.note(f"{cut}; trying again in {pause:g} s")
                time.sleep(pause)


def _attempt(order: _Order, part: PartialFile, bar: "_Bar") -> None:
    """Ask for what is missing and append it."""
    with _open(order, part) as response:
        part.begin(response.status, response.headers)
        if part.total is not None and part.total > order.max_bytes:
            size = part.total
            part.discard()
            raise DataError(f"{order.url} announces {size:,} bytes; at most {order.max_bytes:,} are allowed")
        _check_room(part)
        bar.start(part.size, part.total)
        limit = order.max_bytes if part.total is None else part.total
        with open(part.path, "ab") as file:
            while chunk := _read(response):
                if part.size + len(chunk) > limit:
                    file.close()
                    part.discard()
                    raise DataError(f"{order.url} sends more than {limit:,} bytes: nothing was kept")
                file.write(chunk)
                part.size += len(chunk)
                bar.advance(part.size, len(chunk))
    if part.total is not None and part.size < part.total:
        raise _Interrupted("the connection was cut")


def _open(order: _Order, part: PartialFile) -> HTTPResponse:
    headers = {"User-Agent": "convtrials", "Accept-Encoding": "identity", **part.request_headers()}
    request = urllib.request.Request(order.url, headers=headers)
    try:
        response = _opener().open(request, timeout=order.timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the kept bytes do not fit the file as it is now
            part.discard()
            raise _Interrupted("the server's file has changed, starting over") from error
        if error.code in PASSING:
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
        raise DataError(
            f"{order.url} cannot be downloaded: the server answered {error.code} {error.reason}"
            + _second_line(order.remedy)
        ) from error
    except urllib.error.URLError as error:
        raise _Interrupted(f"no connection ({_plain(error.reason)})", reached=False) from error
    except (OSError, HTTPException) as error:
        raise _Interrupted(_plain(error)) from error
    assert isinstance(response, HTTPResponse)
    kept = part.size
    if not part.fits(response.status, response.headers):
        response.close()
        part.discard()
        what = "starting over" if kept else f"status {response.status} makes no sense here"
        raise _Interrupted(f"the server did not send what was asked for, {what}")
    return response


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, HTTPException) as error:
        raise _Interrupted(_plain(error)) from error


def _plain(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "the server stayed silent too long"
    if isinstance(error, ConnectionError | HTTPException):
        return f"the connection was cut ({type(error).__name__})"
    return str(error) or type(error).__name__


def _check_room(part: PartialFile) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if part.total is not None and part.total - part.size > free:
        raise OSError(errno.ENOSPC, f"{part.total - part.size:,} bytes to go, {free:,} free on the disk")


def _gave_up(order: _Order, part: PartialFile, reason: str, attempt: int) -> DataError:
    tries = "" if attempt == 1 else f" after {attempt} attempts"
    of_total = "" if part.total is None else f" of {part.total:,}"
    kept = f"; {part.size:,}{of_total} bytes are kept" if part.size else ""
    again = "The same command goes on from there" if part.size else "The same command tries again"
    first = f"{order.url} could not be downloaded{tries}: {reason}{kept}."
    return DataError(f"{first}\n{again}{_or(order.remedy)}")


def _or(remedy: str) -> str:
    return f", or {remedy}." if remedy else "."


def _second_line(remedy: str) -> str:
    return f"\n{remedy[0].upper()}{remedy[1:]}." if remedy else ""


def _verify(order: _Order, part: PartialFile, md5: str) -> None:
    with open(part.path, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5.lower():
        size = part.size
        part.discard()
        raise DataError(
            f"{order.url}: wrong checksum, {size:,} bytes have MD5 {found}, not {md5}; they were removed.\n"
            f"The same command downloads the file anew{_or(order.remedy)}"
        )


class _Bar:
    """A progress bar whose total is known only once the server has answered."""

    def __init__(self, stack: ExitStack, name: str, silent: bool):
        self._stack, self._name, self._silent = stack, name, silent
        self._task: Task | None = None
        self._shown = 0
        self._total = ""

    def start(self, size: int, total: int | None) -> None:
        if self._task is None:
            self._task = self._stack.enter_context(progress_task(self._name, total, silent=self._silent))
        self._total = "" if total is None else f" of {total / 1e6:.0f}"
        self.advance(size, size - self._shown)  # a download that starts over takes the bar back

    def advance(self, size: int, amount: int) -> None:
        assert self._task is not None
        self._task.show(f"{size / 1e6:.0f}{self._total} MB")
        self._task.advance(amount)
        self._shown = size

    def note(self, text: str) -> None:
        if self._task is not None:
            self._task.note(text)
