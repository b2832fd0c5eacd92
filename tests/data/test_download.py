"""Downloads from a real server that cuts, hangs, forgets ranges, lies about sizes and serves damaged files."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from http_files import FileServer, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from convtrials.core.errors import DataError
from convtrials.data.download import download

BODY = np.random.default_rng(0).bytes(1_000_003)
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(BODY) as told:
        yield told


def fetch(server: FileServer, target: Path, **changes: object) -> Path:
    options = {"md5": MD5, "max_bytes": 2_000_000, "wait": 0.01, "timeout": 5.0, **changes}
    return download(server.url, target, **options)  # type: ignore[arg-type]


def left_over(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_whole_file_arrives_and_nothing_else_is_left(server: FileServer, tmp_path: Path):
    target = fetch(server, tmp_path / "deep" / "file.zip")
    assert target.read_bytes() == BODY
    assert left_over(target.parent) == {"file.zip"}
    assert server.requests[0].get("range") is None


def test_second_use_asks_the_server_nothing(server: FileServer, tmp_path: Path):
    fetch(server, tmp_path / "file.zip")
    fetch(server, tmp_path / "file.zip")
    assert len(server.requests) == 1


def test_cut_connection_is_resumed_where_it_broke_off(server: FileServer, tmp_path: Path):
    server.cuts = [300_000, 200_000]
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY
    assert [request.get("range") for request in server.requests] == [None, "bytes=300000-", "bytes=500000-"]
    assert server.sent == len(BODY)


def test_a_later_call_goes_on_from_what_an_earlier_one_kept(server: FileServer, tmp_path: Path):
    server.cuts = [300_000]
    with pytest.raises(DataError, match=r"connection was cut; 300,000 of 1,000,003 bytes are kept"):
        fetch(server, tmp_path / "file.zip", attempts=1)
    assert left_over(tmp_path) == {"file.zip.part"}
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY
    assert server.requests[1]["range"] == "bytes=300000-"
    assert server.sent == len(BODY)


def test_gives_up_after_the_attempts_allowed_and_says_how_to_go_on(server: FileServer, tmp_path: Path):
    server.cuts = [10] * 9
    with pytest.raises(DataError) as caught:
        fetch(server, tmp_path / "file.zip", attempts=3, remedy="ask a friend")
    first, second = str(caught.value).splitlines()
    assert "after 3 attempts" in first
    assert "30 of 1,000,003 bytes are kept" in first
    assert second == "The same command goes on from there, or ask a friend."
    assert len(server.requests) == 3


def test_waits_twice_as_long_before_each_further_attempt(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.statuses = [503] * 4
    fetch(server, tmp_path / "file.zip", wait=1.0)
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_finished_part_is_verified_and_not_sent_again(server: FileServer, tmp_path: Path):
    (tmp_path / "file.zip.part").write_bytes(BODY)
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY
    assert server.sent == 0


def test_server_without_ranges_starts_over(server: FileServer, tmp_path: Path):
    server.cuts, server.ignore_range = [300_000], True
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY
    assert server.requests[1]["range"] == "bytes=300000-"
    assert server.sent == 300_000 + len(BODY)


def test_file_that_changed_on_the_server_starts_over(server: FileServer, tmp_path: Path):
    server.cuts = [300_000]
    with pytest.raises(DataError):
        fetch(server, tmp_path / "file.zip", attempts=1)
    server.body, server.etag = BODY[::-1], '"two"'
    target = fetch(server, tmp_path / "file.zip", md5=hashlib.md5(BODY[::-1]).hexdigest())
    assert target.read_bytes() == BODY[::-1]


@pytest.mark.parametrize(
    "answer",
    ["bytes 300000-1000002/1000009", "bytes 5-1000002/1000003", "bytes */1000003", "nonsense"],
    ids=["other total", "other start", "no start", "no range"],
)
def test_answer_that_does_not_continue_the_part_starts_over(server: FileServer, tmp_path: Path, answer: str):
    server.cuts, server.content_range = [300_000], answer
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY
    assert [request.get("range") for request in server.requests] == [None, "bytes=300000-", None]


def test_part_longer_than_the_server_file_starts_over(server: FileServer, tmp_path: Path):
    (tmp_path / "file.zip.part").write_bytes(b"x" * (len(BODY) + 5))
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY  # the server answers 416 first
    assert [request.get("range") for request in server.requests] == [f"bytes={len(BODY) + 5}-", None]


def test_part_of_another_file_starts_over_once(server: FileServer, tmp_path: Path):
    (tmp_path / "file.zip.part").write_bytes(b"x" * 1000)
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY
    assert [request.get("range") for request in server.requests] == ["bytes=1000-", None]
    (tmp_path / "other.zip.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="wrong checksum"):
        fetch(server, tmp_path / "other.zip", md5="0" * 32)
    assert len(server.requests) == 4


def test_unknown_length_is_read_to_its_end(server: FileServer, tmp_path: Path):
    server.announce_length = False
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY


def test_wrong_checksum_removes_the_file_and_says_so(server: FileServer, tmp_path: Path):
    server.body = b"\0" + BODY[1:]
    with pytest.raises(DataError) as caught:
        fetch(server, tmp_path / "file.zip", remedy="use your own copy")
    message = str(caught.value)
    assert "wrong checksum" in message
    assert MD5 in message
    assert hashlib.md5(server.body).hexdigest() in message
    assert message.endswith("downloads the file again, or use your own copy.")
    assert left_over(tmp_path) == set()
    server.body = BODY
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY


def test_file_announced_too_large_is_refused_before_any_byte(server: FileServer, tmp_path: Path):
    with pytest.raises(DataError, match=r"announces 1,000,003 bytes; at most 1,000,002"):
        fetch(server, tmp_path / "file.zip", max_bytes=1_000_002)
    assert left_over(tmp_path) == set()


def test_endless_answer_is_stopped_at_the_bound(server: FileServer, tmp_path: Path):
    server.announce_length = False
    with pytest.raises(DataError, match="sends more than 500,000 bytes"):
        fetch(server, tmp_path / "file.zip", max_bytes=500_000)
    assert left_over(tmp_path) == set()


def test_missing_file_is_told_at_once(server: FileServer, tmp_path: Path):
    server.statuses = [404]
    with pytest.raises(DataError, match=r"answered 404 Not Found\nUse your own copy\.$"):
        fetch(server, tmp_path / "file.zip", remedy="use your own copy")
    assert len(server.requests) == 1


def test_passing_server_errors_are_tried_again(server: FileServer, tmp_path: Path):
    server.statuses = [500, 503]
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY
    assert len(server.requests) == 3


def test_silent_server_is_not_waited_for_forever(server: FileServer, tmp_path: Path):
    server.hang = threading.Event()
    started = time.monotonic()
    with pytest.raises(DataError, match="did not answer in time"):
        fetch(server, tmp_path / "file.zip", timeout=0.2, attempts=2)
    assert time.monotonic() - started < 5
    assert len(server.requests) == 2


def test_machine_offline_is_told_without_further_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/gzip.zip"
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waited"))
    with pytest.raises(DataError) as caught:
        download(url, tmp_path / "file.zip", md5=MD5, max_bytes=10, remedy="copy it")
    first, second = str(caught.value).splitlines()
    assert "no connection" in first
    assert second == "The same command tries again, or copy it."


def test_redirect_within_http_is_followed(server: FileServer, tmp_path: Path):
    server.redirect = "/there"
    assert fetch(server, tmp_path / "file.zip").read_bytes() == BODY


@pytest.mark.parametrize("scheme", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_redirect_to_another_scheme_is_refused(server: FileServer, tmp_path: Path, scheme: str):
    server.redirect = scheme
    with pytest.raises(DataError, match="not allowed"):
        fetch(server, tmp_path / "file.zip")
    assert left_over(tmp_path) == set()


@pytest.mark.parametrize("there", ["http://[::1", "http://a..b/", f"http://{'a' * 64}.example/"])
def test_redirect_to_what_is_no_address_is_refused_in_a_line(server: FileServer, tmp_path: Path, there: str):
    server.redirect = there
    with pytest.raises(DataError, match="redirects to none"):
        fetch(server, tmp_path / "file.zip")
    assert left_over(tmp_path) == set()


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:1/\xe4"])
def test_an_address_that_is_none_is_refused_in_a_line(url: str, tmp_path: Path):
    with pytest.raises(DataError, match="it is no address"):
        download(url, tmp_path / "file.zip", md5=MD5, max_bytes=10)


def test_redirect_from_https_down_to_http_is_refused():
    import urllib.request
    from http.client import HTTPMessage
    from io import BytesIO

    from convtrials.data.download import _CarefulRedirects

    request = urllib.request.Request("https://example.org/a")
    with pytest.raises(DataError, match="https to http is not allowed"):
        _CarefulRedirects().redirect_request(
            request, BytesIO(), 302, "Found", HTTPMessage(), "http://example.org/a"
        )


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "gzip.zip"])
def test_address_of_another_scheme_is_refused(url: str, tmp_path: Path):
    with pytest.raises(DataError, match="only https and http"):
        download(url, tmp_path / "file.zip", md5=MD5, max_bytes=10)


def test_folder_that_cannot_be_made_is_told_in_a_line(server: FileServer, tmp_path: Path):
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot write"):
        fetch(server, tmp_path / "taken" / "file.zip")


def test_two_at_once_download_once(server: FileServer, tmp_path: Path):
    threads = [threading.Thread(target=fetch, args=(server, tmp_path / "file.zip")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert len(server.requests) == 1


def test_progress_tells_of_the_interruption(
    server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    server.cuts = [300_000]
    fetch(server, tmp_path / "file.zip")
    assert "the connection was cut; trying again" in caplog.text


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, len(BODY) // 4), max_size=4))
def test_any_cuts_end_in_the_same_file(cuts: list[int], tmp_path_factory: pytest.TempPathFactory):
    with serving(BODY) as server:
        server.cuts = [*cuts]
        target = fetch(server, tmp_path_factory.mktemp("cuts") / "file.zip", wait=0.0)
        assert target.read_bytes() == BODY
        assert server.sent == len(BODY)
