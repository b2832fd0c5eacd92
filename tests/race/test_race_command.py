"""``python -m benchmarks.race`` as a person meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convtrials.data.dataset import Dataset

ROOT = Path(__file__).parents[2]
SMALL = ["--width", "0.05", "--batch-size", "16", "--precision", "fp32", "--threads", "1", "--no-peak"]


def start(*arguments: str | Path, folder: Path) -> "subprocess.Popen[str]":
    """Start the command; whatever it writes for its contestants is below ``folder``."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.race", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder), "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def race(*arguments: str | Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    process = start(*arguments, folder=folder)
    shown, told = process.communicate(timeout=200)
    return subprocess.CompletedProcess(process.args, process.returncode, shown, told)


def commands_below(folder: Path) -> list[str]:
    """Command lines of processes that name a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if f"{folder}/convtrials-bench-" in line]


@pytest.fixture
def images(make_dataset: Callable[..., Dataset], tmp_path: Path) -> Path:
    data = make_dataset()
    np.savez(tmp_path / "patterns.npz", images=data.images, labels=data.labels)
    return tmp_path / "patterns.npz"


def test_from_the_root_of_the_repository_it_needs_no_path() -> None:
    typed = [sys.executable, "-m", "benchmarks.race", "--help"]
    done = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "python -m benchmarks.race [OPTIONS]" in done.stdout
    assert "--peers" in done.stdout


def test_ours_is_measured_and_written(images: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:begin alexnet -->\n<!-- bench:end alexnet -->\nafter\n")
    options = ["--data", images, *SMALL, "--rounds", "1", "--steps", "2", "--table", page]
    done = race(*options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "results: bench-alexnet.json" in done.stdout
    result = json.loads((tmp_path / "bench-alexnet.json").read_text())
    assert [entry["name"] for entry in result["contestants"]] == ["ours", "ours-fp32", "ours-together"]
    for entry in result["contestants"]:
        assert (entry["status"], entry["why"]) == ("measured", None)
        assert entry["parameters"] == result["setting"]["parameters"]
        (one,) = entry["rounds"]
        assert one["images"] == 2 * 16 * entry["processes"]
    ours, fp32, together = result["contestants"]
    pinned = ("device", "precision", "threads")  # the memory format is probed
    assert [ours["settings"][key] for key in pinned] == [fp32["settings"][key] for key in pinned]
    assert ours["ours_over_this"]["median"] == together["ours_over_this"]["median"] == 1
    assert fp32["ours_over_this"]["median"] == pytest.approx(
        ours["images_per_second"]["median"] / fp32["images_per_second"]["median"]
    )
    assert result["setting"]["image"] == [28, 28, 1]
    assert result["command"].startswith("python -m benchmarks.race --data")
    assert result["setting"]["round"] == {"steps": 2}
    told = page.read_text()
    assert told.startswith("before\n<!-- bench:begin alexnet -->\n**alexnet**")
    assert "| convtrials, fp32 |" in told
    assert told.endswith("<!-- bench:end alexnet -->\nafter\n")
    assert commands_below(tmp_path) == []
    assert list(tmp_path.glob("convtrials-bench-*")) == []


def test_who_hangs_is_told_and_the_results_are_written(images: Path, tmp_path: Path) -> None:
    """No engine is ready within the limit: a row each, the files all the same, and the exit code of no result."""
    options = ["--data", images, *SMALL, "--rounds", "1", "--start-limit", "0.1", "--table", "new.md"]
    done = race(*options, folder=tmp_path)
    assert done.returncode == 1
    told = "hung: no answer within 0.1 s while starting"
    assert f"convtrials, fp32: {told}" in done.stderr
    assert "results: bench-alexnet.json\ntable: new.md (a new file)\n" in done.stdout
    result = json.loads((tmp_path / "bench-alexnet.json").read_text())
    assert {(entry["status"], entry["why"]) for entry in result["contestants"]} == {("failed", told)}
    assert f"| convtrials, fp32 | not measured | | {told} |" in (tmp_path / "new.md").read_text()
    assert commands_below(tmp_path) == []


def test_ctrl_c_leaves_nothing_behind(images: Path, tmp_path: Path) -> None:
    process = start("--data", images, *SMALL, "--seconds", "600", folder=tmp_path)
    deadline = time.monotonic() + 100
    while not commands_below(tmp_path):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; nothing is left running" in told
    assert "Traceback" not in told
    assert commands_below(tmp_path) == []
    assert list(tmp_path.glob("convtrials-bench-*")) == []
    assert not (tmp_path / "bench-alexnet.json").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "resnet"], "--model resnet: the benchmark knows alexnet and vgg11"),
        (
            ["--peers", "keras,pytorch"],
            "--peers pytorch: choose of keras, lightning, plain, notebook, or all",
        ),
        (["--seconds", "1", "--steps", "3"], "in seconds or in steps"),
        (["--precision", "fp8"], "allowed are fp32 and bf16"),
        (["--width", "0"], "greater than or equal to 0.01"),
        (["--out", "nowhere/bench.json"], "must be a file in a folder that exists"),
        (["--table", "nowhere/none.md"], "none.md: must be a file in a folder that exists"),
        (["--table", "."], ".: not readable"),
        (["--round-limit", "0"], "greater than or equal to 0.1"),
        (["--data", "nowhere"], "nowhere: no such file or folder"),
        (["--data", "patterns.npz", "--batch-size", "64"], "two batches are needed"),
    ],
)
def test_bad_input_is_told_before_anything_is_measured(
    images: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = race(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("bench-*.json"))
