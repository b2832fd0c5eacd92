"""The peer's side of `ictonyx_comparison.py`: runs under a Python that has ictonyx, and prints nothing of ours.

    PEER_PYTHON benchmarks/ictonyx_peer.py JOB.json RESULT.json

The network is ours (`convtrials.models`, found through PYTHONPATH); splits, optimizer, batch and epochs are those of
the job. Loop, seeds, order of images, evaluation and statistics are ictonyx's own.
"""

import dataclasses
import inspect
import json
import math
import sys
import tempfile
import time
import warnings
from pathlib import Path

import ictonyx as ix
import numpy as np
import pandas as pd
import torch
from ictonyx.analysis import StatisticalTestResult, paired_wilcoxon_test
from ictonyx.api import compare_results
from ictonyx.runners import ExperimentRunner

from convtrials.models import build_model


class Clock:
    """Notes when each run began: ictonyx reports no times, but it calls the builder at the start of a run."""

    def __init__(self):
        self.marks = []

    def mark(self):
        self.marks.append((time.perf_counter(), time.process_time()))

    def runs(self):
        """(wall seconds, CPU seconds) of each run; call after a closing mark."""
        pairs = zip(self.marks, self.marks[1:], strict=False)
        return [(after[0] - before[0], after[1] - before[1]) for before, after in pairs]


def adam(total_steps, cosine):
    """An optimizer class for ictonyx; its loop knows no schedules, so the cosine hangs on the optimizer's step."""

    def make(parameters, lr):
        optimizer = torch.optim.Adam(parameters, lr=lr)
        if cosine:
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / (total_steps - 1), 1.0)))
            )
            optimizer.register_step_post_hook(lambda *_: schedule.step())
        return optimizer

    return make


def builder(name, changes, job, data, clock):
    """The function that ictonyx calls for each run of an arm."""

    total_steps = job["epochs"] * math.ceil(len(data["y_train"]) / job["batch_size"])

    def build(config):
        clock.mark()
        network = build_model(
            job["model"],
            classes=job["classes"],
            channels=data["x_train"].shape[1],
            image_size=data["x_train"].shape[2:],
            width=job["width"],
            dropout=changes.get("dropout", job["dropout"]),
            seed=config.get("run_seed"),
        )
        return ix.PyTorchModelWrapper(
            network,
            criterion=torch.nn.CrossEntropyLoss(),
            optimizer_class=adam(total_steps, changes.get("schedule") == "cosine"),
            optimizer_params={"lr": job["lr"]},
            device="cpu",
        )

    build.__name__ = name
    return build


def told(test):
    """What a test result of ictonyx holds, ready for JSON."""
    values = {field.name: getattr(test, field.name) for field in dataclasses.fields(StatisticalTestResult)}
    keep = (
        "test_name",
        "statistic",
        "p_value",
        "corrected_p_value",
        "effect_size",
        "effect_size_name",
        "confidence_interval",
        "ci_method",
        "conclusion",
        "warnings",
    )
    return {key: values[key] for key in keep} | {"summary": test.get_summary()}


def compare(job, data):
    """Train every arm by `compare_models`, three arms or more at once."""
    clock = Clock()
    arms = [builder(name, changes, job, data, clock) for name, changes in job["arms"].items()]
    began = time.perf_counter()
    found = ix.compare_models(
        arms,
        (data["x_train"], data["y_train"]),
        runs=job["seeds"],
        epochs=job["epochs"],
        metric="test_accuracy",
        seed=0,
        verbose=False,
        batch_size=job["batch_size"],
        X_val=data["x_val"],
        y_val=data["y_val"],
        X_test=data["x_test"],
        y_test=data["y_test"],
    )
    wall = time.perf_counter() - began
    clock.mark()
    return found, clock.runs(), wall


