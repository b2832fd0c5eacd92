"""The study file: read with lines, grids and combinations written out, mistakes told before any training."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from convtrials.core.errors import ConvtrialsError, StudyError
from convtrials.study.plan.arms import build_arms
from convtrials.study.plan.study_file import read_study_file
from convtrials.training.recipe.recipe import Recipe

GOOD = """\
dataset: {name: glyphs, samples_per_class: 70}
baseline: {model: alexnet, width: 0.25, epochs: 2}
techniques:
  cosine schedule:  {schedule: cosine}
  dropout:          {dropout: [0.3, 0.7]}
  both:             {all of: [cosine schedule], activation: gelu}
seeds: 4
"""


def read(folder: Path, text: str, **options: Any) -> Any:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return read_study_file(path, **options)


def test_the_quickstart_of_the_readme_is_a_study(tmp_path: Path) -> None:
    spec = read_study_file(Path(__file__).parents[2] / "studies" / "quickstart.yaml")
    names = ["baseline", "gelu", "label smoothing", "dropout 0.25", "dropout 0.5"]
    assert [arm.name for arm in spec.arms] == names
    assert spec.arms[2].recipe.label_smoothing == 0.1
    assert (spec.metric, spec.margin, spec.alpha) == ("accuracy", 0.005, 0.05)


def test_grids_and_combinations_are_written_out(tmp_path: Path) -> None:
    spec = read(tmp_path, GOOD)
    arms = {arm.name: arm.recipe for arm in spec.arms}
    assert list(arms) == ["baseline", "cosine schedule", "dropout 0.3", "dropout 0.7", "both"]
    assert arms["dropout 0.7"].dropout == 0.7
    assert (arms["both"].schedule.name, arms["both"].activation) == ("cosine", "gelu")
    assert (spec.fewest, spec.most, spec.source) == (4, 4, "glyphs")
    assert spec.dataset_options == {"samples_per_class": 70}


def test_a_baseline_that_comes_along_is_named(tmp_path: Path) -> None:
    text = GOOD.replace("{model: alexnet, width: 0.25, epochs: 2}", "{recipe: small, epochs: 7}")
    recipe = read(tmp_path, text).arms[0].recipe
    assert recipe == Recipe.load("small", {"epochs": 7})
    (tmp_path / "small").write_text("epochs: 3\n")  # a file of one's own goes first
    assert read(tmp_path, text.replace(", epochs: 7", "")).arms[0].recipe == Recipe(epochs=3)


def test_the_augmentation_of_the_baseline_is_switched_off_by_a_word(tmp_path: Path) -> None:
    text = GOOD.replace("{model: alexnet, width: 0.25, epochs: 2}", "{recipe: small}")
    baseline, *_, plain = read(tmp_path, text.replace("seeds", "  plain: {augment: off}\nseeds")).arms
    assert baseline.recipe.augment.active
    assert not plain.recipe.augment.active
    assert plain.changes == {"augment": "off"}


def test_classes_are_names_also_where_yaml_reads_numbers(tmp_path: Path) -> None:
    spec = read(tmp_path, GOOD.replace("samples_per_class: 70", "classes: [0, A, 1]"))
    assert spec.dataset_options == {"classes": ["0", "A", "1"]}
    for classes in ("[no, A]", "[A]", "A", "[1.5, A]"):  # YAML reads no as false
        with pytest.raises(StudyError, match=r"line 1.*two names or more"):
            read(tmp_path, GOOD.replace("samples_per_class: 70", f"classes: {classes}"))


def test_fresh_seeds_are_those_of_every_arm(tmp_path: Path) -> None:
    again = "  again: {seed_offset: 50}\n"
    spec = read(tmp_path, GOOD.replace("seeds", again + "first_seed: 100\nseeds"))
    assert [arm.seed_offset for arm in spec.arms] == [100, 100, 100, 100, 100, 150]
    # Runs of other seeds are other runs: nothing of an earlier study counts as this one's.
    assert {arm.slug for arm in spec.arms}.isdisjoint(arm.slug for arm in read(tmp_path, GOOD).arms)


def test_a_combination_of_a_grid_is_a_grid(tmp_path: Path) -> None:
    more = "  all: {all of: [cosine schedule, dropout], optimizer.lr: [0.001, 0.01]}\n"
    spec = read(tmp_path, GOOD.replace("seeds", more + "seeds"))
    names = [arm.name for arm in spec.arms if arm.name.startswith("all")]
    assert names == [f"all lr={lr} dropout={share}" for lr in ("0.001", "0.01") for share in ("0.3", "0.7")]


def test_a_list_that_the_recipe_takes_is_no_grid() -> None:
    optimizer = {"name": "adamw", "weight_decay": 0.01, "betas": [0.8, 0.9]}
    _, arm = build_arms(Recipe(), {"adamw": {"optimizer": optimizer}}, most_seeds=3)
    assert arm.recipe.optimizer.betas == (0.8, 0.9)
    optimizer["betas"] = [[0.8, 0.9], [0.9, 0.99]]
    assert len(build_arms(Recipe(), {"adamw": {"optimizer": optimizer}}, most_seeds=3)) == 3


def test_slugs_are_folders_and_differ_whatever_the_names() -> None:
    names = ["a/b", "a b", "../..", "Ä", "ä", "same", "SAME", "x" * 70]
    arms = build_arms(
        Recipe(), {name: {"dropout": 0.1 + 0.01 * k} for k, name in enumerate(names)}, most_seeds=2
    )
    slugs = [arm.slug for arm in arms]
    assert len({slug.lower() for slug in slugs}) == len(slugs)
    assert all("/" not in slug and not slug.startswith(".") for slug in slugs)


def test_seeds_may_be_a_range_and_the_path_is_seen_from_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("seeds: 4", "seeds: {min: 3, max: 20}").replace("name: glyphs", "path: ../images")
    spec = read(tmp_path, text)
    assert (spec.fewest, spec.most) == (3, 20)
    assert spec.source == str(tmp_path.parent / "images")
    assert read(tmp_path, text, data="elsewhere").source == "elsewhere"


def test_a_baseline_from_a_recipe_file_with_keys_over_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("epochs: 7\nwidth: 0.5\n")
    spec = read(
        tmp_path, GOOD.replace("{model: alexnet, width: 0.25, epochs: 2}", "{recipe: base.yaml, width: 2}")
    )
    assert (spec.arms[0].recipe.epochs, spec.arms[0].recipe.width) == (7, 2)
    spec = read(tmp_path, GOOD.replace("{model: alexnet, width: 0.25, epochs: 2}", "base.yaml"))
    assert spec.arms[0].recipe.width == 0.5


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seeds: 4", "seeds: 1", "line 7: seeds: 1: must be a whole number from 2"),
        ("seeds: 4", "seeds: {min: 5, max: 3}", "line 7: seeds: min 5 is more than max 3"),
        ("seeds: 4", "seeds: many", "line 7: seeds: 'many'"),
        ("seeds: 4", "seed: 4", "line 7: seed: unknown key; allowed: title, dataset"),
        ("seeds: 4", "first_seed: -1", "line 7: first_seed: -1: must be a whole number from 0"),
        ("seeds: 4", "first_seed: true", "line 7: first_seed: True"),
        ("seeds: 4", "margin: 0", "line 7: margin: 0: must be above 0"),
        ("seeds: 4", "margin: .nan", "line 7: margin: nan"),
        ("seeds: 4", "metric: macro_f1", "line 7: metric: macro_f1 cannot carry a verdict"),
        ("seeds: 4", "metric: log_loss", "line 7: metric: log_loss needs a margin"),
        ("seeds: 4", "confidence: 95", "line 7: confidence: 95: must be from 0.5"),
        ("seeds: 4", "weights: last", "line 7: weights: 'last': allowed are first, all, none"),
        ("seeds: 4", "baseline: {}", "line 7: baseline: is given twice (first in line 2)"),
        ("epochs: 2", "epoch: 2", "line 2: baseline: epoch: unknown key; did you mean epochs?"),
        (
            "schedule: cosine",
            "schedule: cosin",
            "line 4: techniques.cosine schedule: schedule.name = 'cosin'",
        ),
        ("[0.3, 0.7]", "[0.3, 7]", "line 5: techniques.dropout: dropout = 7: "),
        ("[0.3, 0.7]", "[0.3, 0.3]", "line 5: techniques.dropout: two techniques are called 'dropout 0.3'"),
        ("[0.3, 0.7]", "[]", "line 5: techniques.dropout.dropout: an empty list makes no technique"),
        ("[0.3, 0.7]", "0.5", "line 5: techniques.dropout: is the same recipe"),
        ("{dropout: [0.3, 0.7]}", "0.7", "line 5: techniques.dropout: expected changes of the recipe"),
        (
            "all of: [cosine schedule]",
            "all of: [cosine]",
            "line 6: techniques.both.all of: 'cosine' is not another",
        ),
        (
            "all of: [cosine schedule]",
            "all of: [both]",
            "line 6: techniques.both.all of: 'both' is not another",
        ),
        (
            "activation: gelu",
            "schedule: step",
            "line 6: techniques.both.all of: cosine schedule and another part",
        ),
        ("activation: gelu", "seed_offset: -1", "line 6: techniques.both.seed_offset: -1: must be a whole"),
        ("samples_per_class: 70", "samples: 70", "line 1: dataset.samples: unknown key; allowed: name, path"),
        (
            "samples_per_class: 70",
            "samples_per_class: 0",
            "line 1: dataset.samples_per_class: 0: must be a whole",
        ),
        ("name: glyphs, ", "", "line 1: dataset: needs one of name"),
        ("techniques:", "technique:", "line 3: technique: unknown key"),
        (
            "all of: [cosine schedule]",
            "all of: [dropout, dropout]",
            "line 6: techniques.both.all of: 'dropout' is listed twice",
        ),
        ("{schedule: cosine}", "{<<: {schedule: cosine}}", "line 4: merge keys"),
        ("{schedule: cosine}", "{schedule: cosine", "line 5: not valid YAML"),
    ],
)
def test_mistakes_are_told_with_line_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(StudyError) as error:
        read(tmp_path, GOOD.replace(old, new))
    assert told in str(error.value)
    assert str(tmp_path / "study.yaml") in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_a_technique_must_change_something(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="changes nothing; for an A/A study give it a seed_offset of 4"):
        read(tmp_path, GOOD.replace("{schedule: cosine}", "{}"))
    spec = read(
        tmp_path,
        GOOD.replace("{schedule: cosine}", "{seed_offset: 100}").replace(
            "all of: [cosine schedule]", "width: 2"
        ),
    )
    assert spec.arms[1].seed_offset == 100
    with pytest.raises(StudyError, match="changes nothing"):
        read(
            tmp_path,
            GOOD.replace("{schedule: cosine}", "{seed_offset: 3}").replace(
                "all of: [cosine schedule]", "width: 2"
            ),
        )  # seed 3 would be in both


def test_a_part_of_a_combination_has_no_seeds_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cosine schedule has a seed_offset; it cannot be a part"):
        read(tmp_path, GOOD.replace("{schedule: cosine}", "{schedule: cosine, seed_offset: 9}"))


def test_adamw_without_decay_is_adam(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="adamw without weight_decay is adam"):
        read(tmp_path, GOOD.replace("{schedule: cosine}", "{optimizer: adamw}"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "a: &a [*a]",
        "{" * 500,
        "? [1]\n: 2",
        "baseline: 1\ntechniques: {1: {}}",
        "a: 2020-99-99",
    ],
)
def test_what_is_no_study_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(StudyError):
        read(tmp_path, text)


def test_references_that_double_are_refused_at_once(tmp_path: Path) -> None:
    doubling = "a0: &a0 {x: 1}\n" + "".join(
        f"a{k}: &a{k} {{x: *a{k - 1}, y: *a{k - 1}}}\n" for k in range(1, 19)
    )
    with pytest.raises(StudyError, match="more than 5,000 keys"):
        read(tmp_path, doubling)


def test_too_many_techniques_are_a_search(tmp_path: Path) -> None:
    grid = f"{{dropout: {[k / 200 for k in range(1, 102)]}}}"
    with pytest.raises(StudyError, match="that is a search, not a trial"):
        read(tmp_path, GOOD.replace("{schedule: cosine}", grid))
    keys = ("epochs", "accumulate", "batch_size", "width")  # refused before 60 million are written out
    lists = ", ".join(f"{key}: {list(range(1, 90))}" for key in keys)
    with pytest.raises(StudyError, match="that is a search, not a trial"):
        read(tmp_path, GOOD.replace("{schedule: cosine}", f"{{{lists}}}"))


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["dropout", "schedule", "optimizer.lr", "name", "all of", "seed_offset", "augment", "x"]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(techniques=st.dictionaries(st.text(max_size=6), _VALUES, max_size=3))
def test_any_techniques_are_taken_or_refused_in_words(
    tmp_path_factory: Any, techniques: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("any") / "study.yaml"
    path.write_text(yaml.safe_dump({"baseline": {"epochs": 1}, "techniques": techniques}), encoding="utf-8")
    with contextlib.suppress(ConvtrialsError):
        spec = read_study_file(path)
        assert len({arm.slug for arm in spec.arms}) == len(spec.arms) >= 2
