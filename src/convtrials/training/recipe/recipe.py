"""The recipe: everything that decides what is learned, except dataset and seed."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from convtrials.core.custom import is_custom
from convtrials.core.errors import DataError, RecipeError
from convtrials.data.augmentation import AugmentConfig
from convtrials.data.augmentation.config import SECTIONS, in_full
from convtrials.data.sources.frame import EDGE, Fit, pad_colour
from convtrials.models.activations import ACTIVATIONS, activation_name
from convtrials.models.spec import LARGEST_CLASSIFIER, LARGEST_WIDTH
from convtrials.training.engine.loss import LOSSES, LossConfig, takes_weights
from convtrials.training.optim.optimizers import OPTIMIZERS, SHARED_OPTIONS, OptimizerConfig
from convtrials.training.optim.schedules import ScheduleConfig, Watched
from convtrials.training.recipe.class_weights import read_class_weights
from convtrials.training.recipe.errors import explain
from convtrials.training.recipe.finetuning import DATA, Freeze, Normalisation

#: A recipe file larger than this is not a recipe.
MAX_RECIPE_BYTES = 1_000_000

#: Recipes by name, in the package, so that they are there wherever convtrials is installed.
BUILT_IN_RECIPES = Path(__file__).parent / "built_in"

#: Switches a section off.
OFF = "off"


class EarlyStopping(BaseModel):
    """Stop when validation no longer improves; the best weights are kept (Prechelt 1998)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Watched = Field("val_loss", description="what is watched, on validation data")
    patience: int = Field(3, ge=1, le=10_000, description="epochs without improvement before stopping")
    min_delta: float = Field(0.0, ge=0, description="smallest change that counts as an improvement")


