"""`benchmarks/gpu/gpu.sh` runs without a GPU, and a part that fails costs its row, not the table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.table import gathered, table, with_shares

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "gpu.sh"


def test_the_script_measures_and_writes_json(tmp_path: Path) -> None:
    asked = {"OUT": str(tmp_path), "PARTS": "matmul inference replicas-quarter", "CUDA_VISIBLE_DEVICES": ""}
    environment = {**os.environ, "PYTHON": sys.executable, **asked}
    done = subprocess.run(
        ["bash", str(SCRIPT), "--small"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
        check=True,
    )
    found = json.loads((tmp_path / "gpu.json").read_text())
    parts = ["matmul"] * 2 + ["replicas-quarter"] * 4 + ["inference"] * 4
    assert [one["part"] for one in found["rows"]] == parts
    assert all(one["value"] > 0 for one in found["rows"])
    assert found["machine"]["torch"]
    assert done.stdout.count("\n| ") == 2 + 10  # head, rule, rows


def test_a_wrong_option_is_told() -> None:
    done = subprocess.run(["bash", str(SCRIPT), "--big"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


def test_failed_parts_keep_their_place_and_their_first_rows(tmp_path: Path) -> None:
    parts = {
        "matmul": (0, [{"what": "product", "value": 100.0, "unit": "TFLOP/s", "peak": "bf16"}], ""),
        "alexnet": (124, [{"what": "fp32", "value": 1e6, "unit": "images/s", "flop": 25_000_000}], ""),
        "vgg11": (1, [], "Traceback\nRuntimeError: a | b"),
    }
    for place, (name, (code, rows, said)) in enumerate(parts.items()):
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(json.dumps({"part": name, **one}) + "\n" for one in rows) + '{"cut'
        )
        (tmp_path / f"{name}.err").write_text(said)
        (tmp_path / f"{name}.code").write_text(f"{code}\n")
        os.utime(tmp_path / f"{name}.code", (place, place))
    rows = with_shares(gathered(tmp_path))
    assert [one["part"] for one in rows] == ["matmul", "alexnet", "alexnet", "vgg11"]
    assert rows[1]["share_of_bf16_peak"] == pytest.approx(0.25)
    lines = table(rows).splitlines()
    assert lines[3] == "| fp32 | 1,000,000 | images/s | 25.0% |  |"
    assert lines[4] == "| alexnet | | | | failed: out of time |"
    assert lines[5] == "| vgg11 | | | | failed: RuntimeError: a / b |"
