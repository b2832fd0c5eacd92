"""Two trained runs, grey with batch norm and colour without, shared by all tests: nobody changes them."""

import pytest
from deploy_runs import noisy_patterns, trained

from convtrials.data.dataset import Dataset
from convtrials.training.run_directory import Run


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, Dataset]]:
    folder = tmp_path_factory.mktemp("deploy")
    with pytest.MonkeyPatch.context() as patch:
        # The cache of single tests is set up after fixtures of the session.
        patch.setenv("CONVTRIALS_CACHE", str(folder / "cache"))
        made = {}
        for name, channels, noise, changes in (("grey", 1, 65, {"batch_norm": True}), ("colour", 3, 30, {})):
            dataset = noisy_patterns(folder / name, channels=channels, noise=noise)
            made[name] = (trained(folder / name / "run", dataset, **changes), dataset)
    return made


@pytest.fixture(params=["grey", "colour"])
def each_run(
    request: pytest.FixtureRequest, trained_runs: dict[str, tuple[Run, Dataset]]
) -> tuple[Run, Dataset]:
    return trained_runs[request.param]


@pytest.fixture
def grey_run(trained_runs: dict[str, tuple[Run, Dataset]]) -> tuple[Run, Dataset]:
    return trained_runs["grey"]
