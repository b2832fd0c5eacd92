"""``convtrials export`` and ``convtrials benchmark`` as people type them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from convtrials.cli.main import app
from convtrials.core.errors import ConvtrialsError
from convtrials.core.extras import how_to_install
from convtrials.data.open import load_dataset
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, make_dataset):
    folder = tmp_path_factory.mktemp("run")
    data = make_dataset()
    np.savez(folder / "patterns.npz", images=data.images, labels=data.labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVTRIALS_CACHE", str(folder / "cache"))
        dataset = load_dataset(folder / "patterns.npz")
    recipe = Recipe(width=0.125, epochs=1, batch_size=16)
    return train(recipe, dataset, out=folder / "run", execution=Execution("cpu", "fp32", True, 1)).folder


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


QUICK = ("--rounds", "1", "--seconds", "0.01", "--threads", "1", "--engines", "torch-fp32, torch-bf16")


def test_measuring_writes_json_and_fills_the_table(command, run_folder, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text("# Speed\n<!-- inference:begin -->\n<!-- inference:end -->\n")
    done = command("benchmark", run_folder, "--batch-sizes", "1,4", *QUICK, "--table", page)
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "bench-inference.json").read_text())
    assert [engine["name"] for engine in document["engines"]] == ["torch-fp32", "torch-bf16"]
    assert document["settings"]["batch_sizes"] == [1, 4]
    assert "| torch-bf16 |" in page.read_text()
    assert "torch-bf16" in done.stdout
    assert done.stdout.splitlines()[-1] == "bench-inference.json"


def test_quiet_prints_the_path_alone(command, run_folder):
    done = command(
        "benchmark", run_folder, "-b", "2", *QUICK, "--quiet", "--out", "found.json", "--table", "q.md"
    )
    assert done.output == "found.json\n"


def test_a_table_that_is_not_there_is_made_and_told(command, run_folder, tmp_path):
    done = command("benchmark", run_folder, "-b", "2", *QUICK, "--table", "new.md")
    assert done.exit_code == 0, done.output
    assert "new.md: a new file\n" in done.stderr
    assert "| torch-bf16 |" in (tmp_path / "new.md").read_text()


def test_export_tells_the_difference_and_prints_the_path(command, run_folder, tmp_path):
    pytest.importorskip("onnxruntime")
    done = command("export", run_folder, "--out", tmp_path / "m.onnx")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path / 'm.onnx'}\n"
    assert "test images: probabilities differ by at most" in done.stderr
    assert (tmp_path / "m.onnx").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "nowhere"], "nowhere: no such run directory"),
        (["export", "{run}", "--data", "nowhere"], "nowhere: no such file or folder"),
        (["benchmark", "nowhere"], "nowhere: no such run directory"),
        (["benchmark", "{run}", "--batch-sizes", "0"], "of 1 to 65536 images"),
        (["benchmark", "{run}", "--engines", "tpu"], "engine 'tpu' does not exist"),
        (
            ["benchmark", "{run}", "--table", "nowhere/none.md"],
            "none.md: must be a file in a folder that exists",
        ),
    ],
)
def test_bad_input_is_told(command, run_folder, words, told):
    if words[0] == "export":
        pytest.importorskip("onnxruntime")
    done = command(*(word.format(run=run_folder) for word in words))
    assert isinstance(done.exception, ConvtrialsError), done.output
    assert told in str(done.exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "{run}", "--format", "keras3"], "'keras3': allowed is onnx"),
        (["export", "{run}", "--precision", "fp8"], "'fp8': allowed is fp32 or int8"),
        (["benchmark", "{run}", "--batch-sizes", "1,many"], "'1,many': allowed are whole"),
        (["benchmark", "{run}", "--rounds", "0"], "'--rounds'"),
    ],
)
def test_bad_flags_are_told_with_what_is_allowed(command, run_folder, words, told):
    done = command(*(word.format(run=run_folder) for word in words))
    assert done.exit_code == 2
    assert told in done.stderr


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_told_in_one_line(run_folder, package):
    code = (
        f"import sys; sys.modules['{package}'] = None\n"  # as if it were not installed
        "from pathlib import Path\n"
        "from convtrials.cli.export import export\n"
        "from convtrials.core.errors import ConvtrialsError\n"
        f"try: export(Path({str(run_folder)!r}))\n"
        "except ConvtrialsError as error: print(error)"
    )
    done = python(code)
    assert done.stdout == f"{package} is not installed: {how_to_install('deploy')}\n", done.stderr
    assert f"'{package}<" in done.stdout  # the packages themselves: convtrials is on no index


def test_without_the_extra_torch_is_measured_and_the_rest_says_why(run_folder, tmp_path):
    code = (
        "import sys; sys.modules['onnxruntime'] = sys.modules['onnx'] = None\n"
        "from pathlib import Path\n"
        "from convtrials.cli.benchmark import benchmark\n"
        f"benchmark(Path({str(run_folder)!r}), batch_sizes='2', out=Path({str(tmp_path / 'b.json')!r}), "
        "rounds=1, seconds=0.01, threads=1, engines=None, table=None, images=None, data=None, quiet=True)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    engines = json.loads((tmp_path / "b.json").read_text())["engines"]
    told = {engine["name"]: engine.get("reason", "measured") for engine in engines}
    wanted = f"onnx is not installed: {how_to_install('deploy')}"
    assert told == {
        **dict.fromkeys(("torch-fp32", "torch-bf16", "torch-int8"), "measured"),
        **dict.fromkeys(("onnx-fp32", "onnx-bf16", "onnx-int8"), wanted),
    }


def test_starting_the_command_line_imports_none_of_it():
    code = (
        "import sys, convtrials.cli.main, convtrials.cli.export, convtrials.cli.benchmark\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print({'onnx', 'onnxruntime', 'onnxscript', 'torch', 'numpy'} & loaded)"
    )
    assert python(code).stdout == "set()\n"
