"""Every file in studies/ and recipes/ can be run: each study is a study, each grid a grid, each recipe a recipe."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import choose_rates
from convtrials.study.plan.study_file import read_study_file
from convtrials.training.engine.execution import Execution
from convtrials.training.recipe.recipe import Recipe, read_yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "studies").glob("*.yaml"))
GRIDS = [path for path in FILES if path.name.startswith(("rates-", "choices-"))]
STUDIES = [path for path in FILES if path not in GRIDS]


def named(path: Path) -> str:
    return path.stem


def highest(answers: Iterable[Any]) -> Any:
    """Return what reached the highest validation accuracy in a grid."""
    return max((one for answer in answers for one in answer["tried"]), key=lambda one: one["val_accuracy"])


@pytest.mark.parametrize("path", STUDIES, ids=named)
def test_it_is_a_study(path: Path) -> None:
    spec = read_study_file(path)
    assert len(spec.arms) >= 2
    assert spec.most >= (2 if path.stem == "vgg11-look-5" else 3)  # which is a part of another study


@pytest.mark.parametrize("path", GRIDS, ids=named)
def test_it_is_a_grid(path: Path, tmp_path: Path) -> None:
    trials = choose_rates.trials_of(path, None, tmp_path, Execution())
    assert len({trial.folder for trial in trials}) == len(trials)
    assert len({trial.recipe.fingerprint() for trial in trials}) == len(trials)
    assert all(trial.recipe.optimizer.lr == trial.rate for trial in trials)
    assert all(trial.seed >= 1000 for trial in trials)  # no study uses it


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=named)
def test_it_is_a_recipe(path: Path) -> None:
    assert Recipe.load(path).epochs > 0


def test_the_grid_says_what_the_study_of_alexnet_uses() -> None:
    """The rates in the study are those that validation data chose."""
    chosen = {
        name: one["chosen"]
        for name, one in read_yaml(ROOT / "docs" / "results" / "rates-alexnet.json")["answers"].items()
    }
    arms = {arm.name: arm.recipe for arm in read_study_file(ROOT / "studies" / "alexnet.yaml").arms}
    assert arms["baseline"].optimizer.lr == chosen["base"]
    compared = [name for name in chosen if name in arms]
    assert len(compared) >= 14
    for name in compared:
        assert arms[name].optimizer.lr == chosen[name], name


def test_the_best_recipe_is_the_one_that_was_confirmed() -> None:
    arms = {arm.name: arm.recipe for arm in read_study_file(ROOT / "studies" / "confirm-alexnet.yaml").arms}
    assert arms["best"] == Recipe.load(ROOT / "recipes" / "best.yaml")
    answers = read_yaml(ROOT / "docs" / "results" / "choices-best.json")["answers"]
    best = highest(answers.values())
    assert best in answers["plain"]["tried"]
    assert best["rate"] == arms["best"].optimizer.lr


def test_the_study_of_vgg11_uses_what_validation_data_chose() -> None:
    arms = {arm.name: arm.recipe for arm in read_study_file(ROOT / "studies" / "vgg11.yaml").arms}
    assert arms["best"] == Recipe.load(ROOT / "recipes" / "best-vgg11.yaml")
    answers = read_yaml(ROOT / "docs" / "results" / "choices-vgg11.json")["answers"]
    assert arms["baseline"].optimizer.lr == answers["base"]["chosen"]
    assert arms["seed-optimised"].optimizer.lr == answers["seed-optimised"]["chosen"]
    best = highest([answers["best"], answers["best, batch norm"]])
    assert best in answers["best, batch norm"]["tried"]
    assert arms["best"].batch_norm
    assert arms["best"].optimizer.lr == best["rate"]


def test_further_seeds_of_vgg11_are_of_the_same_recipes() -> None:
    whole, more = (read_study_file(ROOT / "studies" / name) for name in ("vgg11.yaml", "vgg11-look-5.yaml"))
    recipes = {arm.name: arm.recipe for arm in whole.arms}
    assert all(arm.recipe == recipes[arm.name] for arm in more.arms)
    assert {arm.seed_offset for arm in more.arms} == {whole.fewest}
    assert whole.fewest + more.most == whole.most


def test_the_parts_of_vgg11s_recipe_use_what_validation_data_chose() -> None:
    arms = {arm.name: arm.recipe for arm in read_study_file(ROOT / "studies" / "vgg11-parts.yaml").arms}
    for name, one in read_yaml(ROOT / "docs" / "results" / "rates-vgg11.json")["answers"].items():
        assert arms[name].optimizer.lr == one["chosen"]


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        ([(1e-3, 0.90, 0.3), (2e-3, 0.91, 0.4)], 2e-3),
        ([(1e-3, 0.9095, 0.3), (2e-3, 0.91, 0.4)], 1e-3),  # as good, and with the lower loss
        ([(1e-3, None, None), (2e-3, 0.5, 0.4)], 2e-3),
        ([(1e-3, None, None)], None),
    ],
)
def test_the_best_on_validation_is_chosen(tried: list[Any], chosen: float | None) -> None:
    figures = [{"rate": rate, "val_accuracy": one, "val_loss": loss} for rate, one, loss in tried]
    assert choose_rates.chosen_of(figures) == chosen
