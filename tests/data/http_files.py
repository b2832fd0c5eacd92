"""A real HTTP server on 127.0.0.1 that serves one file, well or badly as a test tells it."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What is served, how, and what was asked.

    `cuts` and `statuses` are used up, one item a request: bytes of the body after which the connection is cut
    (None: not at all), and the status to answer with (200: as usual).
    """

    body: bytes
    etag: str | None = '"one"'
    ignore_range: bool = False
    announce_length: bool = True
    redirect: str | None = None
    content_range: str | None = None
    cuts: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    hang: threading.Event | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    server_version = "test"

    def do_GET(self) -> None:
        told: FileServer = self.server.told  # type: ignore[attr-defined]
        told.requests.append({key.lower(): value for key, value in self.headers.items()})
        status = told.statuses.pop(0) if told.statuses else 200
        if told.hang is not None:
            told.hang.wait(20)
            return
        if told.redirect is not None and self.path != "/there":
            self._answer(302, {"Location": told.redirect})
        elif status != 200:
            self._answer(status, {"Content-Length": "0"})
        else:
            self._send_file(told)

    def _send_file(self, told: FileServer) -> None:
        start = self._start(told)
        if start is not None and start >= len(told.body):
            self._answer(416, {"Content-Range": f"bytes */{len(told.body)}", "Content-Length": "0"})
            return
        body = told.body[start or 0 :]
        headers = {} if told.etag is None else {"ETag": told.etag}
        if told.announce_length:
            headers["Content-Length"] = str(len(body))
        if start is not None:
            last = len(told.body) - 1
            headers["Content-Range"] = told.content_range or f"bytes {start}-{last}/{len(told.body)}"
        self._answer(200 if start is None else 206, headers)
        cut = told.cuts.pop(0) if told.cuts else None
        told.sent += len(body[:cut])
        self.wfile.write(body[:cut])

    def _start(self, told: FileServer) -> int | None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, told.etag)
        return int(found[1]) if found and same and not told.ignore_range else None

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(body: bytes, name: str = "gzip.zip") -> Iterator[FileServer]:
    """Serve ``body`` while the block runs."""
    told = FileServer(body)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.told = told  # type: ignore[attr-defined]
    told.url = f"http://127.0.0.1:{server.server_port}/{name}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        if told.hang is not None:
            told.hang.set()
        server.shutdown()
        server.server_close()
        thread.join()
