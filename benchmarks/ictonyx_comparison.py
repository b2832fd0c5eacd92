"""The same comparison in ictonyx and in convtrials: what each reports, and how long a run takes.

Both train the same network on the same splits with the same optimizer, rate, batch, epochs and number of seeds, and
score the same test images. ictonyx draws its own seeds and order of images, so single scores differ.

    python -m venv PEER && PEER/bin/pip install ictonyx torch==2.13.0 scikit-learn
    python benchmarks/ictonyx_comparison.py --peer-python PEER/bin/python --out compared

What is in OUT already is not computed again, so the two sides can be run at different times.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from convtrials.core.process import available_cores
from convtrials.data.dataset import Dataset
from convtrials.data.open import load_dataset
from convtrials.data.sources.find import BUILT_IN
from convtrials.training.engine.environment import processor_name

HERE = Path(__file__).resolve().parent
BASELINE = {"model": "alexnet", "width": 0.25, "dropout": 0.5}
LEARNING_RATE = 1e-3
TECHNIQUES = {"cosine schedule": {"schedule": "cosine"}, "dropout 0.25": {"dropout": 0.25}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer-python", help="a Python that has ictonyx, torch and scikit-learn")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results of both sides")
    parser.add_argument("--data", default="glyphs")
    parser.add_argument("--samples-per-class", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=6, help="ictonyx compares two arms from 6 runs each")
    options = parser.parse_args()
    if options.data not in BUILT_IN:
        options.data = str(Path(options.data).resolve())  # a study file's paths start where the file lies
    options.out.mkdir(parents=True, exist_ok=True)
    if options.peer_python and not (options.out / "peer.json").is_file():
        run_peer(options)
    if not (options.out / "wall.json").is_file():
        run_ours(options)
    print_tables(options.out)


def run_peer(options: argparse.Namespace) -> None:
    """Hand splits and settings over as files; the peer's Python finds our network through PYTHONPATH."""
    dataset = load_dataset(options.data, samples_per_class=options.samples_per_class)
    splits = options.out.resolve() / "splits.npz"
    np.savez(
        splits, **{f"x_{name}": images(dataset, name) for name in ("train", "val", "test")},
        **{f"y_{name}": dataset.labels[dataset.indices(name)] for name in ("train", "val", "test")},
    )  # fmt: skip
    job = {
        **BASELINE,
        "data": str(splits),
        "classes": len(dataset.class_names),
        "lr": LEARNING_RATE,
        "batch_size": options.batch_size,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "arms": {"baseline": {}, **TECHNIQUES},
    }
    (options.out / "job.json").write_text(json.dumps(job, indent=2))
    command = [options.peer_python, str(HERE / "ictonyx_peer.py"), "job.json", "peer.json"]
    subprocess.run(
        command,
        cwd=options.out,
        check=True,
        env=os.environ | {"PYTHONPATH": str(HERE.parent / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    splits.unlink()


def images(dataset: Dataset, split: Any) -> np.ndarray:
    """Images of a split as our loop feeds them: (n, C, H, W), less the mean, over the deviation."""
    raw = dataset.images[dataset.indices(split)].astype(np.float32) / 255
    normal = (raw - np.float32(dataset.mean)) / np.float32(dataset.std)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


def run_ours(options: argparse.Namespace) -> None:
    """Run the study as a person would, by its command, and time it."""
    study = {
        "dataset": {"name": options.data, "samples_per_class": options.samples_per_class},
        "baseline": {
            **BASELINE,
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "optimizer": {"name": "adam", "lr": LEARNING_RATE},
        },
        "techniques": TECHNIQUES,
        "seeds": options.seeds,
        "metric": "accuracy",
        "margin": 0.005,
    }
    file = options.out / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    load_dataset(options.data, samples_per_class=options.samples_per_class)  # packed before the clock starts
    began, cpu_began = time.perf_counter(), children_cpu_seconds()
    command = [sys.executable, "-m", "convtrials.cli.main", "study", "run", str(file)]
    subprocess.run([*command, "--out", str(options.out / "study")], check=True)
    spent = {
        "wall_seconds": time.perf_counter() - began,
        "cpu_seconds": children_cpu_seconds() - cpu_began,
    }
    (options.out / "wall.json").write_text(json.dumps(spent))


def children_cpu_seconds() -> float:
    """CPU seconds of all processes that were started and waited for, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def print_tables(out: Path) -> None:
    """Print both sides as Markdown tables."""
    peer = json.loads((out / "peer.json").read_text())
    study = {
        name: json.loads((out / "study" / f"{name}.json").read_text())
        for name in ("verdicts", "costs", "execution")
    }
    study["wall"] = json.loads((out / "wall.json").read_text())
    print(f"\n{processor_name()}, {available_cores()} cores; ictonyx {peer['facts']['version']}\n")
    print(table(("", "ictonyx", "convtrials"), time_rows(peer, study)))
    print(
        table(("technique", "ictonyx, three arms", "ictonyx, two arms", "convtrials"), answers(peer, study))
    )
    print(table(("", "ictonyx", "convtrials"), feature_rows(peer, study)))


def time_rows(peer: dict[str, Any], study: dict[str, Any]) -> list[tuple[str, ...]]:
    execution, wall, runs = study["execution"], study["wall"], len(peer["runs"])
    our_runs = study["costs"]["total"]["runs"]
    cpu = sum(run["cpu_seconds"] for run in peer["runs"])
    workers = execution.get("workers", 1)
    return [
        ("runs", f"{runs}, one after the other", f"{our_runs}, {workers} at a time"),
        ("precision", "fp32", str(execution["precision"])),
        ("threads a run", str(peer["facts"]["threads"]), str(execution["threads"])),
        ("seconds, whole comparison", f"{peer['wall_seconds']:.0f}", f"{wall['wall_seconds']:.0f}"),
        ("seconds a run", f"{peer['wall_seconds'] / runs:.1f}", f"{wall['wall_seconds'] / our_runs:.1f}"),
        ("CPU seconds a run, all in", f"{cpu / runs:.1f}", f"{wall['cpu_seconds'] / our_runs:.1f}"),
    ]


def answers(peer: dict[str, Any], study: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for ours in study["verdicts"]["techniques"]:
        name = ours["name"]
        pair = peer["pairs"].get(f"baseline_vs_{name}")
        among = pair["summary"] if pair else f"no pairwise test: {peer['overall']['summary']}"
        rows.append(
            (
                name,
                f"{points(peer, name)}; {among}",
                peer["alone"][name]["summary"],
                f"**{ours['verdict']}**, {_points(ours['difference'])} "
                f"({_points(ours['low'])} to {_points(ours['high'])}), adjusted p {ours['p_adjusted']:.4f}. "
                f"{ours['sentence']}",
            )
        )
    return rows


def points(peer: dict[str, Any], name: str) -> str:
    """The mean difference that ictonyx's runs show, which it leaves to the reader."""
    return _points(float(np.mean(peer["scores"][name]) - np.mean(peer["scores"]["baseline"])))


def _points(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:+.2f} points"


def feature_rows(peer: dict[str, Any], study: dict[str, Any]) -> list[tuple[str, ...]]:
    """What each side reports; the peer's answers are read off its results, not off its manual."""
    facts, verdicts = peer["facts"], study["verdicts"]
    technique = verdicts["techniques"][0]
    interval_among = any(pair["confidence_interval"] for pair in peer["pairs"].values())
    interval_alone = all(alone["confidence_interval"] for alone in peer["alone"].values())
    checkpoints = facts["checkpoints_written_by_compare_models"]
    return [
        ("test with three arms", peer["overall"]["test_name"], "Welch over seeds, images paired"),
        ("test with two arms", next(iter(peer["alone"].values()))["test_name"], "the same"),
        (
            "two arms with 5 clearly different runs each",
            facts["two_arms_at_5_runs"],
            "an interval from 2 runs on",
        ),
        ("correction for several techniques", peer["correction"] + ", all pairs", "joint intervals and p-values"),
        ("interval of the difference, three arms", yes(interval_among), yes(technique["low"] is not None)),
        ("interval of the difference, two arms", yes(interval_alone), "yes, the same"),
        ("test images as a source of doubt", "no, and says so" if facts["split_note"] else "no", "yes"),
        ("verdict of no practical difference", yes(bool(facts["equivalence_tests"])), "yes, with a margin"),
        ("probability that a run beats a run", "as a rank correlation", yes("probability_better" in technique)),
        ("a diverged run", diverged(facts["diverged_run"]), "makes the verdict unstable"),
        ("goes on after a kill", yes(checkpoints > 0), "yes, inside a run too"),
        ("seconds, cost against the baseline", "no", yes("cost_ratio" in study["costs"]["techniques"][0])),
    ]  # fmt: skip


def diverged(run: dict[str, Any]) -> str:
    if run["loss_is_a_number"] or run["failed_runs"]:
        return "did not happen, or counted as failed"
    return f"counts with its accuracy ({run['accuracies_counted'][0]:.3f} in a test of two classes)"


def yes(answer: bool) -> str:
    return "yes" if answer else "no"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * len(header), *lines[1:], ""])


if __name__ == "__main__":
    main()
