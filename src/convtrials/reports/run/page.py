"""The page of a run, and what to type to get its result again."""

from __future__ import annotations

import shlex
from typing import Any

from convtrials.core.formatting import duration
from convtrials.reports.html import page_template
from convtrials.training.run_directory import Run

#: What the page shows of ``dataset.json``; the rest is for programs.
_SHOWN_OF_DATA = ("name", "source", "options", "fingerprint", "counts", "image_shape")


def describe_run(run: Run) -> dict[str, Any]:
    """Return what the page says of the run besides its test results: values for its template."""
    recipe, data, result = run.recipe, run.dataset, run.result
    execution, environment = run.execution, run.environment
    facts = [
        f"{result.parameters:,} parameters" if result.parameters is not None else "",
        f"{result.epochs} epochs in {duration(result.train_seconds)}",
        f"seed {result.seed}",
        f"{execution.device}, {execution.precision}",
        f"commit {environment.git_commit[:10]}" if environment.git_commit else "",
    ]
    described = data.to_dict()
    return {
        "title": f"{recipe.model} on {data.name}",
        "facts": [fact for fact in facts if fact],
        "recipe": recipe.to_yaml(),
        "commands": commands(run),
        "settings": {
            "Data": {key: described[key] for key in _SHOWN_OF_DATA if key in described},
            "Execution": execution.to_dict(),
            "Environment": environment.to_dict(),
            "Result": result.to_dict(),
        },
    }


def render_page(described: dict[str, Any], **results: Any) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    described : dict
        From `describe_run`.
    **results
        ``metrics`` from `evaluate_predictions`, with the run's ``warnings``; ``headlines`` and ``learned`` of them;
        ``figures``, `PageFigure` in the order in which they are read; ``summary``, what the run is worth in a few
        sentences; ``remarks``, what was left out, and why.
    """
    page: str = page_template("report.html.j2").render(**described, **results)
    return page


def commands(run: Run) -> list[str]:
    """Return the shell commands that train and evaluate the same again; none where the data was made in memory."""
    data, execution = run.dataset, run.execution
    if not data.source:
        return []
    again = f"{run.folder}-again"
    train = ["convtrials", "train", "--recipe", str(run.folder / "recipe.yaml"), "--data", data.source]
    train += _data_flags(data.options or {}, run.recipe.image_size)
    train += _flag("seed", run.result.seed)
    for name in ("device", "precision", "threads"):
        train += _flag(name, getattr(execution, name))
    return [shlex.join([*train, "--out", again]), shlex.join(["convtrials", "evaluate", again])]


def _data_flags(options: dict[str, Any], recipe_size: int | None) -> list[str]:
    """Return the flags that open the data as it was; a size that the recipe holds is not said again."""
    flags = []
    size = options.get("image_size")
    if size is None and recipe_size is not None:
        flags += _flag("set", "image_size=null")  # a dataset opened by hand, not at the recipe's size
    for name, value in options.items():
        if value in (None, False) or (name == "image_size" and value == recipe_size):
            continue
        if name == "columns":
            value = ",".join(f"{role}={column}" for role, column in value.items())
        elif isinstance(value, list):
            value = ",".join(map(str, value))
        flags += ["--skip-bad"] if name == "skip_bad" else _flag(name, value)
    return flags


def _flag(name: str, value: Any) -> list[str]:
    return [f"--{name.replace('_', '-')}", str(value)]
