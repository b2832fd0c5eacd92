"""Small studies: trained in this process, or with runs that are written instead of trained."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from study_runs import add_predictions, history_of, write_ended_run

from convtrials.core.files import write_json
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.executor import RunEnd, RunTask
from convtrials.study.plan.arms import build_arms
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.spec import StudySpec
from convtrials.study.prepare import prepare
from convtrials.training.engine.execution import ComputeOptions, Execution
from convtrials.training.recipe.recipe import Recipe

#: Small enough that a run takes a fraction of a second.
BASE = Recipe(width=0.125, epochs=2, batch_size=16, optimizer={"name": "adam", "lr": 2e-3})
PINNED = ComputeOptions(workers=1, threads=1, precision="fp32", device="cpu", checkpoint_seconds=0.0)
COSINE = {"cosine": {"schedule": "cosine"}}


def spec_of(techniques: dict[str, Any], seeds: tuple[int, int] = (2, 2), **rest: Any) -> StudySpec:
    arms = tuple(build_arms(BASE, techniques, most_seeds=seeds[1]))
    return StudySpec(arms=arms, seeds=seeds, **rest)


def prepared(folder: Path, spec: StudySpec, dataset: Dataset) -> tuple[StudyDirectory, Plan]:
    """Prepare a study whose execution is fixed: the probe would take most of a test's time."""
    study = StudyDirectory(folder)
    fixed = Execution("cpu", "fp32", channels_last=True, threads=1)
    if not (folder / "execution.json").exists() and not (folder.is_dir() and any(folder.iterdir())):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()  # as a process leaves it that was killed while beginning
        write_json(folder / "execution.json", {**fixed.to_dict(), "workers": 1, "measured": []})
    return study, prepare(study, spec, dataset, PINNED)


class Written:
    """An executor that writes runs with a chosen accuracy instead of training them.

    ``accuracy(arm, position)`` gives the probability that a test image is right; None: the run fails; "diverged".
    ``order`` chooses which of the started runs ends next.
    """

    def __init__(
        self,
        study: StudyDirectory,
        plan: Plan,
        accuracy: Callable[[str, int], Any],
        *,
        places: int = 3,
        images: int = 2000,
        order: Callable[[list[RunTask]], int] = lambda tasks: 0,
    ) -> None:
        self._study, self._plan, self._accuracy = study, plan, accuracy
        self._places, self._images, self._order = places, images, order
        self.busy: list[RunTask] = []
        self.started: list[RunTask] = []

    def advance(self, wanted: Sequence[RunTask], seconds: float) -> list[RunEnd]:
        assert not set(wanted) & set(self.busy)
        begun = list(wanted[: self._places - len(self.busy)])
        self.busy += begun
        self.started += begun
        if not self.busy:
            return []
        task = self.busy.pop(self._order(self.busy))
        arm = self._plan.arm(task.arm)
        chance = self._accuracy(task.arm, task.position)
        if chance is None:
            return [RunEnd(task, "failed", "no luck")]
        if chance in ("locked", "stopped"):
            return [RunEnd(task, chance)]
        status = "diverged" if chance == "diverged" else "finished"
        folder = self._study.run(arm, task.position).folder
        run = write_ended_run(folder, history_of([0.5, 0.9]), status=status)
        identity = {"seed": arm.seed_offset + task.position, "recipe": arm.recipe.fingerprint()}
        write_json(folder / "run.json", {"identity": {**identity, "dataset": self._plan.dataset_fingerprint}})
        if status == "finished":
            # Image difficulty is shared; which images per run misses is its own.
            draws = np.random.default_rng([len(task.arm), sum(map(ord, task.arm)), task.position])
            right = draws.random(self._images) < chance
            labels = np.arange(self._images) % 4
            shown = np.where(right, labels, (labels + 1) % 4)
            probabilities = np.full((self._images, 4), 0.1, np.float32)
            probabilities[np.arange(self._images), shown] = 0.7
            add_predictions(run, labels, probabilities)
        return [RunEnd(task, status)]

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        self.busy.clear()


def counted_test_images(study: StudyDirectory, images: int) -> None:
    """Let dataset.json tell of as many test images as `Written` writes."""
    known = study.dataset
    study.write_dataset(known.model_copy(update={"counts": {**known.counts, "test": images}}))
