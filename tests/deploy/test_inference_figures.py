"""Latency, accuracy lost and the table: pure functions against known answers."""

import numpy as np
import pytest

from convtrials.deploy.extra import DeployError
from convtrials.deploy.inference_accuracy import compare_predictions
from convtrials.deploy.inference_table import (
    BEGIN,
    END,
    accuracy_table,
    check_block,
    markdown,
    replace_block,
    speed_table,
    wide_table,
)
from convtrials.deploy.inference_timing import summarise_latencies, take_turns


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, *durations: float):
        left = iter(durations[:-1])

        def call() -> None:
            self.now += next(left, durations[-1])
            self.log.append(name)

        return call


def test_turns_are_taken_and_warm_up_is_not_counted():
    clock = Clock()
    calls = {
        "slow": clock.work("slow", 9.0, 0.6),
        "fast": clock.work("fast", 5.0, 0.25),
        "mid": clock.work("mid", 0.5),
    }
    found = take_turns(calls, rounds=3, seconds=1.0, clock=clock)
    # The first call of all was slow: it warmed up.
    assert found["slow"] == [pytest.approx([0.6, 0.6])] * 3
    assert found["fast"] == [pytest.approx([0.25] * 4)] * 3
    assert found["mid"] == [pytest.approx([0.5, 0.5])] * 3
    order = [name for n, name in enumerate(clock.log) if n == 0 or clock.log[n - 1] != name]
    assert order == ["slow", "fast", "mid", "fast", "mid", "slow", "mid", "slow", "fast"]


def test_a_call_longer_than_its_turn_is_still_made_twice():
    clock = Clock()
    assert take_turns({"one": clock.work("one", 30.0)}, rounds=1, seconds=1.0, clock=clock) == {
        "one": [[30.0] * 2]
    }


def test_percentiles_and_throughput():
    latencies = [n / 1000 for n in range(1, 102)]  # 1 to 101 ms
    found = summarise_latencies([latencies[:50], latencies[50:]], batch_size=8)
    assert [found[key] for key in ("p50_ms", "p95_ms", "p99_ms")] == pytest.approx([51, 96, 100])
    assert found["images_per_second"] == pytest.approx(8 / 0.051)
    assert found["calls"] == 101
    assert found["p50_ms_by_round"] == pytest.approx([25.5, 76])


def predictions(chosen: list[int], classes: int = 3) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[chosen]


def test_accuracy_lost_is_paired():
    labels = np.array([0, 0, 1, 1, 2, 2, 0, 1])
    reference = predictions([0, 0, 1, 1, 2, 0, 1, 2])  # five right
    other = predictions(
        [0, 1, 1, 2, 2, 2, 2, 2]
    )  # two of them wrong, one more right, one wrong in another way
    found = compare_predictions(reference, other, labels)
    assert found.accuracy == 4 / 8
    assert found.lost_points == pytest.approx(12.5)
    assert (found.newly_wrong, found.newly_right, found.changed) == (2, 1, 4 / 8)
    assert found.largest_difference == 1
    assert found.lost_low < 12.5 < found.lost_high
    same = compare_predictions(reference, reference, labels)
    assert (same.lost_points, same.changed, same.largest_difference) == (0, 0, 0)
    assert same.lost_low < 0 < same.lost_high


def test_the_interval_is_that_of_matched_proportions():
    # The approval ratings of Agresti, Categorical Data Analysis, table 10.1: 794, 150, 86 and 570 of 1,600 people;
    # the difference is -0.04 with a 95% interval of -0.06 to -0.02. So large, the correction hardly shows.
    both, worse, better, neither = 794, 86, 150, 570
    labels = np.zeros(1600, np.int64)
    reference = predictions([0] * (both + worse) + [1] * (better + neither))
    other = predictions([0] * both + [1] * worse + [0] * better + [1] * neither)
    found = compare_predictions(reference, other, labels)
    assert found.lost_points == pytest.approx(-4.0)
    assert (found.lost_low, found.lost_high) == pytest.approx((-5.86, -2.14), abs=0.03)


def test_the_interval_covers_small_losses():
    draws, images, kept = np.random.default_rng(0), 400, 0
    labels = np.zeros(images, np.int64)
    for _ in range(300):
        worse = draws.random(images)
        reference = predictions(np.zeros(images, int).tolist())
        reference[worse > 0.98] = np.eye(3)[1]  # 2% only the other gets right
        other = predictions((worse < 0.03).astype(int).tolist())  # 3% only the reference
        found = compare_predictions(reference, other, labels)
        kept += found.lost_low <= 1.0 <= found.lost_high
    assert kept / 300 > 0.92


