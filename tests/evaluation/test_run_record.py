import json

import pytest

from convtrials.core.errors import RunError
from convtrials.training import read_run


def test_a_finished_run_is_read_whole(finished_run, dataset):
    record = read_run(finished_run)
    assert record.class_names == dataset.class_names
    assert [entry["epoch"] for entry in record.history] == [1, 2, 3, 4]
    assert record.result["seed"] == 3
    assert record.predictions.indices.tolist() == dataset.indices("test").tolist()


def test_a_missing_folder_and_a_foreign_one_are_told_apart(tmp_path):
    with pytest.raises(RunError, match="no such run directory"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match="not a run directory"):
        read_run(tmp_path)


def test_an_unfinished_run_says_so(finished_run):
    (finished_run / "result.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        read_run(finished_run)


def test_a_diverged_run_says_where(finished_run):
    (finished_run / "result.json").write_text(json.dumps({"status": "diverged", "diverged_at": 17}))
    (finished_run / "predictions-test.npz").unlink()
    with pytest.raises(RunError, match="diverged at step 17 and has no predictions"):
        read_run(finished_run)


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
        read_run(finished_run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("result.json", "{", "not valid JSON"),
        ("result.json", "[]", "a JSON object is needed"),
        ("history.jsonl", '{"epoch": 1}\nnonsense\n', "line 2: not valid JSON"),
        ("history.jsonl", '{"epoch": 1}\n{"epoch": "one"}\n', "line 2: epoch must be a number, not 'one'"),
        ("history.jsonl", '{"epoch": true}', "line 1: epoch must be a number, not True"),
        ("history.jsonl", '{"epoch": NaN}', "line 1: epoch must be a number, not nan"),
        ("history.jsonl", '{"epoch": 1%s}' % ("0" * 400), "line 1: not valid JSON .*401 digits"),
        ("history.jsonl", '{"epoch": 1, "val_loss": -1%s}' % ("0" * 400), "line 1: not valid JSON"),
        ("result.json", '{"best_epoch": 9223372036854775808}', "not valid JSON .*19 digits"),
        ("dataset.json", '{"class_names": ["a"], "fingerprint": "f"}', "two names or more"),
        ("dataset.json", '{"class_names": ["a", "b"], "fingerprint": "f"}', "36 classes, dataset.json 2"),
        ("execution.json", "[" * 100_000, "not valid JSON"),
    ],
)
def test_a_damaged_file_is_named(finished_run, name, content, said):
    (finished_run / name).write_text(content)
    with pytest.raises(RunError, match=said) as caught:
        read_run(finished_run)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(finished_run):
    (finished_run / "recipe.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match=r"recipe\.yaml: not readable"):
        read_run(finished_run)


def test_a_dataset_without_a_fingerprint_is_refused(finished_run):
    described = json.loads((finished_run / "dataset.json").read_text())
    del described["fingerprint"]
    (finished_run / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match="no fingerprint"):
        read_run(finished_run)


@pytest.mark.parametrize("text", ["model: [", "- a list", "date: 2026-99-99"])
def test_a_recipe_that_is_no_mapping_is_told(finished_run, text):
    (finished_run / "recipe.yaml").write_text(text)
    with pytest.raises(RunError, match=r"recipe\.yaml: "):
        _ = read_run(finished_run).settings