class Recipe(BaseModel):
    """Everything that decides what is learned, except dataset and seed.

    The defaults are the honest classic, ``recipes/base.yaml``: full width, ReLU, dropout 0.5 in the classifier, Adam
    at a constant rate, batch 128, no augmentation, no smoothing, no decay, ten epochs, last weights.

    Raises
    ------
    RecipeError
        An unknown key or an impossible value, with what is allowed.

    Examples
    --------
    >>> Recipe(epochs=2, schedule="cosine").schedule.name
    'cosine'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str = Field(
        "alexnet", min_length=1, max_length=200,
        description="a built-in network (`convtrials models`) or your own as module:factory",
    )  # fmt: skip
    width: float = Field(1.0, gt=0, le=LARGEST_WIDTH, description="multiplies channels and hidden units")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout probability in the classifier")
    activation: str = Field(
        "relu", description=f"one of {', '.join(ACTIVATIONS)}, or your own as module:Name"
    )
    batch_norm: bool = Field(False, description="batch normalisation after each convolution")
    classifier_width: int | None = Field(
        None, ge=1, le=LARGEST_CLASSIFIER, description="first hidden width of the classifier"
    )
    initial_weights: str | None = Field(
        None, description="a .safetensors or .pth file, or the folder of a finished run, to start from"
    )
    input_stats: Normalisation = Field(
        DATA,
        exclude_if=lambda value: value == DATA,  # files stay those of versions without it
        description="what images are normalised with: data, imagenet, or {mean: [...], std: [...]}",
    )
    freeze: Freeze = Field(
        None,
        exclude_if=lambda value: value is None,
        description="what is not trained: features, names of modules, or a number of layers (-1: all but the last)",
    )
    unfreeze_at: float | None = Field(
        None, gt=0, exclude_if=lambda value: value is None, description="epochs after which all is trained"
    )
    image_size: int | None = Field(
        None, ge=1, le=4096, description="pixels per side; null: as the dataset has them"
    )
    fit: Fit | None = Field(
        None, exclude_if=lambda value: value is None,
        description="how images of other sizes become one: cover cuts the ends off, pad, or stretch; "
        "null: as the dataset has them (cover)",
    )  # fmt: skip
    pad: str | None = Field(
        None, exclude_if=lambda value: value is None,
        description="what fills the rest with `fit: pad`: edge (usual), black, white, grey or a colour '#rrggbb'",
    )  # fmt: skip

    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    epochs: float = Field(
        10, gt=0, le=100_000, description="passes over the training split; fractions allowed"
    )
    batch_size: int = Field(128, ge=1, le=1_000_000, description="images in one (micro-)batch")
    accumulate: int = Field(
        1, ge=1, le=100_000, description="micro-batches whose gradients make one optimizer step"
    )

    loss: LossConfig = Field(
        default_factory=LossConfig,
        exclude_if=lambda value: value == LossConfig(),  # files stay those of versions without it
    )
    class_weights: Literal["balanced"] | dict[str, float] | None = Field(
        None,
        description="balanced, or weights by class, in the training loss; others weigh 1",
        exclude_if=lambda value: value is None,
    )
    sampler: Literal["balanced"] | None = Field(
        None,
        description="balanced: an epoch draws every class equally often; null: each image once",
        exclude_if=lambda value: value is None,
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Szegedy et al., arXiv 1512.00567")
    clip_norm: float | None = Field(
        None, gt=0, description="largest gradient norm; Pascanu et al., arXiv 1211.5063"
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the moving average of weights, such as 0.999"
    )
    early_stopping: EarlyStopping | None = Field(
        None, description="null: train for all epochs, keep the last weights"
    )
    augment: AugmentConfig = Field(default_factory=AugmentConfig)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise RecipeError(explain(error, type(self), "recipe")) from None

    @model_validator(mode="before")
    @classmethod
    def _shorthands(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = with_shorthands(values)
        if values.get("augment") == OFF:
            values["augment"] = {}
        for key in (
            "epochs",
            "batch_size",
            "accumulate",
            "width",
            "dropout",
            "label_smoothing",
            "clip_norm",
            "ema",
            "unfreeze_at",
        ):
            if isinstance(values.get(key), bool):
                raise ValueError(f"{key} = {str(values[key]).lower()}: must be a number")
        return values

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, value: str) -> str:
        try:
            return activation_name(value)
        except RecipeError as error:
            raise ValueError(str(error).removeprefix("activation: ")) from None

    @field_validator("class_weights", mode="before")
    @classmethod
    def _read_class_weights(cls, value: Any) -> Any:
        return read_class_weights(value)

    @field_validator("pad")
    @classmethod
    def _known_pad(cls, value: str | None) -> str | None:
        try:
            pad_colour(value or EDGE)
        except DataError as error:
            raise ValueError(str(error).removeprefix("pad: ")) from None
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.schedule.warmup >= self.epochs:
            raise ValueError(
                f"schedule.warmup = {self.schedule.warmup:g}: must be less than epochs = {self.epochs:g}"
            )
        if self.unfreeze_at is not None:
            if self.freeze is None:
                raise ValueError(f"unfreeze_at = {self.unfreeze_at:g}: nothing is frozen; say what in freeze")
            if self.unfreeze_at >= self.epochs:
                raise ValueError(
                    f"unfreeze_at = {self.unfreeze_at:g}: must be less than epochs = {self.epochs:g}"
                )
        if self.pad is not None and self.fit not in (None, "pad"):
            raise ValueError(f"pad = {self.pad}: has no effect with fit = {self.fit}; leave it out")
        name = self.loss.name
        if self.label_smoothing and not is_custom(name) and not LOSSES[name].smooths:
            raise ValueError(f"label_smoothing = {self.label_smoothing:g}: the loss {name} takes none")
        if self.class_weights is not None and not takes_weights(name):
            raise ValueError(f"class_weights: the loss {name} takes none")
        if self.class_weights is not None and "class_weights" in self.loss.options:
            raise ValueError("class_weights is given twice: at the top and in loss.options")
        return self

    @classmethod
    def make(cls, values: dict[str, Any] | None = None, /, *, where: str = "recipe") -> Self:
        """Build a recipe from a mapping; errors are raised as `RecipeError`, which names ``where``."""
        try:
            return cls(**(values or {}))
        except RecipeError as error:
            lines = (line.removeprefix("recipe: ") for line in str(error).splitlines())
            raise RecipeError("\n".join(f"{where}: {line}" for line in lines)) from None

    @classmethod
    def load(cls, path: str | Path, changes: dict[str, Any] | None = None) -> Self:
        """Read a YAML file, then apply ``changes`` (dotted keys or nested) on top of it.

        A bare name such as ``small`` is a recipe that comes with convtrials, unless a file of that name is there.
        """
        return cls.make(merged(read_yaml(recipe_file(path)), changes or {}), where=str(path))

    def changed(self, changes: dict[str, Any], *, where: str = "changes") -> Self:
        """Return this recipe with ``changes`` applied: nested, dotted (``optimizer.lr``) or shorthand keys.

        Naming another optimizer, schedule or fit drops the options that belonged to the old one. Weight decay, rates by
        layer and warm-up stay; the learning rate stays among optimizers whose steps have Adam's size, else it is the
        new one's default.
        """
        return type(self).make(merged(self.model_dump(mode="json", exclude_none=True), changes), where=where)

    def dataset_options(self) -> dict[str, Any]:
        """Return the options of the dataset that the recipe decides; what it leaves to the dataset is left out."""
        options = {"image_size": self.image_size, "fit": self.fit, "pad": self.pad}
        return {key: value for key, value in options.items() if value is not None}

    def custom_parts(self) -> dict[str, str]:
        """Return your own parts of this recipe, as ``module:Name`` by key."""
        parts = {
            "model": self.model,
            "activation": self.activation,
            "optimizer": self.optimizer.name,
            "schedule": self.schedule.name,
            "loss": self.loss.name,
            **{f"augment.custom {one.name}": one.name for one in self.augment.custom},
        }
        return {key: name for key, name in parts.items() if is_custom(name)}

    def to_yaml(self) -> str:
        """Return the whole recipe as YAML, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def fingerprint(self) -> str:
        """Return a hex digest that is equal for equal recipes."""
        # Defaults left out, so that a field added one day does not change the recipes of yesterday.
        text = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def built_in_recipes() -> list[str]:
    """Name the recipes that come with convtrials."""
    return sorted(path.stem for path in BUILT_IN_RECIPES.glob("*.yaml"))