def measured(name: str, scale: float, **rest) -> dict:
    batches = {
        size: {
            "p50_ms": scale * ms,
            "p95_ms": scale * ms * 2,
            "p99_ms": scale * ms * 3,
            "images_per_second": rate / scale,
        }
        for size, ms, rate in (("1", 2.0, 500.0), ("512", 400.0, 1280.0))
    }
    lost = {"lost_points": 0.0, "lost_low": -0.1, "lost_high": 0.1, "changed": 0.0125}
    return {
        "name": name,
        "available": True,
        "bytes": 2_500_000,
        "accuracy": 0.9087,
        "batches": batches,
        **lost,
        **rest,
    }


@pytest.fixture
def document() -> dict:
    missing = {"name": "onnx-bf16", "available": False, "reason": "no | kernel\nfor <Conv>"}
    return {
        "run": {"model": "alexnet", "parameters": 5351652, "image_shape": [28, 28, 1]},
        "dataset": {"name": "emnist36", "test_images": 12750, "calibration": {"split": "val", "images": 512}},
        "settings": {
            "threads": 2, "rounds": 5, "seconds": 1.0, "batch_sizes": [1, 512], "most_images": None, "engines": None,
        },
        "machine": {
            "processor": "Some CPU", "vector_units": ["avx2"], "packages": {"torch": "2.13", "onnxruntime": None},
            "load_before": 0.25,
        },
        "reference": "torch-fp32",
        "engines": [measured("torch-fp32", 1.0), missing, measured("onnx-int8", 0.25, lost_points=-0.31)],
    }  # fmt: skip


def test_the_markdown_table(document):
    lines = markdown(document).splitlines()
    assert lines[2] == (
        "| torch-fp32 | 2.00 / 4.00 / 6.00 | 500 | 400 / 800 / 1,200 | 1,280 | 90.87% | reference |  | 2.5 |"
    )
    assert lines[3].startswith("| onnx-bf16 | not available: no \\| kernel for &lt;Conv> |")
    assert lines[4] == (
        "| onnx-int8 | 0.50 / 1.00 / 1.50 | 2,000 (4.0x) | 100 / 200 / 300 | 5,120 (4.0x) | 90.87% "
        "| -0.31 (-0.10 to 0.10) | 1.25% | 2.5 |"
    )
    bars = {line.replace("\\|", "").count("|") for line in lines[:5]}
    assert bars == {10}
    assert "`convtrials benchmark RUN --batch-sizes 1,512 --threads 2 --rounds 5 --seconds 1`" in lines[6]
    assert "12,750 test images of emnist36; int8 calibrated on 512 validation images." in lines[6]
    assert lines[7] == "Some CPU, 2 threads (avx2); torch 2.13; 5 interleaved rounds of 1 s; load 0.2 before."


def test_the_tables_of_a_terminal_and_without_the_reference(document):
    _, speeds = speed_table(document)
    assert [row[:2] for row in speeds] == [
        ["torch-fp32", "1"], ["onnx-int8", "1"], ["torch-fp32", "512"], ["onnx-int8", "512"],
    ]  # fmt: skip
    assert [row[-1] for row in speeds] == ["", "4.00", "", "4.00"]
    assert [row[0] for row in accuracy_table(document)[1]] == ["torch-fp32", "onnx-int8"]
    del document["engines"][0]
    assert [row[-1] for row in speed_table(document)[1]] == ["", ""]
    assert wide_table(document)[1][1][2] == "2,000"


def test_only_the_block_is_replaced_and_again(document, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"# Speed\n\n{BEGIN}\nold\n{END}\n\nThe rest.\n")
    for text in ("first\n", "second\n\n"):
        replace_block(page, text)
    assert page.read_text() == f"# Speed\n\n{BEGIN}\nsecond\n{END}\n\nThe rest.\n"


@pytest.mark.parametrize("text", ["nothing", f"{BEGIN}\n", f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_file_without_a_place_for_the_table_is_told_and_left(text, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(text)
    with pytest.raises(DeployError, match="needs a line"):
        replace_block(page, "table")
    assert page.read_text() == text
    with pytest.raises(DeployError, match="not readable"):
        replace_block(tmp_path, "table")


def test_a_file_that_is_not_there_is_made_with_its_block(tmp_path):
    page = tmp_path / "new.md"
    check_block(page)
    assert not page.exists()
    for text in ("first\n", "second\n"):
        replace_block(page, text)
        assert page.read_text() == f"{BEGIN}\n{text}{END}\n"
    with pytest.raises(DeployError, match=r"nowhere/new\.md: must be a file in a folder that exists"):
        check_block(tmp_path / "nowhere" / "new.md")
