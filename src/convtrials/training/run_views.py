"""A run as data frames, and as a small table for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from convtrials.core.errors import ConvtrialsError, RunError
from convtrials.evaluation.scores import wilson_interval
from convtrials.training.run_documents import HistoryEntry

if TYPE_CHECKING:
    import pandas as pd

    from convtrials.training.run_directory import Run


def history_frame(run: Run) -> pd.DataFrame:
    """Return `Run.history`."""
    kinds = {name: int if name in ("epoch", "step") else float for name in HistoryEntry.model_fields}
    rows = [entry.model_dump(include=set(kinds)) for entry in run.read_history()]
    import pandas  # late: half a second

    return pandas.DataFrame(rows, columns=list(kinds)).astype(kinds)


def predictions_frame(run: Run) -> pd.DataFrame:
    """Return `Run.predictions`."""
    import pandas

    found = run.read_predictions()
    names = run.class_names_of(found)
    of_class = np.array(names, dtype=object)
    frame = pandas.DataFrame(
        {
            "image": found.indices,
            "label": pandas.Series(of_class[found.labels], dtype=object),
            "predicted": pandas.Series(of_class[found.predicted], dtype=object),
            "correct": found.labels == found.predicted,
        }
    )
    shares = pandas.DataFrame(found.probabilities, columns=[f"p({name})" for name in names])
    return pandas.concat([frame, shares], axis=1)


def html_table(run: Run) -> str:
    """Return the run as a small HTML table: what it is, and how it stands.

    A directory that cannot be read is shown as what is wrong with it: a notebook's cell is no place for a traceback.
    """
    try:
        rows = _rows(run)
    except ConvtrialsError as problem:
        rows = [("run", run.folder), ("problem", problem)]
    left = 'style="text-align:left"'
    lines = [
        f"<tr><th {left}>{name}</th><td {left}>{escape(_shown(value))}</td></tr>" for name, value in rows
    ]
    return f"<table>{''.join(lines)}</table>"


def _rows(run: Run) -> list[tuple[str, Any]]:
    if not run.exists:
        raise RunError(f"{run.folder}: no run has begun here")
    data, status = run.dataset, run.status
    counts = data.counts
    rows = [
        ("run", run.folder),
        ("recipe", _changes(run)),
        ("seed", run.identity.seed),
        ("data", f"{data.name}: {counts.train:,} train, {counts.val:,} val, {counts.test:,} test images"),
    ]
    if not run.finished:
        return [
            *rows,
            ("status", f"{status}, {len(run.read_history())} of {run.recipe.epochs:g} epochs validated"),
        ]
    result = run.result
    if result.diverged:
        return [*rows, ("status", f"diverged at step {result.diverged_at}")]
    early = ", stopped early" if result.stopped_early else ""
    rows += [("status", status), ("epochs", f"{result.epochs}{early}")]
    rows += [("validation accuracy", f"{result.val_accuracy:.2%}")]
    return [*rows, ("test accuracy", _accuracy(run))] if result.test_accuracy is not None else rows


def _changes(run: Run) -> str:
    """Return the recipe in short: the model, and what differs from the defaults."""
    recipe = run.recipe
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    values.pop("model", None)
    whole = recipe.model_dump(mode="json")
    for key, value in values.items():  # a default name too: "optimizer adam (lr 0.004)"
        if isinstance(value, dict) and "name" in whole[key]:
            values[key] = {"name": whole[key]["name"], **value}
    flat = [f"{key} {_words(value)}" for key, value in values.items()]
    return ", ".join([recipe.model, *flat])


def _words(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    inner = {key: item for key, item in value.items() if item is not None}
    name = inner.pop("name", None)
    rest = ", ".join(f"{key} {_words(item)}" for key, item in inner.items())
    return f"{name} ({rest})" if name and rest else str(name or f"({rest})")


def _accuracy(run: Run) -> str:
    """Return test accuracy with an interval that needs no resampling."""
    found = run.read_predictions()
    right = found.predicted == found.labels
    (low,), (high,) = wilson_interval(right.mean(keepdims=True), np.array([len(right)]))
    return f"{right.mean():.2%}, 95% interval over {len(right):,} images {low:.1%} to {high:.1%}"


def _shown(value: Any) -> str:
    """Return a value as text that a page can hold."""
    return str(value).encode("utf-8", "replace").decode()
