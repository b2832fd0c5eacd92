"""``convtrials evaluate`` as people type it."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from convtrials.cli.main import app
from convtrials.core.errors import DataError, RunError
from convtrials.reports import build_report


@pytest.fixture
def command():
    return lambda *words: CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_it_prints_a_table_and_the_report_s_path(command, finished_run):
    result = command(finished_run)
    assert result.exit_code == 0, result.output
    assert "Accuracy" in result.stdout
    assert "95% interval" in result.stdout
    assert f"report: {finished_run / 'report.html'}" in result.stdout
    # The run names a folder that is not there.
    assert "note: pictures with images are left out" in result.stderr
    assert "some folder/of images" in result.stderr


def test_warnings_follow_the_table_a_line_each(command, finished_run):
    result = command(finished_run)
    warnings = json.loads((finished_run / "metrics.json").read_text())["warnings"]
    assert warnings
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("warning: ")] == [
        f"warning: {one['text']}" for one in warnings
    ]
    assert lines[-1] == f"report: {finished_run / 'report.html'}"


def test_json_is_all_there_is_on_standard_output(command, finished_run):
    result = command(finished_run, "--json")
    assert json.loads(result.stdout) == json.loads((finished_run / "metrics.json").read_text())


def test_quiet_prints_the_path_alone(command, finished_run):
    result = command(finished_run, "--quiet")
    assert result.output == f"{finished_run / 'report.html'}\n"


def test_data_that_moved_is_found_by_its_new_place(command, finished_run, dataset, tmp_path):
    import numpy as np

    from convtrials.data.open import load_dataset

    place = tmp_path / "moved.npz"
    np.savez(place, images=dataset.images[..., 0], labels=dataset.labels)
    opened = load_dataset(place)
    described = json.loads((finished_run / "dataset.json").read_text())
    described |= {"fingerprint": opened.fingerprint, "class_names": list(opened.class_names), "options": None}
    (finished_run / "dataset.json").write_text(json.dumps(described))
    result = command(finished_run, "--data", place)
    assert result.exit_code == 0, result.output
    assert "left out" not in result.output
    assert (finished_run / "figures" / "worst-mistakes.png").is_file()


def files_of(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.fixture
def run_with_its_pictures(finished_run, dataset):
    build_report(finished_run, dataset, resamples=0)
    return finished_run


def test_a_mistyped_place_is_an_error_and_touches_nothing(command, run_with_its_pictures, tmp_path):
    before = files_of(run_with_its_pictures)
    result = command(run_with_its_pictures, "--data", tmp_path / "typo")
    assert isinstance(result.exception, DataError)
    assert "no such file or folder" in str(result.exception)
    assert files_of(run_with_its_pictures) == before


def test_other_data_at_a_given_place_is_an_error_and_touches_nothing(
    command, run_with_its_pictures, dataset, tmp_path
):
    import numpy as np

    place = tmp_path / "other.npz"
    np.savez(place, images=dataset.images[::-1, :, :, 0], labels=dataset.labels)
    before = files_of(run_with_its_pictures)
    result = command(run_with_its_pictures, "--data", place)
    assert isinstance(result.exception, DataError)
    assert "changed" in str(result.exception)
    assert files_of(run_with_its_pictures) == before


def test_data_that_changed_at_its_recorded_place_is_told_and_not_shown(
    command, finished_run, dataset, tmp_path
):
    import numpy as np

    place = tmp_path / "other.npz"
    np.savez(place, images=dataset.images[::-1, :, :, 0], labels=dataset.labels)
    described = json.loads((finished_run / "dataset.json").read_text()) | {"source": str(place)}
    (finished_run / "dataset.json").write_text(json.dumps(described))
    result = command(finished_run)
    assert result.exit_code == 0
    assert "changed" in result.stderr
    assert not (finished_run / "figures" / "worst-mistakes.png").exists()


def test_where_the_recorded_place_is_gone_earlier_pictures_stay_on_disk(command, run_with_its_pictures):
    picture = run_with_its_pictures / "figures" / "worst-mistakes.png"
    before = picture.read_bytes()
    assert command(run_with_its_pictures).exit_code == 0
    assert picture.read_bytes() == before
    assert "worst-mistakes" not in (run_with_its_pictures / "report.html").read_text()


def test_options_that_no_dataset_has_are_told(command, finished_run):
    described = json.loads((finished_run / "dataset.json").read_text()) | {"options": {"colour": "blue"}}
    (finished_run / "dataset.json").write_text(json.dumps(described))
    assert "options in dataset.json" in command(finished_run).stderr
    assert "options in dataset.json" in str(command(finished_run, "--data", "glyphs").exception)


def test_a_diverged_run_raises_an_error_for_people(command, finished_run):
    ended = json.loads((finished_run / "result.json").read_text()) | {"status": "diverged", "diverged_at": 5}
    (finished_run / "result.json").write_text(json.dumps(ended))
    result = command(finished_run)
    assert isinstance(result.exception, RunError)
    assert "diverged at step 5" in str(result.exception)
    assert not (finished_run / "report.html").exists()


def test_a_missing_run_ends_with_two_and_one_line(tmp_path):
    words = [sys.executable, "-m", "convtrials.cli.main", "evaluate", str(tmp_path / "nowhere")]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stderr == f"error: {tmp_path / 'nowhere'}: no such run directory\n"


def test_importing_the_command_imports_nothing_heavy():
    code = (
        "import sys, convtrials.cli.evaluate, convtrials.evaluation, convtrials.reports;"
        "print([m for m in ('torch', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'seaborn') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
