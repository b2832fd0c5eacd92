import pytest
from synthetic_run import characters, write_run


@pytest.fixture(scope="session")
def dataset(make_dataset):
    return characters(make_dataset)


@pytest.fixture
def finished_run(tmp_path, dataset):
    return write_run(tmp_path / "run", dataset)