def recipe_file(name: str | Path, folder: Path = Path()) -> Path:
    """Return the file of a recipe.

    Parameters
    ----------
    name : str or Path
        A path as seen from `folder`; or the bare name of a built-in recipe, unless a file of that name is there.
    """
    path = folder / name
    if path.is_file() or str(name) not in built_in_recipes():
        return path
    return BUILT_IN_RECIPES / f"{name}.yaml"


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a small YAML mapping safely."""
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise RecipeError(f"{path}: larger than {MAX_RECIPE_BYTES:,} bytes: not a recipe")
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "" if path.suffix else f"; built-in recipes: {', '.join(built_in_recipes())}"
        raise RecipeError(f"{path}: cannot be read: {error.strerror}{hint}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    except (ValueError, RecursionError) as error:  # impossible dates, endless brackets
        raise RecipeError(f"{path}: not valid YAML: {str(error)[:80]}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise RecipeError(f"{path}: expected keys and values, such as `epochs: 10`")
    return values


def with_shorthands(values: dict[str, Any]) -> dict[str, Any]:
    """Write out the short forms: ``mixup`` and such at the top, ``early_stopping: true``, a section's name alone."""
    values = dict(values)
    for key in _SECTIONS:
        if isinstance(values.get(key), str):
            values[key] = {"name": values[key]}
    if "augment" in values and _is_off(values["augment"]):
        values["augment"] = (
            OFF  # a word, so that it goes over what a recipe has; an empty section changes nothing
        )
    if isinstance(values.get("early_stopping"), bool):
        values["early_stopping"] = {} if values["early_stopping"] else None
    for key in _AUGMENTATIONS:
        augment = values.get("augment") or {}
        if key in values and isinstance(augment, dict):
            if key in augment:
                raise ValueError(f"{key} is given twice: at the top and in augment")
            values["augment"] = {**augment, key: values.pop(key)}
    if isinstance(values.get("augment"), dict):
        values["augment"] = in_full(values["augment"])
    return values


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay ``changes`` over ``base``; neither is modified.

    Dotted keys reach inside (``optimizer.lr``). A changed ``name`` inside a section drops the section's other options
    except those that carry over.
    """
    try:
        result, wanted = with_shorthands(base), with_shorthands(_nested(changes))
    except ValueError as error:
        raise RecipeError(f"recipe: {error}") from None
    for key, value in wanted.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if key in _SECTIONS and "name" in value and value["name"] != old.get("name"):
                old = {
                    kept: old[kept] for kept in _carried(key, old.get("name"), value["name"]) if kept in old
                }
            value = _laid_over(old, value)
        result[key] = value
    if wanted.get("fit", "pad") != "pad" and "pad" not in wanted:
        result.pop("pad", None)
    return result


def _laid_over(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Lay a section over another, and so the sections inside ``augment``."""
    inner = {key: (old.get(key), new.get(key)) for key in SECTIONS}
    both = {key: {**a, **b} for key, (a, b) in inner.items() if isinstance(a, dict) and isinstance(b, dict)}
    return {**old, **new, **both}


def _is_off(value: Any) -> bool:
    """Return whether ``augment`` is switched off: ``off`` (which YAML reads as false), ``null`` or ``none``."""
    return value is None or value is False or value in (OFF, "none")


#: Augmentations that people name at the top, as techniques of their own.
_AUGMENTATIONS = ("mixup", "cutmix", "randaugment", "trivialaugment")

#: Sections that are chosen by name.
_SECTIONS = ("optimizer", "schedule", "loss")


def _carried(section: str, old: Any, new: Any) -> tuple[str, ...]:
    """Name the options that survive a change of a section's name."""
    if section != "optimizer":
        return ("warmup",) if section == "schedule" else ()
    # A list of names: a value of any other type is compared, and refused later.
    adam_sized = [name for name, entry in OPTIMIZERS.items() if entry.adam_sized]
    both = all(name in adam_sized for name in (old or "adam", new))
    return SHARED_OPTIONS if both else tuple(key for key in SHARED_OPTIONS if key != "lr")


def _nested(changes: dict[str, Any]) -> dict[str, Any]:
    """Turn dotted keys into sections, whatever the order in which section and options are given."""
    nested: dict[str, Any] = {}
    for key, value in changes.items():
        section, dot, inner = key.partition(".")
        if dot:
            section_value: Any = _nested({inner: value}) if section == "augment" else {inner: value}
        else:
            section_value = {"name": value} if key in _SECTIONS and isinstance(value, str) else value
        before = nested.get(section)
        if isinstance(before, dict) and isinstance(section_value, dict):
            section_value = _laid_over(before, section_value)
        nested[section] = section_value
    return nested


def parse_setting(text: str) -> tuple[str, Any]:
    """Read ``key=value`` as given to ``--set``; the value is YAML (``0.01``, ``true``, ``{name: cosine}``)."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {text}: expected key=value, such as optimizer.lr=0.01")
    try:
        return key.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError):  # impossible dates, endless brackets
        raise RecipeError(f"--set {text[:60]}: the value is not valid YAML") from None
