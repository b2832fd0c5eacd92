"""A rule of a study holds alike in a study file, in Python and in a plan.json that is to become a study."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_studies import BASE, COSINE

from convtrials.core.errors import StudyError
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.plan import Plan, parse_plan
from convtrials.study.plan.spec import RuleError, StudyRules
from convtrials.study.plan.study_file import read_study_file
from convtrials.study.study import Study

FIXTURES = Path(__file__).parents[1] / "fixtures"
Door = Callable[[Path, dict[str, Any]], Any]


def by_file(folder: Path, rules: dict[str, Any]) -> Any:
    values = dict(rules)
    if "alpha" in values:
        values["confidence"] = round(1 - values.pop("alpha"), 12)
    if "seeds" in values and isinstance(values["seeds"], tuple):
        values["seeds"] = dict(zip(("min", "max"), values["seeds"], strict=True))
    path = folder / "study.yaml"
    path.write_text(
        yaml.safe_dump({"baseline": BASE.model_dump(mode="json"), "techniques": COSINE, **values})
    )
    return read_study_file(path)


def by_python(folder: Path, rules: dict[str, Any]) -> Any:
    return Study(BASE, COSINE, **rules).spec()


def by_plan(folder: Path, rules: dict[str, Any]) -> Any:
    spec = Study(
        BASE, COSINE, **({"margin": 0.1, "metric": rules["metric"]} if "metric" in rules else {})
    ).spec()
    document = Plan(spec, "data").to_dict()
    values = dict(rules)
    if "seeds" in values:
        seeds = values["seeds"]
        fewest, most = seeds if isinstance(seeds, tuple) else (seeds, seeds)
        values["seeds"] = {"min": fewest, "max": most}
    for arm in document["arms"]:
        arm["seed_offset"] = values.get("first_seed", 0)
    values.pop("first_seed", None)
    return parse_plan(json.loads(json.dumps({**document, **values})), "plan.json", recorded=False).spec


DOORS = {"file": by_file, "python": by_python, "plan": by_plan}

#: What each rule takes, and what it refuses, with the key that the message names.
GOOD: list[dict[str, Any]] = [
    {},
    {"margin": 0.5},
    {"margin": 10, "metric": "log_loss"},
    {"alpha": 0.001},
    {"alpha": 0.5},
    {"seeds": 2},
    {"seeds": (2, 1000)},
    {"first_seed": 100_000_000},
    {"title": "A title"},
    {"weights": "none"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"margin": 0}, "margin", "must be above 0 and at most 0.5"),
    ({"margin": -0.1}, "margin", "must be above 0"),
    ({"margin": 0.51}, "margin", "at most 0.5"),
    ({"margin": 10.5, "metric": "log_loss"}, "margin", "at most 10"),
    ({"margin": "half"}, "margin", "'half'"),
    ({"margin": True}, "margin", "True"),
    ({"metric": "macro_f1", "margin": 0.1}, "metric", "cannot carry a verdict"),
    ({"alpha": 0.0005}, "(alpha|confidence)", "must be from"),
    ({"alpha": 0.6}, "(alpha|confidence)", "must be from"),
    ({"seeds": 1}, "seeds", "must be a whole number from 2 to 1000"),
    ({"seeds": 1001}, "seeds", "must be a whole number from 2 to 1000"),
    ({"seeds": (5, 3)}, "seeds", "min 5 is more than max 3"),
    ({"seeds": 2.5}, "seeds", "2.5"),
    ({"first_seed": -1}, "(first_seed|seed_offset)", ""),
    ({"first_seed": 100_000_001}, "first_seed", "from 0 to 100,000,000"),
    ({"title": "two\nlines"}, "title", "one line"),
    ({"title": "x" * 201}, "title", "one line of at most 200 characters"),
    ({"weights": "last"}, "weights", "allowed are first, all, none"),
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("rules", GOOD, ids=str)
def test_what_is_allowed_is_allowed_by_every_door(tmp_path: Path, door: str, rules: dict[str, Any]) -> None:
    found = DOORS[door](tmp_path, rules)
    expected = StudyRules(**rules)
    for key in ("title", "metric", "margin", "alpha", "seeds", "first_seed", "weights"):
        assert getattr(found, key) == getattr(expected, key), key


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("rules", "key", "said"), BAD, ids=str)
def test_what_is_refused_is_refused_by_every_door(
    tmp_path: Path, door: str, rules: dict[str, Any], key: str, said: str
) -> None:
    with pytest.raises(StudyError, match=key) as caught:
        DOORS[door](tmp_path, rules)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("door", ["file", "python"])  # a plan always names one
def test_log_loss_has_no_margin_of_its_own(tmp_path: Path, door: str) -> None:
    with pytest.raises(StudyError, match="log_loss needs a margin"):
        DOORS[door](tmp_path, {"metric": "log_loss"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"samples": 7}, "dataset.samples: unknown key"),
        ({"ratios": [1, 2]}, "dataset.ratios: "),
        ({"classes": ["a"]}, "dataset.classes: "),
        ({"skip_bad": 1}, "dataset.skip_bad: 1: must be true or false"),
        ({"split_seed": -1}, "dataset.split_seed: -1: must be a whole number from 0 on"),
    ],
)
def test_options_of_the_data_have_rules(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RuleError) as caught:
        StudyRules(dataset_options=options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "rules", [{"margin": 0.9}, {"margin": 99.0}, {"alpha": 0.8}, {"alpha": 1e-5}], ids=str
)
def test_a_plan_that_an_earlier_version_fixed_with_a_wider_value_opens(rules: dict[str, Any]) -> None:
    document = {**Plan(Study(BASE, COSINE).spec(), "data").to_dict(), **rules}
    plan = parse_plan(document, "plan.json")
    [(key, value)] = rules.items()
    assert getattr(plan.spec, key) == value
    assert plan.to_dict()[key] == value
    with pytest.raises(StudyError, match=rf"plan\.json: not a plan: {key}"):
        parse_plan(document, "plan.json", recorded=False)


@pytest.mark.parametrize("name", ["study-1a", "study-1b"])
def test_studies_of_earlier_versions_open(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(FIXTURES / name, tmp_path / name)
    study = StudyDirectory(folder)
    assert study.plan.spec.title == "A tiny study"
    assert study.plan.fingerprint == study.verdicts.plan == "9605f3fae952310a"
    assert [one.verdict for one in study.verdicts.techniques] == ["inconclusive", "unstable"]
    assert study.costs.of("cosine").cost_ratio is not None
    assert (study.dataset.counts["test"], study.execution.replicas) == (36, 1)
    for arm in study.plan.arms:
        assert study.seeds_on_disk(arm) == [0, 1, 2]


@pytest.mark.parametrize("name", ["plan.json", "verdicts.json", "costs.json"])
def test_files_of_a_newer_version_are_refused_in_a_line(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(FIXTURES / "study-1b", tmp_path / "study")
    document = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**document, "format": 3, "margin": {"of": "another shape"}}))
    study = StudyDirectory(folder)
    with pytest.raises(StudyError) as caught:
        _ = (study.plan, study.verdicts, study.costs)
    assert str(caught.value) == (
        f"{folder / name}: written by a newer convtrials (format 3, this one reads up to 1); update convtrials"
    )


def test_a_study_without_techniques_is_refused() -> None:
    with pytest.raises(StudyError, match="techniques: at least one is needed"):
        Study(BASE, {})
