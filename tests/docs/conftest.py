"""What pages name, made once."""

import pytest
from docs_tiny import Stock


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Images, a finished run and a finished study."""
    folder = tmp_path_factory.mktemp("stock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVTRIALS_CACHE", str(folder / "cache"))
        return Stock(folder)
