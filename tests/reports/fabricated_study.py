"""A study directory as `convtrials study run` leaves it, made without training.

Runs are written with lifelike predictions; plan, verdicts and all other documents come from the product itself.
"""

from pathlib import Path

import numpy as np
from synthetic_run import CHARACTERS, lifelike_probabilities

from convtrials.core.files import write_json
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import Arm
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.spec import StudySpec
from convtrials.study.results.documents import write_documents
from convtrials.study.results.scores import Outcomes
from convtrials.study.schemas import Failures, PlanVersion, StudyDataset, StudyExecution
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_documents import (
    DatasetDescription,
    Environment,
    HistoryEntry,
    Identity,
    RunResult,
)

#: Techniques of the usual study: what they change, and how much they sharpen (or blunt) the network.
TECHNIQUES = {
    "cosine schedule": ({"schedule": "cosine"}, 0.6),
    "gelu": ({"activation": "gelu"}, 0.02),
    "dropout 0.7": ({"dropout": 0.7}, -0.6),
}

BASE = Recipe(model="alexnet", width=0.25, epochs=4)
FIRST = [{"time": "2026-03-01T09:30:00+00:00", "finished_runs": 0, "changes": []}]
EXECUTION = {
    "device": "cpu", "precision": "bf16", "channels_last": True, "threads": 1, "workers": 2,
    "measured": [{"workers": 1, "threads": 2, "images_per_second": 3200.5},
                 {"workers": 2, "threads": 1, "images_per_second": 4120}],
}  # fmt: skip
ENVIRONMENT = {
    "convtrials": "0.1.0", "python": "3.11.7", "cores": 2, "git_commit": None, "packages": {"torch": "2.13.0"},
}  # fmt: skip


def class_names(count):
    return list(CHARACTERS[:count]) if count <= len(CHARACTERS) else [f"class {k}" for k in range(count)]


def write_study(
    folder: Path,
    techniques=None,
    *,
    seeds=3,
    classes=6,
    images=420,
    epochs=4,
    metric="accuracy",
    lost=None,
    complete=True,
    settled=None,
    most=None,
    plan_log=None,
    costs=True,
    groups_of=None,
    names=None,
    environment=None,
) -> Path:
    """Write a whole study.

    `lost` maps (technique, place in its seeds) to diverged, failed or missing. `complete` and `settled` (of a name) say
    what may still change; `groups_of` so many images of one group, which then are the sample.
    """
    techniques = TECHNIQUES if techniques is None else techniques
    arms = [Arm("baseline", {}, BASE)]
    arms += [Arm(name, changes, BASE.changed(changes)) for name, (changes, _) in techniques.items()]
    margin = {"accuracy": 0.01, "log_loss": 0.02}[metric]
    spec = StudySpec(
        arms=arms, source="characters", metric=metric, margin=margin, seeds=(seeds, most or seeds)
    )
    study, plan = StudyDirectory(folder), Plan(spec, "ab" * 16)
    units = None if groups_of is None else np.arange(images) // groups_of
    names = class_names(classes) if names is None else names
    write_surroundings(study, plan, images, names, plan_log or FIRST, environment or ENVIRONMENT, units)
    gains = [0.0, *(gain for _, gain in techniques.values())]
    for number, (arm, gain) in enumerate(zip(arms, gains, strict=True)):
        for k in range(seeds):
            state = (lost or {}).get((arm.name, k), "finished")
            if state != "missing":
                write_run(study, plan, arm, k, number, gain, (classes, images, epochs), state)
    verdicts = write_documents(study, plan, Outcomes(study, plan, units))
    done = {one.name: complete if settled is None else settled(one.name) for one in verdicts.techniques}
    judged = tuple(one.model_copy(update={"final": done[one.name]}) for one in verdicts.techniques)
    verdicts = verdicts.model_copy(update={"complete": complete, "techniques": judged})
    study.write_results(verdicts, study.costs)
    if not costs:
        (folder / "costs.json").unlink()
    return folder


