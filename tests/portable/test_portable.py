"""Without what Linux and macOS alone have: every module is imported, a run and a study are trained, in processes.

What is hidden, and what that shows, is in posix_blocked.py; ``pytest --portable`` runs the whole suite so.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

EVERYTHING = """
import importlib, pkgutil, signal, os
import posix_blocked
assert posix_blocked.blocked() and not hasattr(os, "fork") and not hasattr(signal, "pthread_sigmask")
import convtrials
names = [one.name for one in pkgutil.walk_packages(convtrials.__path__, "convtrials.") if "__main__" not in one.name]
for name in names:
    importlib.import_module(name)
print(len(names))
"""

STUDY = """
import numpy as np
import convtrials as ct

draws = np.random.default_rng(0)
labels = np.arange(80) % 2
images = (draws.integers(0, 100, (80, 8, 8)) + 120 * labels[:, None, None]).astype(np.uint8)
np.savez("data.npz", images=images, labels=labels)
data = ct.load_dataset("data.npz")
fixed = {"threads": 1, "precision": "fp32", "channels_last": True, "device": "cpu"}
baseline = ct.Recipe(width=0.05, epochs=1, batch_size=16)
run = ct.train(baseline, data, out="run", **fixed)
assert run.result.status == "finished" and not run.locked, run.result
study = ct.Study(baseline, {"gelu": {"activation": "gelu"}}, seeds=2)
print(study.run(data, "study", workers=2, **fixed).verdict("gelu").word)
"""


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def run(script: str, environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.posix
def test_every_module_can_be_imported(environment: dict[str, str], tmp_path: Path) -> None:
    assert int(run(EVERYTHING, environment, tmp_path)) > 100


@pytest.mark.posix
def test_a_run_and_a_study_with_workers_are_trained(environment: dict[str, str], tmp_path: Path) -> None:
    words = {"better", "worse", "equivalent", "inconclusive", "unstable"}
    assert run(STUDY, environment, tmp_path).splitlines()[-1] in words
    assert len(list(tmp_path.glob("study/runs/*/*/result.json"))) == 4
    assert list(tmp_path.glob("study/logs/worker-*.log"))  # in processes of their own
