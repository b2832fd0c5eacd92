import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convtrials.core.errors import RecipeError
from convtrials.training.recipe.recipe import Recipe, built_in_recipes, merged, parse_setting

REPOSITORY = Path(__file__).parents[2]


def test_the_base_recipe_is_the_default() -> None:
    assert Recipe.load(REPOSITORY / "recipes" / "base.yaml") == Recipe()


def test_every_recipe_of_the_project_loads() -> None:
    paths = sorted((REPOSITORY / "recipes").glob("*.yaml"))
    assert len(paths) >= 3
    for path in paths:
        assert Recipe.load(path).epochs > 0


def test_what_is_saved_loads_as_the_same(tmp_path: Path) -> None:
    recipe = Recipe(
        schedule={"name": "cosine", "warmup": 0.5}, optimizer="sgd", early_stopping=True, ema=0.99, mixup=0.2
    )
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert Recipe.load(tmp_path / "recipe.yaml").fingerprint() == recipe.fingerprint()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epoch": 3}, "epoch: unknown key; did you mean epochs?"),
        ({"optimizer": {"lrr": 0.1}}, "optimizer.lrr: unknown key; did you mean lr? allowed: name, lr"),
        ({"epochs": -1}, "epochs = -1: must be greater than 0"),
        ({"optimizer": {"lr": 0}}, "optimizer.lr = 0: must be greater than 0"),
        ({"optimizer": "adamm"}, "optimizer.name = 'adamm': must be 'sgd', 'adam'"),
        (
            {"optimizer": {"name": "adam", "momentum": 0.9}},
            "adam has no momentum; its options: lr, weight_decay, betas",
        ),
        ({"optimizer": {"name": "adam", "betas": [0.9, 1.0]}}, "betas: both must be"),
        ({"optimizer": {"name": "sgd", "momentum": 0, "nesterov": True}}, "nesterov needs a momentum"),
        ({"schedule": {"name": "cosine", "gamma": 0.1}}, "cosine has no gamma; its options: warmup, final"),
        ({"schedule": {"name": "plateau", "gamma": 1}}, "gamma must be less than 1"),
        ({"epochs": 2, "schedule": {"warmup": 2}}, "schedule.warmup = 2: must be less than epochs = 2"),
        ({"dropout": 1.0}, "dropout = 1.0: must be less than 1"),
        ({"early_stopping": {"metric": "test_accuracy"}}, "early_stopping.metric = 'test_accuracy': must be"),
        ({"augment": {"degrees": 500}}, "augment.degrees = 500: must be less than or equal to 180"),
        ({"augment": {"rotate": 5}}, "augment.rotate: unknown key"),
        ({"batch_size": 2.5}, "batch_size = 2.5: must be a valid integer"),
        ({"width": float("nan")}, "width = nan: must be"),
        ({"epochs": True}, "epochs = true: must be a number"),
        ({"activation": "swishy"}, "activation = 'swishy': 'swishy' does not exist; choose one of relu"),
        (
            {"early_stopping": "val_loss"},
            "early_stopping = 'val_loss': must be a section with the keys metric, patience",
        ),
        ({"where": 1}, "where: unknown key"),
    ],
)
def test_bad_values_are_named_with_what_is_allowed(values: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.make(values, where="my.yaml")
    assert told in str(caught.value)
    assert str(caught.value).startswith("my.yaml: ")
    assert len(str(caught.value).splitlines()) <= 3


def test_many_errors_are_told_in_three_lines() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(a=1, b=2, c=3, d=4, e=5)
    assert str(caught.value).splitlines()[-1] == "recipe: and 3 more such errors"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("epochs: [1", "line 1: not valid YAML"),
        ("- a\n- b\n", "expected keys and values"),
        ("!!python/object/apply:os.system ['touch hacked']\n", "not valid YAML"),
        ("1: 2\n", "expected keys and values"),
        ("epochs: 2024-13-45\n", "not valid YAML"),
        ("a: " + "[" * 3000, "not valid YAML"),
    ],
)
def test_bad_files_are_told_in_a_line(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=told) as caught:
        Recipe.load(path)
    assert str(path) in str(caught.value)
    assert not (Path.cwd() / "hacked").exists()


