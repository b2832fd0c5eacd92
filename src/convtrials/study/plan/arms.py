"""Techniques become arms: named recipes, with grids written out and combinations joined."""

import hashlib
import itertools
import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any

from pydantic import BaseModel

from convtrials.core.errors import RecipeError, StudyError
from convtrials.core.names import unreserved
from convtrials.statistics.design import BASELINE
from convtrials.training.recipe.recipe import Recipe, merged

#: More techniques than this are a search, not a trial: every one of them widens all intervals.
MOST_TECHNIQUES = 100

#: Seeds are numbers; this keeps them well inside 64 bits.
LARGEST_OFFSET = 1_000_000_000

#: Combinations of combinations of combinations.
DEEPEST = 4

#: The key that joins other techniques.
ALL_OF = "all of"


@dataclass(frozen=True)
class Arm:
    """One recipe of a study.

    Attributes
    ----------
    name : str
        As people call it.
    changes : dict
        What it changes in the baseline's recipe; empty for the baseline.
    recipe : Recipe
        The whole recipe.
    seed_offset : int
        Its seeds are this number and those after it; an A/A study compares a recipe with itself at another offset.
    """

    name: str
    changes: dict[str, Any]
    recipe: Recipe
    seed_offset: int = 0

    @property
    def slug(self) -> str:
        """Folder name: readable, and another one as soon as the recipe is another one."""
        words = re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-.")[:60] or "arm"
        content = f"{self.name} {self.recipe.fingerprint()} {self.seed_offset}"
        return unreserved(f"{words}-{hashlib.blake2b(content.encode(), digest_size=3).hexdigest()}")


class TechniqueError(StudyError):
    """A technique cannot be written out; ``keys`` lead to the place in the study file."""

    def __init__(self, keys: tuple[str, ...], message: str, *, full_message: str | None = None):
        self.keys = ("techniques", *keys)
        # A recipe's own message names its key already.
        self.message = (
            f"techniques.{keys[0]}: {full_message}" if full_message else f"{'.'.join(self.keys)}: {message}"
        )
        super().__init__(self.message)


def build_arms(
    baseline: Recipe, techniques: Mapping[str, Any], *, most_seeds: int, first_seed: int = 0
) -> list[Arm]:
    """Write out grids and combinations; the baseline comes first.

    Parameters
    ----------
    techniques : mapping
        Name -> changes (nested, dotted or short keys of a recipe), with ``seed_offset`` and ``all of`` next to them.
        A list where the recipe takes none is a grid.
    most_seeds : int
        The largest number of seeds of an arm.
    first_seed : int
        Where the seeds of every arm begin; a technique's ``seed_offset`` is added to it.

    Raises
    ------
    TechniqueError
        An unknown key, an impossible value, a technique that changes nothing, or two that are the same.
    """
    arms = [Arm(BASELINE, {}, baseline, first_seed)]
    technique_of = [BASELINE]
    for name in techniques:
        if name.strip().lower() == BASELINE or not name.strip():
            raise TechniqueError((name,), "needs another name; this one is the baseline's or empty")
        for label, changes, offset in _written_out(name, techniques):
            try:
                recipe = baseline.changed(changes, where=f"techniques.{name}")
            except RecipeError as error:
                raise _as_technique_error(name, error) from None
            arms.append(Arm(label, changes, recipe, first_seed + offset))
            technique_of.append(name)
            if len(arms) > MOST_TECHNIQUES + 1:
                raise TechniqueError(
                    (name,), f"makes more than {MOST_TECHNIQUES} techniques; that is a search, not a trial"
                )
    check_different(arms, technique_of, most_seeds)
    return arms


def _as_technique_error(name: str, error: RecipeError) -> TechniqueError:
    """Point at the key of the recipe that the first line of the error names."""
    line = str(error).splitlines()[0].removeprefix(f"techniques.{name}: ")
    key = re.match(r"([A-Za-z_][A-Za-z_.]*)(?: =|:)", line)
    return TechniqueError((name, *key.group(1).split(".")) if key else (name,), line, full_message=line)


