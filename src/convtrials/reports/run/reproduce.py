"""What to type to get a run's result again."""

from __future__ import annotations

import shlex
from typing import Any

from convtrials.training.run_record import RunRecord


def commands(record: RunRecord) -> list[str]:
    """Return the shell commands that train and evaluate the same again; none where the data was made in memory."""
    source = record.dataset.get("source")
    if not isinstance(source, str) or not source:
        return []
    again = f"{record.folder}-again"
    train = ["convtrials", "train", "--recipe", str(record.folder / "recipe.yaml"), "--data", source]
    options = record.dataset.get("options")
    train += _data_flags(options if isinstance(options, dict) else {}, record.settings.get("image_size"))
    train += _flag("seed", record.result.get("seed", 0))
    for name in ("device", "precision", "threads"):
        if name in record.execution:
            train += _flag(name, record.execution[name])
    return [shlex.join([*train, "--out", again]), shlex.join(["convtrials", "evaluate", again])]


def _data_flags(options: dict[str, Any], recipe_size: Any) -> list[str]:
    """Return the flags that open the data as it was; a size that the recipe holds is not said again."""
    flags = []
    size = options.get("image_size")
    if size is None and recipe_size is not None:
        flags += _flag("set", "image_size=null")  # a dataset opened by hand, not at the recipe's size
    for name in ("image_size", "channels", "samples_per_class", "split_seed"):
        value = options.get(name)
        if value and not (name == "image_size" and value == recipe_size):
            flags += _flag(name, value)
    if isinstance(options.get("classes"), list):
        flags += _flag("classes", ",".join(str(name) for name in options["classes"]))
    if isinstance(options.get("ratios"), list):
        flags += _flag("ratios", ",".join(str(share) for share in options["ratios"]))
    if options.get("skip_bad"):
        flags += ["--skip-bad"]
    return flags


def _flag(name: str, value: Any) -> list[str]:
    return [f"--{name.replace('_', '-')}", str(value)]