def test_absent_binary_and_huge_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="UTF-8"):
        Recipe.load(tmp_path / "b.yaml")
    (tmp_path / "h.yaml").write_text("# " + "x" * 1_100_000)
    with pytest.raises(RecipeError, match="larger than"):
        Recipe.load(tmp_path / "h.yaml")


def test_flags_go_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("epochs: 3\noptimizer: {name: adamw, lr: 0.01, betas: [0.8, 0.9]}\n")
    recipe = Recipe.load(tmp_path / "r.yaml", {"optimizer.lr": 0.5, "schedule": "cosine"})
    assert (recipe.epochs, recipe.optimizer.lr, recipe.optimizer.betas) == (3, 0.5, (0.8, 0.9))
    assert recipe.schedule.name == "cosine"


def test_another_optimizer_of_adams_size_keeps_the_rate_and_drops_the_rest() -> None:
    base = Recipe(optimizer={"name": "adam", "lr": 0.07, "betas": [0.8, 0.9], "weight_decay": 0.01})
    changed = base.changed({"optimizer": "adamw"})
    assert (changed.optimizer.lr, changed.optimizer.weight_decay) == (0.07, 0.01)
    assert changed.optimizer.betas is None


def test_an_optimizer_of_another_size_takes_its_own_rate() -> None:
    base = Recipe(optimizer={"name": "adam", "lr": 3e-4, "weight_decay": 0.01})
    changed = base.changed({"optimizer": "sgd"})
    assert (changed.optimizer.lr, changed.optimizer.weight_decay) == (0.01, 0.01)
    assert base.changed({"optimizer": {"name": "sgd", "lr": 0.5}}).optimizer.lr == 0.5


@pytest.mark.parametrize("order", [1, -1])
def test_a_sections_name_and_its_options_may_come_in_any_order(order: int) -> None:
    changes = [
        ("schedule", "cosine"),
        ("schedule.warmup", 1),
        ("optimizer.weight_decay", 0.1),
        ("optimizer", "sgd"),
    ]
    recipe = Recipe().changed(dict(changes[::order]))
    assert (recipe.schedule.name, recipe.schedule.warmup) == ("cosine", 1)
    assert (recipe.optimizer.name, recipe.optimizer.weight_decay) == ("sgd", 0.1)