def _written_out(name: str, techniques: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield (label, changes, seed offset) of every arm that one technique makes."""
    changes, offset = _changes_of(name, techniques, ())
    grids = list(_grids(changes, ()))
    for keys, values in grids:
        if not values:
            raise TechniqueError((name, *keys), "an empty list makes no technique")
    if math.prod(len(values) for _, values in grids) > MOST_TECHNIQUES:
        raise TechniqueError(
            (name,), f"is a grid of more than {MOST_TECHNIQUES}; that is a search, not a trial"
        )
    for choice in itertools.product(*(values for _, values in grids)):
        chosen = changes
        for (keys, _), value in zip(grids, choice, strict=True):
            chosen = _with(chosen, keys, value)
        yield " ".join([name, *_labels([keys for keys, _ in grids], choice)]), chosen, offset


def _changes_of(
    name: str, techniques: Mapping[str, Any], above: tuple[str, ...]
) -> tuple[dict[str, Any], int]:
    """Return all that a technique changes, the techniques that it joins included, and its seed offset."""
    changes, offset, parts = _split(name, techniques[name])
    for part in parts:
        if part not in techniques or part in (*above, name):
            others = ", ".join(other for other in techniques if other not in (*above, name))
            raise TechniqueError(
                (name, ALL_OF), f"{part!r:.60} is not another technique; there are: {others:.200}"
            )
        if parts.count(part) > 1 or len(above) >= DEEPEST:
            raise TechniqueError(
                (name, ALL_OF), f"{part!r:.60} is listed twice, or is made of too many others"
            )
        more, own_offset = _changes_of(part, techniques, (*above, name))
        if own_offset:
            raise TechniqueError((name, ALL_OF), f"{part} has a seed_offset; it cannot be a part")
        changes = _joined(name, part, changes, more)
    return changes, offset


def _split(name: str, wanted: Any) -> tuple[dict[str, Any], int, list[str]]:
    """Take a technique apart: changes of the recipe, seed offset, names that it joins."""
    if not isinstance(wanted, Mapping):
        raise TechniqueError(
            (name,), f"expected changes of the recipe, such as {{schedule: cosine}}, not {wanted!r:.40}"
        )
    changes = {str(key): value for key, value in wanted.items()}
    offset = changes.pop("seed_offset", 0)
    if isinstance(offset, bool) or not isinstance(offset, int) or not 0 <= offset <= LARGEST_OFFSET:
        raise TechniqueError(
            (name, "seed_offset"), f"{offset!r:.40}: must be a whole number from 0 to {LARGEST_OFFSET:,}"
        )
    parts = changes.pop(ALL_OF, [])
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise TechniqueError((name, ALL_OF), "must be a list of names of other techniques")
    try:
        # Short and dotted keys are written out, so that two spellings of one field are seen to be one field.
        return merged({}, changes), offset, parts
    except RecipeError as error:
        raise TechniqueError((name,), str(error).removeprefix("recipe: ")) from None


def _joined(name: str, part: str, changes: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Join the changes of a part; refuse two parts that change one field."""
    result = dict(changes)
    for key, value in more.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = _joined(name, part, old, value)
        elif key in result and old != value:
            raise TechniqueError((name, ALL_OF), f"{part} and another part both change {key}")
        else:
            result[key] = value
    return result


def _grids(changes: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Find the lists that stand where the recipe takes none."""
    for key, value in changes.items():
        keys = (*above, key)
        if isinstance(value, Mapping):
            yield from _grids(value, keys)
        elif isinstance(value, list):
            lists = bool(value) and all(isinstance(item, list) for item in value)
            if lists or not _takes_list(keys):
                yield keys, value


def _takes_list(keys: tuple[str, ...]) -> bool:
    """Whether the recipe's field is itself a list, such as Adam's two betas."""
    model: type[BaseModel] = Recipe
    for key in keys:
        field = model.model_fields.get(key)
        if field is None:
            return False
        inner = list(_types(field.annotation))
        nested = [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]
        if not nested:
            return any(one in (list, tuple) for one in inner)
        model = nested[0]
    return False


def _types(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, UnionType, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from _types(part)
    else:
        yield origin or annotation


def _with(changes: dict[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    key, rest = keys[0], keys[1:]
    return {**changes, key: _with(changes.get(key, {}), rest, value) if rest else value}


def _labels(paths: list[tuple[str, ...]], choice: tuple[Any, ...]) -> list[str]:
    """``0.3`` for a grid over one field, ``dropout=0.3 width=0.5`` over several."""
    said = [
        ",".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, Mapping) else str(value)
        for value in choice
    ]
    if len(paths) == 1:
        return said
    return [f"{path[-1]}={text}" for path, text in zip(paths, said, strict=True)]


def check_different(arms: Sequence[Arm], technique_of: Sequence[str], most_seeds: int) -> None:
    """Refuse a technique whose runs would be those of another arm: it would be compared with itself.

    Parameters
    ----------
    arms : sequence of Arm
    technique_of : sequence of str
        The technique that each was written out of, which errors name.
    most_seeds : int
        The largest number of seeds of an arm.

    Raises
    ------
    TechniqueError
    """
    for number, (arm, technique) in enumerate(zip(arms, technique_of, strict=True)):
        for other in arms[:number]:
            if arm.name == other.name:
                raise TechniqueError(
                    (technique,), f"two techniques are called {arm.name!r} once grids are written out"
                )
            same = _in_effect(arm.recipe) == _in_effect(other.recipe)
            if same and abs(arm.seed_offset - other.seed_offset) < most_seeds:
                raise TechniqueError((technique,), _why_same(arm, other, most_seeds))


def _why_same(arm: Arm, other: Arm, most_seeds: int) -> str:
    if arm.recipe != other.recipe:
        return f"computes what {other.name} computes: adamw without weight_decay is adam; give it one"
    if not arm.changes and other.name == BASELINE:
        return f"changes nothing; for an A/A study give it a seed_offset of {most_seeds} or more"
    return f"is the same recipe with the same seeds as {other.name}"


def _in_effect(recipe: Recipe) -> Recipe:
    """AdamW differs from Adam by its decay alone."""
    if recipe.optimizer.name == "adamw" and recipe.optimizer.weight_decay == 0:
        return recipe.changed(
            {"optimizer": {**recipe.optimizer.model_dump(exclude_none=True), "name": "adam"}}
        )
    return recipe
