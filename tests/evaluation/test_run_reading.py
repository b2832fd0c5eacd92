"""Run reads its directory: typed, and refused in a line where a file is damaged, newer or missing."""

import json

import numpy as np
import pytest

from convtrials.core.errors import ConvtrialsError, RunError
from convtrials.reports.run.page import describe_run
from convtrials.training.run_directory import Run, load_run


def read(folder):
    """Read every file of a run, as its report does."""
    run = load_run(folder)
    assert run.identity
    run.class_names_of(run.read_predictions())
    run.read_history()
    describe_run(run)


def test_a_finished_run_is_read_whole(finished_run, dataset):
    run = load_run(finished_run)
    assert run.dataset.class_names == dataset.class_names
    assert run.dataset.image_shape == dataset.image_shape
    assert [entry.epoch for entry in run.read_history()] == [1, 2, 3, 4]
    assert run.result.seed == run.identity.seed == 3
    assert run.read_predictions().indices.tolist() == dataset.indices("test").tolist()
    assert run.recipe.width == 0.25
    assert run.execution.threads == 1
    assert run.environment.packages == {"torch": "2.13"}
    assert run.status == "finished"


def change(folder, name, **values):
    document = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**document, **values}))


def test_a_missing_folder_and_a_foreign_one_are_distinguished(tmp_path):
    with pytest.raises(RunError, match="no such run directory"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match="not a run directory"):
        load_run(tmp_path)


def test_an_unfinished_run_says_so(finished_run):
    (finished_run / "result.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        read(finished_run)


def test_a_diverged_run_says_where(finished_run):
    change(finished_run, "result.json", status="diverged", diverged_at=17)
    (finished_run / "predictions-test.npz").unlink()
    with pytest.raises(RunError, match="diverged at step 17 and has no predictions"):
        read(finished_run)


@pytest.mark.parametrize(
    "name",
    [
        "dataset.json",
        "recipe.yaml",
        "history.jsonl",
        "execution.json",
        "environment.json",
        "predictions-test.npz",
    ],
)
def test_each_missing_file_is_named_in_one_line(finished_run, name):
    (finished_run / name).unlink()
    with pytest.raises(RunError, match=name) as caught:
        read(finished_run)
    assert "\n" not in str(caught.value)


LINE = json.dumps({"epoch": 1, "step": 8, "val_accuracy": 0.5, "seconds": 1.0, "cpu_seconds": 1.0})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("result.json", "{", "not valid JSON"),
        ("result.json", "[]", "a JSON object is needed"),
        ("history.jsonl", LINE + "\nnonsense\n", "line 2: not valid JSON"),
        ("history.jsonl", LINE + '\n{"epoch": "one"}\n', "line 2: epoch = 'one': must be a valid integer"),
        ("history.jsonl", '{"epoch": true}', "line 1: epoch = True"),
        ("history.jsonl", '{"epoch": NaN}', "line 1: epoch = nan"),
        ("history.jsonl", '{"epoch": 1%s}' % ("0" * 400), "line 1: not valid JSON .*401 digits"),
        ("history.jsonl", '{"epoch": 1, "val_loss": -1%s}' % ("0" * 400), "line 1: not valid JSON"),
        (
            "history.jsonl",
            '{"epoch": 1, "val_loss": 1e999}',
            "line 1: val_loss = inf: must be a finite number",
        ),
        ("history.jsonl", '{"epoch": 1, "val_accuracy": 1.5}', "line 1: val_accuracy = 1.5: .* 1"),
        ("result.json", '{"best_epoch": 9223372036854775808}', "not valid JSON .*19 digits"),
        ("result.json", '{"files": [1]}', r"files = \[1\]"),
        ("dataset.json", '{"class_names": ["a"], "fingerprint": "f"}', "class_names = .*at least 2"),
        ("execution.json", "[" * 100_000, "not valid JSON"),
        ("execution.json", '{"precision": "fp8"}', "precision = 'fp8': must be 'fp32' or 'bf16'"),
        ("execution.json", '{"threads": "2"}', "threads = '2': must be a valid integer"),
        ("environment.json", '{"packages": 3}', "packages = 3"),
        ("environment.json", b"\xff", "not readable"),
    ],
)
def test_a_damaged_file_is_named(finished_run, name, content, said):
    (finished_run / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(RunError, match=said) as caught:
        read(finished_run)
    assert str(caught.value).startswith(f"{finished_run / name}")
    assert "\n" not in str(caught.value)


def test_predictions_of_other_classes_are_refused(finished_run):
    change(finished_run, "dataset.json", class_names=["a", "b"])
    with pytest.raises(RunError, match=r"36 classes, dataset\.json 2"):
        read(finished_run)


def test_keys_of_a_neighbouring_version_are_kept(finished_run):
    change(finished_run, "result.json", kelvin=273.15)
    result = Run(finished_run).result
    assert result.to_dict()["kelvin"] == 273.15
    read(finished_run)


@pytest.mark.parametrize(
    "name", ["run.json", "execution.json", "environment.json", "dataset.json", "result.json", "history.jsonl"]
)
def test_a_file_of_a_newer_format_is_refused_in_a_line(finished_run, name):
    (finished_run / name).write_text('{"format": 3, "everything": "else"}\n')
    with pytest.raises(RunError) as caught:
        read(finished_run)
    where = f"{finished_run / name}" + (" line 1" if name == "history.jsonl" else "")
    assert str(caught.value) == (
        f"{where}: written by a newer convtrials (format 3, this one reads up to 1); update convtrials"
    )


def test_predictions_of_a_newer_format_are_refused_in_a_line(finished_run):
    np.savez(finished_run / "predictions-test.npz", format=2, sums=np.zeros(3))
    with pytest.raises(RunError, match=r"predictions-test\.npz: written by a newer convtrials \(format 2, "):
        read(finished_run)


@pytest.mark.parametrize("value", ["new", 0, None, 1.0, True])
def test_a_format_that_is_no_number_is_refused(finished_run, value):
    change(finished_run, "result.json", format=value)
    with pytest.raises(RunError, match=r"result\.json: format = "):
        read(finished_run)


def test_names_of_classes_need_not_be_utf_8(finished_run):
    names = [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXY", "caf\udce9"]
    change(finished_run, "dataset.json", class_names=names)
    assert Run(finished_run).dataset.class_names[-1] == "caf\udce9"


def test_bytes_that_are_no_text_are_refused(finished_run):
    (finished_run / "recipe.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConvtrialsError, match=r"recipe\.yaml: not UTF-8"):
        read(finished_run)


def test_a_dataset_without_a_fingerprint_is_refused(finished_run):
    described = json.loads((finished_run / "dataset.json").read_text())
    del described["fingerprint"]
    (finished_run / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match="fingerprint is missing"):
        read(finished_run)


@pytest.mark.parametrize("text", ["model: [", "- a list", "date: 2026-99-99"])
def test_a_recipe_that_is_no_mapping_is_told(finished_run, text):
    (finished_run / "recipe.yaml").write_text(text)
    with pytest.raises(ConvtrialsError, match=r"recipe\.yaml"):
        read(finished_run)