def test_short_forms_obey_precedence(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("mixup: 0.2\nearly_stopping: true\n")
    assert Recipe.load(tmp_path / "r.yaml").augment.mixup == 0.2
    recipe = Recipe.load(tmp_path / "r.yaml", {"augment.mixup": 0, "early_stopping": False})
    assert (recipe.augment.mixup, recipe.early_stopping) == (0, None)
    with pytest.raises(RecipeError, match="mixup is given twice"):
        Recipe(mixup=0.1, augment={"mixup": 0.2})


def test_a_recipes_digest_is_that_of_what_differs_from_the_defaults() -> None:
    # a field added one day, at its default, must not change the digest of old recipes
    assert Recipe().fingerprint() == Recipe(epochs=10, schedule={"name": "constant"}).fingerprint()
    assert Recipe().fingerprint() != Recipe(optimizer={"lr": 1e-3}).fingerprint()
    assert Recipe(activation="LeakyReLU").fingerprint() == Recipe(activation="leaky_relu").fingerprint()


#: A recipe with another digest is another run: what has been trained would be trained again.
DIGESTS = {
    "base-vgg11.yaml": "db1eb6bea2949aef",
    "base.yaml": "01e7b720ff566d53",
    "batch-norm.yaml": "35a8acaa766ea65d",
    "best-vgg11.yaml": "bac6b57a77e2afef",
    "best.yaml": "24b2b29ef3cf687b",
    "demo.yaml": "3a495b68e4e088ed",
    "fast.yaml": "d9539eb6ce88f90b",
}


def test_the_projects_recipes_keep_their_digests() -> None:
    paths = sorted((REPOSITORY / "recipes").glob("*.yaml"))
    assert {path.name: Recipe.load(path).fingerprint() for path in paths} == DIGESTS
    assert Recipe.load("small").fingerprint() == "c1ae4f706140a67a"


def test_runs_of_earlier_versions_keep_their_recipe_and_its_digest() -> None:
    paths = sorted((REPOSITORY / "tests" / "fixtures").glob("study-1*/runs/*/*/recipe.yaml"))
    assert len(paths) == 18
    for path in paths:
        recipe, recorded = Recipe.load(path), json.loads((path.parent / "run.json").read_text())
        assert recipe.fingerprint() == recorded["identity"]["recipe"]
        assert (
            recipe.to_yaml() == path.read_text()
        )  # what is new in a recipe is left out where it is not used


@pytest.mark.parametrize("section", ["optimizer", "schedule", "loss"])
@pytest.mark.parametrize("name", [["adam"], {"a": 1}, 3, True])
def test_a_changed_name_that_is_no_text_is_refused(section: str, name: Any) -> None:
    with pytest.raises(RecipeError, match=rf"{section}\.name = .*: must be a valid string"):
        Recipe().changed({section: {"name": name}})


def test_one_key_of_a_section_keeps_the_others() -> None:
    base = Recipe(optimizer={"name": "sgd", "lr": 0.07, "momentum": 0.8})
    assert base.changed({"optimizer.momentum": 0.5}).optimizer.lr == 0.07
    assert base.changed({"optimizer": {"lr": 0.1}}).optimizer.momentum == 0.8
    assert base.changed({"optimizer": "sgd", "optimizer.lr": 0.2}).optimizer.lr == 0.2


@pytest.mark.parametrize(
    ("text", "value"), [("a.b=0.01", 0.01), ("a=true", True), ("a={b: 1}", {"b": 1}), ("a=", None)]
)
def test_settings(text: str, value: Any) -> None:
    assert parse_setting(text)[1] == value


@pytest.mark.parametrize("text", ["lr", "=3", "a=[1", "a=2024-13-45", "a=" + "[" * 3000])
def test_bad_settings(text: str) -> None:
    with pytest.raises(RecipeError, match="--set"):
        parse_setting(text)


def test_augmentations_are_named_at_the_top_and_changed_inside() -> None:
    top = {"cutmix": 1.0, "randaugment": True, "mixup": 0.2}
    recipe = Recipe(**top, augment={"flip": True})
    assert recipe == Recipe(augment={**top, "flip": True})
    assert Recipe(trivialaugment=True).augment.trivialaugment
    for key, value in {**top, "trivialaugment": True}.items():
        with pytest.raises(RecipeError, match=f"{key} is given twice"):
            Recipe(**{key: value}, augment={key: value})
    policy = recipe.changed({"randaugment": {"operations": 3}}).changed({"augment.randaugment.magnitude": 5})
    assert policy.augment.model_dump()["randaugment"] == {"operations": 3, "magnitude": 5, "levels": 30}
    other = policy.changed({"randaugment": False, "trivialaugment": True})
    assert (other.augment.randaugment, other.augment.trivialaugment) == (None, True)
    jitter = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    for wanted in (
        Recipe(augment={"color_jitter": 0.4}).changed({"augment.color_jitter.hue": 0.1}),
        Recipe.make(merged({"augment": {"color_jitter": 0.4}}, {"augment": {"color_jitter": {"hue": 0.1}}})),
        Recipe.make(merged({}, {"augment.color_jitter.hue": 0.1, "augment": {"color_jitter": jitter}})),
    ):
        assert wanted.augment.model_dump()["color_jitter"] == jitter
        assert Recipe(**yaml.safe_load(wanted.to_yaml())) == wanted
    with pytest.raises(RecipeError, match=r"augment\.color_jitter = True: must be a number such as 0\.4"):
        Recipe(augment={"color_jitter": True})
    with pytest.raises(RecipeError, match=r"augment\.trivialaugment = True: randaugment is on too"):
        recipe.changed({"trivialaugment": True})


def test_recipes_without_the_newer_augmentations_keep_file_and_fingerprint() -> None:
    recipe = Recipe(mixup=0.2, augment={"degrees": 10, "flip": True})
    assert recipe.fingerprint() == "0e361159ab0d0902"
    text = recipe.to_yaml()
    assert not any(
        key in text for key in ("randaugment", "jitter", "cutmix", "noise:", "blur", "perspective")
    )


def test_exponents_without_a_point_are_numbers() -> None:
    # YAML 1.1 reads 1e-4 as a string
    key, value = parse_setting("optimizer.lr=1e-4")
    assert Recipe().changed({key: value}).optimizer.lr == 1e-4


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a machine that others use too
@given(st.dictionaries(st.sampled_from([*Recipe.model_fields, "x"]), plain, max_size=4))
def test_any_mapping_is_a_recipe_or_a_recipe_error(values: dict[str, Any]) -> None:
    try:
        recipe = Recipe(**values)
    except RecipeError:
        return
    assert Recipe(**yaml.safe_load(recipe.to_yaml())) == recipe


@given(st.dictionaries(st.sampled_from("abc"), plain), st.dictionaries(st.sampled_from("abc"), plain))
def test_merging_changes_neither_side(base: dict[str, Any], changes: dict[str, Any]) -> None:
    before = yaml.safe_dump([base, changes])
    merged(base, changes)
    assert yaml.safe_dump([base, changes]) == before


def test_recipes_that_come_along_are_found_by_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = Recipe.load("small")
    assert (small.model, small.batch_norm, small.schedule.name) == ("alexnet-lite", True, "one_cycle")
    assert not small.augment.flip  # characters too are small data
    for name in built_in_recipes():
        assert Recipe.load(name).to_yaml()
    with pytest.raises(RecipeError, match=r"smal: cannot be read.*built-in recipes: .*small"):
        Recipe.load("smal")
    with pytest.raises(RecipeError) as caught:
        Recipe.load("small.yaml")  # a file, and not there
    assert "built-in" not in str(caught.value)
    for path in ("typo/small", tmp_path / "small", "./gone/small"):  # no bare name: a path that leads nowhere
        with pytest.raises(RecipeError, match="cannot be read: No such file"):
            Recipe.load(path)
    (tmp_path / "small").mkdir()
    assert Recipe.load("small") == small  # a folder of that name is no recipe
    (tmp_path / "small").rmdir()
    (tmp_path / "small").write_text("epochs: 1.5\n")
    assert Recipe.load("small") == Recipe(epochs=1.5)


@pytest.mark.parametrize("off", ["off", "none", "null", "false"])
def test_the_augmentation_of_a_recipe_can_be_switched_off(off: str) -> None:
    small = Recipe.load("small")
    assert small.augment.active
    value = yaml.safe_load(f"augment: {off}")
    assert small.changed(value).augment == Recipe().augment
    assert Recipe.make(value) == Recipe()
    assert small.changed({"augment.degrees": 0}).augment.scale == small.augment.scale  # one strength alone


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("features", "features"),
        (["features"], "features"),
        ("layer1, layer2", ("layer1", "layer2")),
        (["layer1", "layer2", "layer1"], ("layer1", "layer2")),
        (3, 3),
        ([3], 3),
        (-1, -1),
        (None, None),
        (False, None),
        ("off", None),
    ],
)
def test_spellings_of_freeze(written: Any, meant: Any) -> None:
    recipe = Recipe(freeze=written)
    assert recipe.freeze == meant
    assert Recipe(**yaml.safe_load(recipe.to_yaml())) == recipe
    assert ("freeze" in recipe.to_yaml()) == (meant is not None)


@pytest.mark.parametrize("written", [True, 0, 1.5, [], [1, 2], "", "a,,b", ["a", ""], {"a": 1}, "x" * 300])
def test_what_freeze_does_not_take(written: Any) -> None:
    with pytest.raises(RecipeError, match=r"^recipe: freeze = .*allowed are `features`, names") as caught:
        Recipe(freeze=written)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"unfreeze_at": 1}, "unfreeze_at = 1: nothing is frozen"),
        ({"freeze": 2, "unfreeze_at": 10}, "unfreeze_at = 10: must be less than epochs = 10"),
        ({"freeze": 2, "unfreeze_at": 0}, "unfreeze_at = 0: must be greater than 0"),
        ({"freeze": 2, "unfreeze_at": True}, "unfreeze_at = true: must be a number"),
        ({"optimizer": {"layer_decay": 1.5}}, "optimizer.layer_decay = 1.5: must be less than or equal to 1"),
        (
            {"optimizer": {"lr_factors": {"features": 0}}},
            "optimizer.lr_factors.features = 0: must be greater than 0",
        ),
    ],
)
def test_what_fine_tuning_keys_do_not_take(values: Any, line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(**values)
    assert line in str(caught.value)
