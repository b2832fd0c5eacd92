"""What to type to get a run's result again."""

from __future__ import annotations

import shlex
from typing import Any

from convtrials.evaluation.record import RunRecord


def commands(record: RunRecord) -> list[str]:
    """Return the shell commands that train and evaluate the same again; none where the data was made in memory."""
    source = record.dataset.get("source")
    if not isinstance(source, str) or not source:
        return []
    again = f"{record.folder}-again"
    train = ["convtrials", "train", "--recipe", str(record.folder / "recipe.yaml"), "--data", source]
    options = record.dataset.get("options")
    for name, value in (options if isinstance(options, dict) else {}).items():
        if name in ("samples_per_class", "split_seed") and value:
            train += _flag(name, value)
        if name == "ratios" and isinstance(value, list):
            train += _flag(name, ",".join(str(share) for share in value))
        if name == "skip_bad" and value:
            train += ["--skip-bad"]
    train += _flag("seed", record.result.get("seed", 0))
    for name in ("precision", "threads"):
        if name in record.execution:
            train += _flag(name, record.execution[name])
    return [shlex.join([*train, "--out", again]), shlex.join(["convtrials", "evaluate", again])]


def _flag(name: str, value: Any) -> list[str]:
    return [f"--{name.replace('_', '-')}", str(value)]
