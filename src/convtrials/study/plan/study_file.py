"""The study file: what a person writes, read and checked before anything is trained."""

import os
from pathlib import Path
from typing import Any

from convtrials.core.errors import RecipeError, StudyError
from convtrials.study.plan.arms import Arm, TechniqueError, build_arms
from convtrials.study.plan.spec import RuleError, StudyRules, StudySpec, alpha_of
from convtrials.study.plan.yaml_lines import LinedYaml, read_lined_yaml
from convtrials.training.recipe.recipe import Recipe, merged, recipe_file

KEYS = (
    "title", "dataset", "baseline", "techniques", "seeds", "first_seed", "metric", "margin", "confidence", "weights",
)  # fmt: skip


def read_study_file(path: Path, *, data: str | None = None) -> StudySpec:
    """Read a study file.

    Parameters
    ----------
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
    baseline = _baseline(text)
    try:
        rules = StudyRules(**_rules(text, baseline, data))
    except RuleError as error:
        raise text.error(error.keys, error.message) from None
    return StudySpec.of(rules, _arms(text, baseline, rules))


def _rules(text: LinedYaml, baseline: Recipe, data: str | None) -> dict[str, Any]:
    """Return what the file says of the rules, under the names of `StudyRules`."""
    rules = {key: text.values[key] for key in text.values if key in StudyRules.model_fields}
    if "confidence" in text.values:
        rules["alpha"] = alpha_of(text.values["confidence"])
    source, options = _dataset(text)
    for key, value in baseline.dataset_options().items():
        options.setdefault(key, value)
    return {**rules, "source": source if data is None else data, "dataset_options": options}


def _arms(text: LinedYaml, baseline: Recipe, rules: StudyRules) -> list[Arm]:
    techniques = text.values.get("techniques")
    if not isinstance(techniques, dict) or not techniques:
        raise text.error(
            ("techniques",), "at least one is needed, such as `cosine schedule: {schedule: cosine}`"
        )
    for name in techniques:
        if not isinstance(name, str) or len(name) > 80 or not name.isprintable():
            raise text.error(
                ("techniques", str(name)), "a name must be printable text of at most 80 characters"
            )
    try:
        return build_arms(baseline, techniques, most_seeds=rules.most, first_seed=rules.first_seed)
    except TechniqueError as error:
        raise StudyError(f"{text.place(error.keys)}: {error.message}") from None


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


def _from_file(text: LinedYaml, path: str) -> str:
    return os.path.abspath(text.path.parent / Path(path).expanduser())


def _dataset(text: LinedYaml) -> tuple[str, dict[str, Any]]:
    values = text.values.get("dataset", "glyphs")
    if isinstance(values, str):
        values = {"name": values}
    if not isinstance(values, dict):
        raise text.error(("dataset",), "expected a name, a path, or `{name: glyphs, samples_per_class: 700}`")
    options = {str(key): value for key, value in values.items()}
    names = [options.pop(key) for key in ("name", "path", "train") if options.get(key) is not None]
    if len(names) != 1 or not isinstance(names[0], str):
        raise text.error(("dataset",), "needs one of name (glyphs, emnist36), path, and train (with test)")
    name = names[0]
    if isinstance(options.get("classes"), list):
        # YAML reads 0 as a number; it reads no as false, which stays and is refused.
        options["classes"] = [str(one) if type(one) is int else one for one in options["classes"]]
    from convtrials.data.options import is_table_name
    from convtrials.data.sources.find import BUILT_IN

    if name not in BUILT_IN:
        # A study file means the same from wherever it is run.
        name = _from_file(text, name)
    for key in ("val", "test", "groups"):
        value = options.get(key)
        if isinstance(value, str) and value and (key != "groups" or is_table_name(value)):
            options[key] = _from_file(text, value)
    return name, options
