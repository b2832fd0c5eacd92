"""Keep what a study found in a folder small enough for the repository, without times of day or paths of a machine.

    python benchmarks/publish_study.py runs/alexnet docs/results/alexnet

verdicts.json, costs.json, runs.csv and study.yaml are the study's own. how.json says on what machine and data,
answers.npz holds the class that every run gives every test image: all that is counted in docs/results.md comes from
these files. Pictures are drawn from the whole study, with their numbers beside them; further seeds of another study,
which say nothing by themselves, are kept with `--no-pictures` (results_joined.py).
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from convtrials.core.files import atomic_path, write_json
from convtrials.reports.study.predictions import TestImages
from convtrials.reports.study.read import read_study
from convtrials.reports.study.record import StudyRecord
from convtrials.reports.study.report import study_pictures
from convtrials.study.run_study import write_study_documents
from convtrials.training.run import Run
from convtrials.training.run_record import read_run_predictions

OWN = ("verdicts.json", "costs.json", "runs.csv", "study.yaml")
PICTURES = ("forest", "seeds", "learning-curves", "cost", "class-pairs")


def without_folders(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave of a file of weights its name: where it lay is nobody's business."""
    weights = settings.get("initial_weights")
    return {**settings, "initial_weights": Path(weights).name} if weights else settings


def how_made(study: StudyRecord) -> dict[str, Any]:
    """Return what a reader must know beside the verdicts: the plan's outline, machine, execution, data."""
    execution = {key: study.execution.get(key) for key in ("device", "precision", "channels_last", "threads")}
    return {
        "title": study.spec.title,
        "plan": study.plan.fingerprint,
        "plan_versions": max(1, len(study.plan_log.versions)),
        "metric": study.spec.metric,
        "margin": study.spec.margin,
        "looks": list(study.plan.looks),
        "most_seeds": study.spec.most,
        "arms": {
            arm.name: {
                "changes": without_folders(arm.changes),
                "recipe": without_folders(arm.recipe.model_dump(mode="json")),
                "seed_offset": arm.seed_offset,
            }
            for arm in study.plan.arms
        },
        "execution": {**execution, "workers": study.execution.get("workers")},
        "machine": {
            **{key: study.environment.get(key) for key in ("processor", "cores", "vector_units", "python")},
            "torch": study.environment.get("packages", {}).get("torch"),
        },
        "dataset": {key: study.dataset.get(key) for key in ("name", "counts", "class_names", "fingerprint")},
    }


def write_answers(study: StudyRecord, target: Path) -> None:
    """Write the class that each run gives each test image, as bytes."""
    arms, seeds, answers, labels, images = [], [], [], None, TestImages()
    for arm in (study.baseline, *study.techniques):
        for run in arm.finished:
            found = read_run_predictions(Run(run.folder))
            images.check(run, found)
            labels = found.labels
            arms.append(arm.name)
            seeds.append(run.seed)
            answers.append(found.predicted.astype(np.uint8))
    if labels is None or labels.max() > 255:
        raise SystemExit(f"{study.folder}: no finished run, or more than 256 classes")
    with atomic_path(target) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(
            handle,
            arms=np.array(arms),
            seeds=np.array(seeds),
            answers=np.stack(answers),
            labels=labels.astype(np.uint8),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--no-pictures", action="store_true", help="draw nothing")
    options = parser.parse_args()
    write_study_documents(options.study)
    study = read_study(options.study)
    options.target.mkdir(parents=True, exist_ok=True)
    for name in (
        name for name in OWN if (options.study / name).is_file()
    ):  # from Python there is no study.yaml
        shutil.copyfile(options.study / name, options.target / name)
    write_json(options.target / "how.json", how_made(study))
    write_answers(study, options.target / "answers.npz")
    for picture in () if options.no_pictures else study_pictures(study):
        if picture.name in PICTURES:
            picture.save(options.target)
    size = sum(path.stat().st_size for path in options.target.iterdir())
    print(f"{options.target}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
