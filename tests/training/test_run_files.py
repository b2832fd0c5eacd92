"""Another run's file, or one that was changed, is not read as a run's own."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import PINNED, SMALL, assert_same_weights

from convtrials.core.errors import Interrupted, RunError
from convtrials.data.dataset import Dataset
from convtrials.deploy.predictor import load_finished_run
from convtrials.reports.run.report import build_report
from convtrials.study.results.costs import study_costs
from convtrials.training.engine.train import resume, train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run, load_run

Make = Callable[..., Dataset]

FILES = ("predictions-test.npz", "weights.safetensors", "history.jsonl", "recipe.yaml", "dataset.json")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, make_dataset: Make) -> tuple[Path, Path]:
    """Two runs that differ in their seed alone."""
    folder = tmp_path_factory.mktemp("two")
    for seed in (0, 1):
        train(Recipe(**SMALL), make_dataset(), seed=seed, out=folder / str(seed), execution=PINNED)
    return folder / "0", folder / "1"


@pytest.fixture
def run(two: tuple[Path, Path], tmp_path: Path) -> Run:
    return Run(shutil.copytree(two[0], tmp_path / "run"))


def put(name: str, other: Path, run: Run) -> None:
    shutil.copyfile(other / name, run.folder / name)


def change(run: Run, name: str, edit: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads((run.folder / name).read_text())
    edit(document)
    (run.folder / name).write_text(json.dumps(document))


def age(run: Run) -> None:
    """Take away what earlier versions did not write."""
    with np.load(run.predictions_path) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "run"}
    np.savez(run.predictions_path, **arrays)
    change(run, "result.json", lambda d: [d.pop(key) for key in ("run", "files")])


def test_a_whole_run_is_read_by_everybody(run: Run) -> None:
    assert run.result.files.keys() == set(FILES)
    assert run.read_predictions().run == run.result.run == run.identity.digest
    found = run.read_predictions()
    assert (found.predicted == found.labels).mean() == run.result.test_accuracy
    assert run.images_seen is not None
    load_finished_run(run)


READERS: dict[str, tuple[Callable[[Run], Any], tuple[str, ...]]] = {
    "evaluate": (
        lambda run: build_report(run),
        ("predictions-test.npz", "history.jsonl", "result.json"),
    ),
    "predictions": (Run.read_predictions, ("predictions-test.npz", "result.json")),
    "costs": (lambda run: study_costs([run], {}, device="cpu"), ("history.jsonl", "result.json")),
    "export": (load_finished_run, ("weights.safetensors", "result.json")),
}


@pytest.mark.parametrize(
    ("reader", "name"), [(reader, name) for reader, (_, names) in READERS.items() for name in names]
)
def test_a_file_of_another_run_is_refused(run: Run, two: tuple[Path, Path], reader: str, name: str) -> None:
    put(name, two[1], run)
    with pytest.raises(RunError) as caught:
        READERS[reader][0](run)
    told = str(caught.value)
    assert told.startswith(f"{run.folder / name}: ")
    assert "another run" in told
    assert "put the run's own file back" in told
    assert len(told.splitlines()) == 2


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_noticed(run: Run, name: str) -> None:
    path = run.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="is not the file that this run wrote"):
        run.check_files(path)


@pytest.mark.parametrize(("name", "reader"), [("recipe.yaml", "evaluate"), ("dataset.json", "export")])
def test_what_describes_the_run_is_its_own(run: Run, name: str, reader: str) -> None:
    path = run.folder / name
    path.write_text(path.read_text() + "\n")
    with pytest.raises(RunError, match=f"{name}: is not the file"):
        READERS[reader][0](run)


def test_results_and_predictions_swapped_together_name_another_run(run: Run, two: tuple[Path, Path]) -> None:
    for name in ("result.json", "predictions-test.npz"):
        put(name, two[1], run)
    with pytest.raises(RunError, match=r"result\.json: belongs to another run than run\.json"):
        run.read_predictions()


def test_a_run_without_its_run_json_is_told(run: Run) -> None:
    (run.folder / "run.json").unlink()
    with pytest.raises(RunError, match=r"run\.json: no such file; the run directory is incomplete"):
        run.read_predictions()
    with pytest.raises(RunError, match=r"no run\.json here"):
        load_run(run.folder)


def test_a_run_of_an_earlier_version_is_read(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    other = Run(shutil.copytree(two[1], tmp_path / "other"))
    for one in (run, other):
        age(one)
        assert one.read_predictions().run is None
        load_finished_run(one)
    put("predictions-test.npz", other.folder, run)
    if run.result.test_accuracy == other.result.test_accuracy:
        pytest.fail("the two runs must differ for this test")
    with pytest.raises(RunError, match=r"right, but result\.json says"):
        run.read_predictions()


@pytest.mark.parametrize("value", [3, [], {"history.jsonl": 7}, "x"])
@pytest.mark.parametrize("key", ["files", "run"])
def test_odd_values_in_a_result_are_no_traceback(run: Run, key: str, value: Any) -> None:
    change(run, "result.json", lambda d: d.update({key: value}))
    said = "belongs to another run" if (key, value) == ("run", "x") else f"result.json: {key}"
    with pytest.raises(RunError, match=said):
        run.check_files(run.history_path)


@pytest.mark.parametrize("named", [np.array(3), np.array(["a", "b"]), np.array(b"bytes")])
def test_a_name_that_is_no_text_is_refused(run: Run, named: np.ndarray) -> None:
    with np.load(run.predictions_path) as stored:
        arrays = dict(stored)
    np.savez(run.predictions_path, **{**arrays, "run": named})
    with pytest.raises(RunError, match="run must be text"):
        run.read_predictions()


def stopped(dataset: Dataset, seed: int, out: Path) -> Run:
    """A run that was stopped after its second step."""
    steps = iter(range(100))

    def follow(_: Any) -> None:
        if next(steps) == 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(Recipe(**SMALL), dataset, seed=seed, out=out, execution=PINNED, on_progress=follow)
    return Run(out)


@pytest.mark.parametrize("name", ["run.json", "checkpoint.safetensors"])
def test_a_resume_goes_on_from_its_own_checkpoint_alone(
    tmp_path: Path, make_dataset: Make, two: tuple[Path, Path], name: str
) -> None:
    dataset = make_dataset()
    one, other = (stopped(dataset, seed, tmp_path / str(seed)) for seed in (0, 1))
    own = (one.folder / name).read_bytes()
    put(name, other.folder, one)
    seed = one.identity.seed
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: belongs to another run than run\.json"):
        train(Recipe(**SMALL), dataset, seed=seed, out=one.folder)
    (one.folder / name).write_bytes(own)
    train(Recipe(**SMALL), dataset, seed=0, out=one.folder)
    assert_same_weights(one, Run(two[0]))


def test_a_resume_refuses_the_run_json_of_another_seed(tmp_path: Path) -> None:
    from convtrials.data.open import load_dataset

    dataset = load_dataset("glyphs", samples_per_class=20)
    one, other = (stopped(dataset, seed, tmp_path / str(seed)) for seed in (0, 1))
    put("run.json", other.folder, one)
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: belongs to another run"):
        resume(one.folder)
    assert not one.finished


@pytest.mark.parametrize("depth", [150, 400, 900])
def test_a_document_that_nests_too_deep_is_told_in_a_line(run: Run, depth: int) -> None:
    path = run.folder / "run.json"
    deep = "[" * depth + "]" * depth
    path.write_text(path.read_text().replace('"seed"', f'"more": {deep}, "seed"', 1))
    with pytest.raises(RunError, match=r"run\.json: nests deeper than 100 levels"):
        run.read_predictions()
