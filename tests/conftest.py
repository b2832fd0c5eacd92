"""What several test files need: a cache of their own, a small dataset, the real characters where they are.

``pytest --portable`` runs the suite without what Linux and macOS alone have (portable/posix_blocked.py).
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# Small tensors, and several test processes at once: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from convtrials.data.dataset import Dataset

PORTABLE = Path(__file__).parent / "portable"
REAL_CHARACTERS = Path(__file__).parents[2] / "shared" / "data" / "emnist36"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--portable",
        action="store_true",
        help="hide what Linux and macOS alone have, from the tests and from all processes that they start",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--portable"):
        return
    # pytest itself asks who the user is, for its folder, and sets a timer, by what is hidden.
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="pytest-portable-")
    config.option.timeout_method = "thread"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PORTABLE), os.environ.get("PYTHONPATH")]))
    sys.path.insert(0, str(PORTABLE))
    import posix_blocked

    posix_blocked.block()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.name != "posix" or config.getoption("--portable"):
        absent = pytest.mark.skip(reason="needs what Linux and macOS alone have")
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(absent)


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the cache of whoever runs it."""
    if "CONVTRIALS_TEST_CACHE" not in os.environ:
        os.environ["CONVTRIALS_TEST_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setenv("CONVTRIALS_CACHE", os.environ["CONVTRIALS_TEST_CACHE"])


@pytest.fixture(scope="session")
def real_characters() -> Path:
    """The folder of real EMNIST images; tests that need it skip where it is absent."""
    if not REAL_CHARACTERS.is_dir():
        pytest.skip(f"needs real characters in {REAL_CHARACTERS.name}/ beside the checkout's shared folder")
    return REAL_CHARACTERS


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    """Make a dataset in memory whose classes a small network can learn in a few steps."""

    def make(
        per_class: int = 30, classes: int = 4, size: int = 12, channels: int = 1, seed: int = 0
    ) -> Dataset:
        draws = np.random.default_rng(seed)
        patterns = draws.integers(0, 256, (classes, size, size, channels))
        labels = np.repeat(np.arange(classes), per_class).astype(np.int64)
        noise = draws.integers(-60, 61, (len(labels), size, size, channels))
        images = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
        split = np.tile(np.array([0] * 6 + [1] * 2 + [2] * 2, np.uint8), -(-len(labels) // 10))[: len(labels)]
        return Dataset(
            name="patterns",
            images=images,
            labels=labels,
            class_names=tuple(f"class {number}" for number in range(classes)),
            split=split,
            fingerprint=f"patterns-{per_class}-{classes}-{size}-{channels}-{seed}",
            mean=(0.5,) * channels,
            std=(0.3,) * channels,
        )

    return make
