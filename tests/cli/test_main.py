"""The command line as a person meets it: real processes."""

import html
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from convtrials import __version__
from convtrials.data.dataset import Dataset
from convtrials.training.recipe.recipe import Recipe

FAST = ["--width", "0.125", "--threads", "1", "--precision", "fp32", "--batch-size", "16"]


def convtrials(
    *arguments: str | Path, folder: Path, timeout: float = 200
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "convtrials.cli.main", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def images(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> Path:
    data = make_dataset()
    np.savez(tmp_path / "patterns.npz", images=data.images, labels=data.labels)
    return tmp_path / "patterns.npz"


def test_help_names_every_verb_and_imports_nothing_heavy(tmp_path: Path) -> None:
    shown = convtrials("--help", folder=tmp_path)
    assert shown.returncode == 0
    for verb in ("train", "evaluate", "data", "models", "doctor"):
        assert f" {verb} " in shown.stdout
    code = (
        "import sys; from convtrials.cli.main import app; "
        "heavy = {'torch', 'matplotlib', 'sklearn', 'numpy', 'pydantic', 'pandas'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("typed", [["train", "--peers", "all", "--help"], ["inference", "runs/run"], []])
def test_the_former_group_of_benchmarks_says_where_they_are(typed: list[str], tmp_path: Path) -> None:
    done = convtrials("bench", *typed, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "`convtrials benchmark RUN`" in line
    assert "`python -m benchmarks.race`" in line
    assert " bench " not in convtrials("--help", folder=tmp_path).stdout


def test_version(tmp_path: Path) -> None:
    assert convtrials("--version", folder=tmp_path).stdout == f"convtrials {__version__}\n"


def test_the_package_imports_without_torch_and_offers_its_names() -> None:
    code = (
        "import sys, convtrials as ct; assert 'torch' not in sys.modules; "
        "assert dir(ct) == sorted(ct.__all__), dir(ct); assert 'torch' not in sys.modules; "
        "assert all(getattr(ct, name) is not None for name in ct.__all__); assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("room", ["convtrials", "convtrials.evaluation", "convtrials.reports"])
def test_names_that_are_imported_late_are_listed(room: str) -> None:
    module = import_module(room)
    assert {name for name in dir(module) if not name.startswith("_")} == set(module.__all__) - {"__version__"}
    assert all(getattr(module, name) is not None for name in dir(module))


def test_train_evaluate_and_again(tmp_path: Path, images: Path) -> None:
    command = ["train", "--data", images, *FAST, "--epochs", "3", "--out", "run", "--set", "dropout=0"]
    done = convtrials(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert "epoch   3" in done.stderr
    assert "run/report.html" in done.stdout.replace("\n", "")
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics
    written = (run / "weights.safetensors").stat().st_mtime_ns
    again = convtrials(*command, folder=tmp_path)
    assert again.returncode == 0
    assert (run / "weights.safetensors").stat().st_mtime_ns == written
    once_more = convtrials("evaluate", "run", folder=tmp_path)
    assert once_more.returncode == 0, once_more.stderr
    other = convtrials(*command, "--seed", "1", folder=tmp_path)
    assert other.returncode == 2
    assert "another seed" in other.stderr


def test_a_run_that_answers_one_class_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    counts = {"balls": 500, "bricks": 200, "leaves": 100, "stripes": 40, "waves": 10}
    labels = np.repeat(np.arange(5), list(counts.values()))
    noise = np.random.default_rng(0).integers(0, 256, (len(labels), 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "photos.npz", images=noise, labels=labels, class_names=np.array(list(counts)))
    done = convtrials("train", "--data", "photos.npz", *FAST, "--lr", "0.003", "--epochs", "4", "--model",
                      "alexnet-lite", "--no-report", "--out", "run", folder=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    lost = (
        "It answers 'balls' for every test image, which gives 59.1% right: "
        "it has not learned to distinguish the classes."
    )
    few = "2 classes have fewer than 10 test images, too few to say how well each is recognised: "
    few += "stripes (6), waves (1)."
    assert done.stdout.splitlines()[-2:] == [f"warning: {lost}", f"warning: {few}"]
    looked = convtrials("evaluate", "run", folder=tmp_path)
    assert f"warning: {lost}\nwarning: {few}\n" in looked.stdout
    assert [one["text"] for one in json.loads((tmp_path / "run/metrics.json").read_text())["warnings"]] == [
        lost,
        few,
    ]
    page = html.unescape((tmp_path / "run" / "report.html").read_text())
    said = (
        "Of 127 test images that training never saw it classifies 59.1% correctly. Always answering 'balls',"
    )
    assert page.index(lost) < page.index(few) < page.index(said) < page.index('<dl class="tiles">')
    assert "Of 100 test images it names" not in page
    checked = convtrials("data", "check", "photos.npz", folder=tmp_path)
    assert checked.returncode == 0
    assert "waves: 1" in checked.stdout
    assert "Nothing here would spoil a result" not in checked.stdout


@pytest.mark.posix
def test_ctrl_c_says_how_to_go_on_and_the_directory_is_enough(tmp_path: Path, images: Path) -> None:
    command = ["train", "--data", images, *FAST, "--epochs", "60", "--out", "run", "--no-report"]
    process = subprocess.Popen(
        [sys.executable, "-m", "convtrials.cli.main", *map(str, command)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run" / "history.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in told
    assert "Traceback" not in told
    done = convtrials("train", "--resume", "run", "--no-report", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resumed at step" in done.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 60


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "--set", "optimizer.lrr=1"], "optimizer.lrr: unknown key; did you mean lr?"),
        (["train", "--epochs", "-1"], "epochs = -1.0: must be greater than 0"),
        (["train", "--optimizer", "adamm"], "optimizer.name = 'adamm': must be 'sgd'"),
        (["train", "--recipe", "none.yaml"], "none.yaml: cannot be read"),
        (["train", "--data", "nowhere"], "nowhere: no such file or folder"),
        (["train", "--data", "{images}", "--model", "alexnett", "--out", "r"], "alexnett"),
        (["train", "--resume", "nowhere"], "no such run directory"),
        (["train", "--precision", "fp8"], "allowed are fp32 and bf16"),
        (["train", "--data", "{images}", "--device", "tpu", "--out", "r"], "allowed are cpu, cuda, cuda:N"),
        (["train", "--set", "initial_weights=none.pth"], "none.pth: no such file or folder"),
        (["train", "--resume", "r", "--epochs", "3"], "leave out --epochs"),
        (["train", "--activation", "relu"], "No such option"),
        (["evaluate", "nowhere"], "no such run directory"),
        (["data", "info", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_bad_input_is_told_in_a_line_or_two(
    tmp_path: Path, images: Path, arguments: list[str], told: str
) -> None:
    done = convtrials(*(argument.format(images=images) for argument in arguments), folder=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = convtrials("--debug", "train", "--recipe", "none.yaml", folder=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_diverged_run_ends_with_advice(tmp_path: Path, images: Path) -> None:
    command = [
        "train",
        "--data",
        images,
        *FAST,
        "--epochs",
        "2",
        "--optimizer",
        "sgd",
        "--lr",
        "900",
        "--out",
        "r",
    ]
    done = convtrials(*command, folder=tmp_path)
    assert done.returncode == 3
    assert "diverged after" in done.stderr
    assert "lower optimizer.lr" in done.stderr


def test_a_network_of_ones_own(tmp_path: Path, images: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def net(classes, channels, dropout):\n"
        "    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),\n"
        "                         nn.Dropout(dropout), nn.Linear(16, classes))\n"
    )
    command = [
        "train",
        "--data",
        images,
        "--model",
        "mine:net",
        "--epochs",
        "1",
        "--threads",
        "1",
        "--out",
        "r",
    ]
    done = convtrials(*command, "--no-report", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_doctor_and_models(tmp_path: Path) -> None:
    told = convtrials("doctor", "--no-speed", folder=tmp_path)
    assert told.returncode == 0
    assert "processor" in told.stdout
    assert os.environ["CONVTRIALS_CACHE"][:20] in told.stdout.replace("\n", "")
    listed = convtrials("models", folder=tmp_path)
    assert "alexnet-2012" in listed.stdout
    assert "one_cycle" in listed.stdout


def test_size_and_channels_reach_training(tmp_path: Path, images: Path) -> None:
    command = ["train", "--data", images, *FAST, "--epochs", "0.2", "--image-size", "16", "--channels", "3"]
    done = convtrials(*command, "--out", "r", "--no-report", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "r" / "dataset.json").read_text())["image_shape"] == [16, 16, 3]
    assert Recipe.load(tmp_path / "r" / "recipe.yaml").image_size == 16
