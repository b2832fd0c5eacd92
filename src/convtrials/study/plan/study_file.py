"""The study file: what a person writes, read and checked before anything is trained."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convtrials.core.errors import RecipeError, StudyError
from convtrials.study.plan.arms import Arm, TechniqueError, build_arms
from convtrials.study.plan.yaml_lines import LinedYaml, read_lined_yaml
from convtrials.study.results.metrics import METRICS, check_metric
from convtrials.training.recipe.recipe import Recipe, merged, recipe_file

#: Half a point of accuracy: smaller differences are out of reach of most test sets, and matter to few.
DEFAULT_MARGIN = 0.005

#: Chance of any false "better" or "worse" in a study.
DEFAULT_ALPHA = 0.05

#: More seeds than this an arm is a mistake.
MOST_SEEDS = 1000

#: With a technique's own offset on top, seeds stay within what a plan can hold.
LARGEST_FIRST_SEED = 100_000_000

KEYS = (
    "title", "dataset", "baseline", "techniques", "seeds", "first_seed", "metric", "margin", "confidence", "weights",
)  # fmt: skip
WEIGHTS = ("first", "all", "none")

#: What `load_dataset` takes and a study may fix.
DATASET_OPTIONS = (
    "image_size", "channels", "samples_per_class", "classes", "ratios", "split_seed", "skip_bad",
)  # fmt: skip


@dataclass(frozen=True)
class StudySpec:
    """A study as asked for, before any data is opened.

    Attributes
    ----------
    arms : tuple of Arm
        The baseline first.
    source : str
        What `load_dataset` takes: a built-in name or a path, from the file's own folder.
    dataset_options : dict
        Options of `load_dataset`.
    fewest, most : int
        Seeds per arm; equal where the number is fixed.
    metric : str
        ``accuracy`` or ``log_loss``.
    margin : float
        Smaller differences do not matter in practice; in the metric's unit.
    alpha : float
        Chance of any false "better" or "worse", over all techniques and looks.
    weights : str
        Whose weights are kept on disk: ``first`` seed of each arm, ``all`` or ``none``.
    title : str or None
    """

    arms: tuple[Arm, ...]
    source: str = "glyphs"
    dataset_options: dict[str, Any] = field(default_factory=dict)
    fewest: int = 5
    most: int = 5
    metric: str = "accuracy"
    margin: float = DEFAULT_MARGIN
    alpha: float = DEFAULT_ALPHA
    weights: str = "first"
    title: str | None = None


def read_study_file(path: Path, *, data: str | None = None) -> StudySpec:
    """Read a study file.

    Parameters
    ----------
    path : Path
    data : str, optional
        A dataset to use in place of the file's.

    Raises
    ------
    StudyError
        With file, line and key.
    """
    text = read_lined_yaml(Path(path))
    values = text.values
    for key in values:
        if key not in KEYS:
            raise text.error((str(key),), f"unknown key; allowed: {', '.join(KEYS)}")
    fewest, most = _seeds(text)
    metric = _metric(text)
    source, options = _dataset(text)
    baseline = _baseline(text)
    if baseline.image_size is not None:
        options.setdefault("image_size", baseline.image_size)
    return StudySpec(
        arms=tuple(_arms(text, baseline, most, _first_seed(text))),
        source=data if data is not None else source,
        dataset_options=options,
        fewest=fewest,
        most=most,
        metric=metric,
        margin=_margin(text, metric),
        alpha=_alpha(text),
        weights=_choice(text, "weights", WEIGHTS, "first"),
        title=_title(text),
    )


def _arms(text: LinedYaml, baseline: Recipe, most: int, first_seed: int) -> list[Arm]:
    techniques = text.values.get("techniques")
    if not isinstance(techniques, dict) or not techniques:
        raise text.error(
            ("techniques",), "at least one is needed, such as `cosine schedule: {schedule: cosine}`"
        )
    for name in techniques:
        if not isinstance(name, str) or len(name) > 80 or not name.isprintable():
            raise text.error(("techniques", str(name)), "a name must be printable text of at most 80 letters")
    try:
        return build_arms(baseline, techniques, most_seeds=most, first_seed=first_seed)
    except TechniqueError as error:
        raise StudyError(f"{text.place(error.keys)}: {error.told}") from None


def _baseline(text: LinedYaml) -> Recipe:
    """The baseline: recipe keys, a recipe file, or a file (``recipe:``) with keys over it."""
    values = text.values.get("baseline")
    if isinstance(values, str):
        values = {"recipe": values}
    if not isinstance(values, dict):
        raise text.error(
            ("baseline",), "expected a recipe, such as `{model: alexnet, epochs: 2}`, or a recipe file"
        )
    changes = {str(key): value for key, value in values.items()}
    file = changes.pop("recipe", None)
    try:
        if file is not None:
            return Recipe.load(recipe_file(str(file), text.path.parent), changes)
        return Recipe.make(merged({}, changes), where="baseline")
    except RecipeError as error:
        line = str(error).splitlines()[0].removeprefix("baseline: ")
        key = line.partition(" =")[0].partition(":")[0]
        raise StudyError(f"{text.place(('baseline', *key.split('.')))}: baseline: {line}") from None


def _dataset(text: LinedYaml) -> tuple[str, dict[str, Any]]:
    values = text.values.get("dataset", "glyphs")
    if isinstance(values, str):
        values = {"name": values}
    if not isinstance(values, dict):
        raise text.error(("dataset",), "expected a name, a path, or `{name: glyphs, samples_per_class: 700}`")
    options = {str(key): value for key, value in values.items()}
    name = options.pop("name", None) or options.pop("path", None)
    options.pop("path", None)
    if not isinstance(name, str):
        raise text.error(("dataset",), "needs a name (glyphs, emnist36) or a path")
    for key, value in options.items():
        if key not in DATASET_OPTIONS:
            raise text.error(
                ("dataset", key), f"unknown key; allowed: name, path, {', '.join(DATASET_OPTIONS)}"
            )
        _check_option(text, key, value)
    if "classes" in options:
        options["classes"] = [str(name) for name in options["classes"]]  # YAML reads 0 as a number
    from convtrials.data.open import BUILT_IN

    if name not in BUILT_IN:
        # A study file means the same from wherever it is run.
        name = os.path.abspath(text.path.parent / Path(name).expanduser())
    return name, options


def _check_option(text: LinedYaml, key: str, value: Any) -> None:
    """Refuse a value that `load_dataset` cannot take."""
    if key == "ratios":
        good = isinstance(value, list) and len(value) == 3 and all(_is_number(share) for share in value)
        allowed = "three shares, such as [0.7, 0.15, 0.15]"
    elif key == "classes":
        named = isinstance(value, list) and len(value) >= 2
        good = named and all(isinstance(name, str | int) and not isinstance(name, bool) for name in value)
        allowed = "two names or more, such as [cat, dog]; quote those that YAML takes for yes and no"
    elif key == "skip_bad":
        good, allowed = isinstance(value, bool), "true or false"
    else:
        lowest = 0 if key == "split_seed" else 1
        good = isinstance(value, int) and not isinstance(value, bool) and value >= lowest
        allowed = f"a whole number from {lowest} on"
    if not good:
        raise text.error(("dataset", key), f"{value!r:.40}: must be {allowed}")


def _seeds(text: LinedYaml) -> tuple[int, int]:
    value = text.values.get("seeds", 5)
    if isinstance(value, dict):
        if set(value) != {"min", "max"}:
            raise text.error(("seeds",), "must be a number, or {min: 3, max: 20}")
        fewest, most = value["min"], value["max"]
    else:
        fewest = most = value
    for number in (fewest, most):
        if isinstance(number, bool) or not isinstance(number, int) or not 2 <= number <= MOST_SEEDS:
            raise text.error(
                ("seeds",),
                f"{number!r:.40}: must be a whole number from 2 to {MOST_SEEDS}; "
                "with one run per arm nobody can see how far chance moves it",
            )
    if fewest > most:
        raise text.error(("seeds",), f"min {fewest} is more than max {most}")
    return fewest, most


def _first_seed(text: LinedYaml) -> int:
    value = text.values.get("first_seed", 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_FIRST_SEED:
        raise text.error(
            ("first_seed",), f"{value!r:.40}: must be a whole number from 0 to {LARGEST_FIRST_SEED:,}"
        )
    return value


def _metric(text: LinedYaml) -> str:
    value = text.values.get("metric", "accuracy")
    try:
        check_metric(value)
    except StudyError as error:
        raise text.error(("metric",), str(error).removeprefix("metric: ")) from None
    assert value in METRICS
    return str(value)


def _margin(text: LinedYaml, metric: str) -> float:
    if "margin" not in text.values:
        if metric != "accuracy":
            raise text.error(
                ("metric",), f"{metric} needs a margin: the smallest difference that matters to you"
            )
        return DEFAULT_MARGIN
    value = text.values["margin"]
    highest = 0.5 if metric == "accuracy" else 10.0
    if not _is_number(value) or not 0 < value <= highest:
        hint = " (half a point is 0.005)" if metric == "accuracy" else ""
        raise text.error(("margin",), f"{value!r:.40}: must be above 0 and at most {highest:g}{hint}")
    return float(value)


def _alpha(text: LinedYaml) -> float:
    value = text.values.get("confidence", 1 - DEFAULT_ALPHA)
    if not _is_number(value) or not 0.5 <= value <= 0.999:
        raise text.error(("confidence",), f"{value!r:.40}: must be from 0.5 to 0.999, such as 0.95")
    return round(1 - float(value), 12)


def _choice(text: LinedYaml, key: str, allowed: tuple[str, ...], default: str) -> str:
    value = text.values.get(key, default)
    if value not in allowed:
        raise text.error((key,), f"{value!r:.40}: allowed are {', '.join(allowed)}")
    return str(value)


def _title(text: LinedYaml) -> str | None:
    value = text.values.get("title")
    if value is not None and (not isinstance(value, str) or len(value) > 200 or not value.isprintable()):
        raise text.error(("title",), "must be one line of at most 200 letters")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
