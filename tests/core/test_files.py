import json
import os
import stat
from pathlib import Path

import pytest

from convtrials.core import files
from convtrials.core.files import atomic_path, cache_folder, move_folder, read_json, write_json, write_text


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_text(target, "old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        write_half()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_files_are_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "atomic", "")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"loss": float("nan"), "list": [float("inf"), 1.5, (2, "é")]})
    assert read_json(tmp_path / "a.json") == {"loss": None, "list": [None, 1.5, [2, "é"]]}
    json.loads((tmp_path / "a.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONVTRIALS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("CONVTRIALS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "convtrials"


def test_text_with_a_path_that_is_no_utf_8_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / "page.html", "caf\udce9 café")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "caf\\udce9 café"


def test_text_has_the_same_line_ends_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "linesep", "\r\n")
    write_text(tmp_path / "a.txt", "one\ntwo\n")
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\n"


class InUse:
    """A call that a file in use refuses a few times, as on Windows."""

    def __init__(self, refusals: int, call) -> None:
        self.refusals, self.call = refusals, call

    def __call__(self, *arguments: object) -> object:
        self.refusals -= 1
        if self.refusals >= 0:
            raise PermissionError(13, "in use")
        return self.call(*arguments)


def test_on_windows_a_file_in_use_is_tried_again_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "note.json"
    write_text(target, "old")
    monkeypatch.setattr(os, "replace", InUse(3, os.replace))
    with pytest.raises(PermissionError):  # elsewhere it is refused for good
        write_text(target, "new")
    assert os.listdir(tmp_path) == ["note.json"]
    monkeypatch.setattr(files, "WINDOWS", True)
    write_text(target, "new")
    assert target.read_text() == "new"
    monkeypatch.setattr(files, "IN_USE_SECONDS", 0.1)
    monkeypatch.setattr(os, "replace", InUse(10**6, os.replace))
    with pytest.raises(PermissionError):
        write_text(target, "newer")
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["note.json"]


@pytest.mark.parametrize("windows", [False, True])
def test_a_folder_takes_the_place_of_an_empty_one_and_of_nothing_else(
    windows: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WINDOWS", windows)
    for place in ("new", "empty", "full"):
        (tmp_path / f"{place}-source").mkdir()
        (tmp_path / f"{place}-source" / "a").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "b").touch()
    for place in ("new", "empty"):
        move_folder(tmp_path / f"{place}-source", tmp_path / place)
        assert os.listdir(tmp_path / place) == ["a"]
    with pytest.raises(OSError, match=r"not empty|exists"):
        move_folder(tmp_path / "full-source", tmp_path / "full")
    assert os.listdir(tmp_path / "full") == ["b"]


def test_on_windows_a_file_is_flushed_through_a_handle_that_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[bool] = []

    def fsync(handle: int) -> None:  # Windows refuses another handle: EBADF
        os.write(handle, b"new")
        flushed.append(True)

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(os, "fsync", fsync)
    files.flush(tmp_path / "a")
    assert flushed == [True]


def test_a_file_that_is_gone_is_removed_already(tmp_path: Path) -> None:
    files.remove_file(tmp_path / "a")
