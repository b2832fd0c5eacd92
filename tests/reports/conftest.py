import sys
from pathlib import Path

import pytest

# The synthetic run is the same as in the tests of evaluation.
sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))

from synthetic_run import characters, write_run

from convtrials.reports.style import DPI


@pytest.fixture(scope="session")
def all_characters(make_dataset):
    """36 classes, for what must be readable at that number."""
    return characters(make_dataset)


@pytest.fixture(scope="session")
def dataset(make_dataset):
    """Few classes, drawn quickly."""
    return make_dataset(per_class=40, classes=5)


@pytest.fixture
def finished_run(tmp_path, dataset):
    return write_run(tmp_path / "run", dataset)


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch):
    """Draw few pixels: most tests look at what is drawn, not at how finely."""
    monkeypatch.setattr("convtrials.reports.picture.DPI", 40)


@pytest.fixture(scope="session")
def reported_run(tmp_path_factory, all_characters):
    """A run with its report, built once; tests only read it."""
    from convtrials.reports import build_report

    folder = write_run(tmp_path_factory.mktemp("reported") / "run", all_characters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convtrials.reports.picture.DPI", DPI)
        build_report(folder, all_characters, resamples=200)
    return folder