def write_surroundings(study, plan, images, names, plan_log, environment, units):
    """Write all that lies in a study directory before its first run."""
    study.folder.mkdir(parents=True, exist_ok=True)
    study.write_dataset(
        StudyDataset(
            name="characters",
            source="some folder/of images",
            options={"split_seed": 0},
            fingerprint="ab" * 16,
            counts={"train": 5000, "val": 900, "test": images},
            class_names=list(names),
            image_shape=[28, 28, 1],
            mean=[0.2],
            std=[0.3],
            pack=None,
            grouped=units is not None,
        )
    )
    if units is not None:
        np.save(study.units_path, units)
    study.write_execution(StudyExecution(**EXECUTION))
    write_json(study.folder / "environment.json", environment)
    for line in plan_log:
        study.plan_log.add(PlanVersion(**{"fingerprint": plan.fingerprint, **line}))
    study.write_plan(plan, [])
    (study.folder / "study.yaml").write_text("dataset: {name: characters}\n")


def write_run(study, plan, arm, position, number, gain, sizes, state):
    classes, images, epochs = sizes
    run, draw, seed = study.run(arm, position), position + 50 * number, arm.seed_offset + position
    data = DatasetDescription(
        name="characters", fingerprint=plan.dataset_fingerprint, class_names=class_names(classes),
        counts={"train": 5000, "val": 900, "test": images}, image_shape=(28, 28, 1),
    )  # fmt: skip
    run.begin(
        arm.recipe,
        identity=Identity(seed=seed, recipe=arm.recipe.fingerprint(), dataset=plan.dataset_fingerprint),
        execution=study.execution.execution,
        environment=Environment(),
        dataset=data,
    )
    cpu_seconds = 17.5 * (1 + 0.03 * (number % 7))
    history = [
        HistoryEntry(
            epoch=n, step=8 * n, val_accuracy=0.9 + 0.02 * gain - 0.5 * 2.0 ** -n + 0.002 * ((draw * 7 + n) % 5),
            val_loss=0.3 - 0.05 * gain + 2.0 ** -n + 0.004 * ((draw * 3 + n) % 5), train_loss=2.0 ** -n,
            learning_rate=1e-3, images_per_second=4000.0, seconds=18.0 * n, cpu_seconds=cpu_seconds * n,
        )
        for n in range(1, epochs + 1)
    ]  # fmt: skip
    run.write_history(history)
    if state == "failed":
        study.write_failures(run, Failures(errors=("no luck",), given_up=True))
        return
    if state == "finished":
        labels = np.arange(images) % classes
        probabilities = lifelike_probabilities(labels, classes, seed=draw, sharpness=2.5)
        probabilities = _sharpened(probabilities, labels, gain, draw)
        run.write_predictions(probabilities, labels, np.arange(images) + 1000)
    # Without digests of files, as the first version left it: tests damage them.
    RunResult(
        status=state, seed=seed, epochs=epochs, steps=8 * epochs, train_seconds=18.0 * epochs,
        cpu_seconds=cpu_seconds * epochs, diverged_at=13 if state == "diverged" else None,
        val_accuracy=history[-1].val_accuracy if state == "finished" else None,
    ).write(run.folder / "result.json")  # fmt: skip


def _sharpened(probabilities, labels, gain, draw):
    """Move some images to (or away from) the right class."""
    hit = np.random.default_rng(draw + 999).random(len(labels)) < abs(gain) / 4
    rows = np.flatnonzero(hit)
    moved = probabilities.copy()
    best = labels if gain > 0 else (labels + 2) % probabilities.shape[1]
    moved[rows] = 0.1 / (probabilities.shape[1] - 1)
    moved[rows, best[rows]] = 0.9
    return (moved / moved.sum(axis=1, keepdims=True)).astype(np.float32)
