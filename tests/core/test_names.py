import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convtrials.core.names import merged_names, unreserved, windows_refuses


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("con", False), ("CON", False), ("aux.txt", False), ("nul .x", False), ("com1", False), ("lpt³", False),
        ("con5", True), ("console", True), ("com10", True), ("a", True), ("é", True), (".hidden", True),
        ("a:b", False), ("why?", False), ('a"b', False), ("a\tb", False), ("a/b", False),
        ("a.", False), ("a ", False), ("...", False), (" a", True), ("a.b", True),
    ],
)  # fmt: skip
def test_what_windows_takes_as_a_name(name: str, allowed: bool) -> None:
    assert (windows_refuses(name) is None) is allowed


@given(st.text("abcdefxulnopCONAUX.-0123456789", min_size=1, max_size=12).map(lambda name: f"{name}-3f2a1b"))
def test_a_name_that_we_make_is_never_a_devices(name: str) -> None:
    made = unreserved(name)
    assert windows_refuses(made) is None
    assert made == name or windows_refuses(name) is not None  # else it stays as it is
    assert unreserved(made) == made


def test_names_that_a_file_system_made_one_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a", "A", "b", "é", "É", "end."]
    monkeypatch.setattr(os, "listdir", lambda folder: names)
    assert merged_names(tmp_path, names) == []
    # As on macOS and Windows: the second of two keeps the name of the first.
    monkeypatch.setattr(os, "listdir", lambda folder: ["a", "b", "e\N{COMBINING ACUTE ACCENT}", "end."])
    assert merged_names(tmp_path, names) == ["A", "a", "É", "é"]
    # As on Windows: dots at the end are dropped.
    monkeypatch.setattr(os, "listdir", lambda folder: ["a", "end"])
    assert merged_names(tmp_path, ["a", "end."]) == ["end."]
    # As on old file systems of macOS: accents are written apart, and are the same name.
    monkeypatch.setattr(os, "listdir", lambda folder: ["e\N{COMBINING ACUTE ACCENT}"])
    assert merged_names(tmp_path, ["é"]) == []
