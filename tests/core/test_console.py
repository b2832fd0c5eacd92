"""Output whose encoding lacks our characters, as where Windows writes into a file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convtrials.core.console import for_print
from convtrials.core.formatting import Scale, times


def run(encoding: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, env=environment, timeout=250, check=False
    )


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "−1.50 0.90× – … • → ± \\udce9"),
        ("cp1252", "-1.50 0.90× – … • -> ± \\udce9"),
        ("cp437", "-1.50 0.90x - ... * -> ± \\udce9"),
        ("ascii", "-1.50 0.90x - ... * -> +/- \\udce9"),
    ],
)
def test_what_an_encoding_lacks_is_written_by_a_lookalike(encoding: str, shown: str) -> None:
    assert (Scale("a", "b", decimals=2).signed(-1.5), times(0.9, None)) == ("−1.50", "0.90×")
    script = (
        "from convtrials.core.console import print_any_text; import sys; print_any_text()\n"
        "for stream in sys.stdout, sys.stderr:\n"
        "    print('−1.50 0.90× – … • → ± \\udce9', file=stream)\n"
    )
    done = run(encoding, "-c", script)
    assert (done.returncode, done.stdout.decode(encoding).strip()) == (0, shown)
    assert done.stderr.decode(encoding).strip() == shown


@pytest.mark.parametrize(
    "arguments", [("doctor", "--no-speed"), ("models",), ("data", "info", "{data}"), ("--help",)]
)
@pytest.mark.parametrize("encoding", ["cp1252", "cp437"])
def test_tables_come_out_whole(encoding: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    data = tmp_path / "daten × −.npz"
    np.savez(data, images=np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8), labels=np.arange(40) % 2)
    done = run(encoding, "-m", "convtrials", *(one.format(data=data) for one in arguments))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.decode(encoding).splitlines()) > 5


def test_json_is_json_in_any_encoding(tmp_path: Path) -> None:
    names = np.array(["é", "−"])
    np.savez(
        tmp_path / "data.npz",
        images=np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8),
        labels=np.arange(40) % 2,
        class_names=names,
    )
    found = []
    for encoding in ("cp1252", "utf-8"):
        done = run(encoding, "-m", "convtrials", "data", "info", str(tmp_path / "data.npz"), "--json")
        found.append(json.loads(done.stdout.decode("utf-8")))
    assert found[0] == found[1]
    assert "−" in json.dumps(found[0], ensure_ascii=False)


def test_text_for_print_is_changed_only_where_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        encoding: str | None = "cp1252"

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    assert for_print("−1 ×") == "-1 ×"
    for encoding in ("utf-8", "UTF8", "utf-16", None, "no such encoding"):
        stream.encoding = encoding
        assert for_print("−1 ×") == "−1 ×"