def two_arms(scores, seed=0):
    """Compare each technique alone with the baseline, as ictonyx does with two models under one seed."""
    studies = {name: _study(values, seed) for name, values in scores.items()}
    baseline, *techniques = studies
    return {
        name: told(
            compare_results(studies[name], studies[baseline], metric="test_accuracy", seed=seed).overall_test
        )
        for name in techniques
    }


def _study(values, seed):
    """What `variability_study` hands on to `compare_results`: the test accuracy of each run."""
    return ix.VariabilityStudyResults(
        all_runs_metrics=[],
        final_metrics={},
        final_test_metrics=[{"run_id": k, "accuracy": float(value)} for k, value in enumerate(values, 1)],
        seed=seed,
    )


def facts():
    """What can be asked of the library itself."""
    clear = {"baseline": [0.1] * 5, "technique": [0.9, 0.91, 0.92, 0.93, 0.95]}
    said, checkpoints = checkpoints_of_compare_models()
    return {
        "version": ix.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "equivalence_tests": [
            name for name in dir(ix) if "equivalen" in name.lower() or "tost" in name.lower()
        ],
        "two_arms_at_5_runs": two_arms(clear)["technique"]["summary"],
        "smallest_paired_p_at_5_runs": paired_wilcoxon_test(
            *map(pd.Series, reversed(clear.values()))
        ).p_value,
        "checkpoints_written_by_compare_models": checkpoints,
        "compare_models_says_of_checkpoint_dir": said,
        "diverged_run": diverged_run(),
        "run_study_has_checkpoint_dir": "checkpoint_dir"
        in inspect.signature(ExperimentRunner.run_study).parameters,
        "split_note": "Test-set sampling error is shared by every run and is not propagated"
        in " ".join((ix.compare_models.__doc__ or "").split()),
    }


def checkpoints_of_compare_models():
    """Ask for checkpoints where people compare; return the warnings that name them, and how many files came."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ix.compare_models(
            [_small("one"), _small("other")],
            (np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32), np.arange(40) % 2),
            runs=2,
            epochs=1,
            verbose=False,
            seed=0,
            checkpoint_dir=folder,
        )
        said = [str(one.message) for one in caught if "checkpoint" in str(one.message)]
        return said, len(list(Path(folder).iterdir()))


def diverged_run():
    """What a study says of two runs whose loss is no number from the second step on."""
    found = ix.variability_study(
        _small("wild", lr=1e30),
        (np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32), np.arange(400) % 2),
        runs=2,
        epochs=2,
        verbose=False,
        seed=0,
    )
    losses = [test["loss"] for test in found.final_test_metrics]
    return {
        "loss_is_a_number": bool(np.isfinite(losses).any()),
        "accuracies_counted": found.get_test_metric_values("test_accuracy"),
        "failed_runs": found.failed_runs,
    }


def _small(name, lr=1e-3):
    def build(config):
        network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        return ix.PyTorchModelWrapper(
            network, optimizer_class=torch.optim.SGD, optimizer_params={"lr": lr}, device="cpu"
        )

    build.__name__ = name
    return build


def main():
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with np.load(job["data"]) as stored:
        data = {name: stored[name] for name in stored.files}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, runs, wall = compare(job, data)
        alone = two_arms(found.raw_data)
    said = sorted({str(one.message) for one in caught if issubclass(one.category, UserWarning)})
    result = {
        "facts": facts(),
        "wall_seconds": wall,
        "runs": [{"seconds": wall_seconds, "cpu_seconds": cpu} for wall_seconds, cpu in runs],
        "scores": {name: [float(value) for value in values] for name, values in found.raw_data.items()},
        "summary": found.get_summary(),
        "overall": told(found.overall_test),
        "correction": found.correction_method,
        "pairs": {name: told(test) for name, test in found.pairwise_comparisons.items()},
        "alone": alone,
        "warnings": said,
    }
    Path(sys.argv[2]).write_text(json.dumps(result, indent=2, default=str), encoding="utf-8")


if __name__ == "__main__":
    main()
