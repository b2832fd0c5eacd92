"""What pages name, made once."""

import logging
from collections.abc import Iterator

import pytest
from docs_tiny import Stock


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Images, a finished run and a finished study."""
    folder = tmp_path_factory.mktemp("stock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVTRIALS_CACHE", str(folder / "cache"))
        return Stock(folder)


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Take back what the page on lines and progress does to the log."""
    loggers = [logging.getLogger(name) for name in ("convtrials", "convtrials.data")]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
