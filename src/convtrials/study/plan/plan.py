"""The plan: what a study will compare and how it will judge, fixed and fingerprinted before its first run."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from convtrials.core.documents import Document, check_format, parse_value
from convtrials.core.errors import RecipeError, StudyError
from convtrials.data.options import OPTION_NAMES
from convtrials.statistics.design import BASELINE, looks_for
from convtrials.study.plan.arms import LARGEST_OFFSET, MOST_TECHNIQUES, Arm
from convtrials.study.plan.plan_log import check_on_record, fingerprint_of, read_plan_document
from convtrials.study.plan.spec import (
    LARGEST_FIRST_SEED,
    RuleError,
    StudyRules,
    StudySpec,
)
from convtrials.training.recipe.recipe import Recipe

#: Seconds in which a change of the plan has written both the log and plan.json.
_BETWEEN_WRITES = 0.1


class ArmEntry(Document):
    """An arm in ``plan.json``; the slug is its folder's name."""

    name: str
    slug: str = ""
    changes: dict[str, Any]
    recipe: dict[str, Any]
    seed_offset: Annotated[int, Field(ge=0, le=LARGEST_OFFSET + LARGEST_FIRST_SEED)]

    @classmethod
    def of(cls, arm: Arm) -> "ArmEntry":
        """Write an arm down."""
        recipe = arm.recipe.model_dump(mode="json")
        return cls(
            name=arm.name, slug=arm.slug, changes=arm.changes, recipe=recipe, seed_offset=arm.seed_offset
        )

    def arm(self, where: str) -> Arm:
        """Return the arm."""
        recipe = Recipe.make(self.recipe, where=f"{where}: {self.name}")
        return Arm(self.name, self.changes, recipe, self.seed_offset)


class PlanFile(Document):
    """What ``plan.json`` holds; the rules are checked by `StudyRules`."""

    fingerprint: str | None = None
    format: int = 1
    title: Any = None
    metric: Any
    margin: Any
    alpha: Any
    looks: list[Any] = Field(default_factory=list)
    seeds: dict[str, Any]
    weights: Any
    dataset: dict[str, Any]
    dataset_fingerprint: str
    arms: list[ArmEntry]

    @classmethod
    def of(cls, plan: "Plan") -> "PlanFile":
        """Write a plan down."""
        spec = plan.spec
        return cls(
            format=1,
            title=spec.title,
            metric=spec.metric,
            margin=spec.margin,
            alpha=spec.alpha,
            looks=list(plan.looks),
            seeds={"min": spec.fewest, "max": spec.most},
            weights=spec.weights,
            dataset={"name": spec.source, **spec.dataset_options},
            dataset_fingerprint=plan.dataset_fingerprint,
            arms=[ArmEntry.of(arm) for arm in plan.arms],
        )

    def spec(self, where: str, *, recorded: bool) -> StudySpec:
        """Return the study; errors as `parse_plan`."""
        arms = [one.arm(where) for one in self.arms[: MOST_TECHNIQUES + 2]]
        names = [arm.name for arm in arms]
        if not 2 <= len(arms) <= MOST_TECHNIQUES + 1 or names[0] != BASELINE or len(set(names)) < len(names):
            raise ValueError("arms must be the baseline and its techniques, each name once")
        if not isinstance(source := self.dataset.get("name"), str):
            raise ValueError(f"dataset: {source!r:.40} where a name is needed")
        values = {
            key: getattr(self, key) for key in ("title", "metric", "margin", "alpha", "seeds", "weights")
        }
        values |= {
            "source": source,
            "dataset_options": {key: self.dataset[key] for key in OPTION_NAMES if key in self.dataset},
            "first_seed": arms[0].seed_offset,
        }
        return StudySpec.of(StudyRules.model_validate(values, context={"recorded": recorded}), arms)


@dataclass(frozen=True)
class Plan:
    """A study's plan.

    Attributes
    ----------
    spec : StudySpec
        What is compared, on what, and how it is judged.
    dataset_fingerprint : str
        Digest of the data, split included.
    recorded : str or None
        The fingerprint of the file that the plan was read from. A later version of convtrials, which writes more into
        a plan, keeps it.
    """

    spec: StudySpec
    dataset_fingerprint: str
    recorded: str | None = field(default=None, compare=False)

    @property
    def looks(self) -> tuple[int, ...]:
        """Seeds per arm at each look."""
        return looks_for(self.spec.fewest, self.spec.most)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The baseline, then the techniques."""
        return self.spec.arms

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def fingerprint(self) -> str:
        """Digest of all that could be bent after seeing results: data, metric, margin, techniques, seeds."""
        return self.recorded or fingerprint_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return what ``plan.json`` holds, without its fingerprint."""
        return PlanFile.of(self).to_dict()

    def changes_since(self, older: "Plan") -> list[str]:
        """Say what is different from an older plan, a line each."""
        lines = [
            f"{name}: {before} -> {now}"
            for name, before, now in (
                ("metric", older.spec.metric, self.spec.metric),
                ("margin", older.spec.margin, self.spec.margin),
                ("confidence", 1 - older.spec.alpha, 1 - self.spec.alpha),
                ("seeds", seeds_of(older.spec), seeds_of(self.spec)),
            )
            if before != now
        ]
        old, new = ({arm.name: arm for arm in plan.arms} for plan in (older, self))
        for name in [*old, *(name for name in new if name not in old)]:
            if name not in new:
                lines.append(f"technique {name}: removed")
            elif name not in old:
                lines.append(f"technique {name}: added")
            elif old[name].slug != new[name].slug:
                lines.append(f"{name}: another recipe or other seeds; its runs start again")
        if not lines and fingerprint_of(older.to_dict()) != fingerprint_of(self.to_dict()):
            lines.append("the order of techniques, or how their changes are written")
        return lines


def seeds_of(spec: StudyRules) -> str:
    """Say how many seeds per arm a study has: ``5``, or ``3 to 20``."""
    return str(spec.most) if spec.fewest == spec.most else f"{spec.fewest} to {spec.most}"


def read_plan(path: Path, *, recorded: bool = True) -> Plan:
    """Read a ``plan.json`` back, and see that it is the plan on record; `recorded` as in `parse_plan`.

    Raises
    ------
    StudyError
        Missing, damaged, of a later version, or changed since it was written: its content has another fingerprint than
        it names, or than the last line of the log next to it.
    """
    document = read_plan_document(path)
    plan = parse_plan(document, str(path), recorded=recorded)
    try:
        check_on_record(path, document)
    except StudyError:  # another process may be just between the log and the plan
        time.sleep(_BETWEEN_WRITES)
        document = read_plan_document(path)
        plan = parse_plan(document, str(path), recorded=recorded)
        check_on_record(path, document)
    return replace(plan, recorded=document["fingerprint"])


def parse_plan(document: dict[str, Any], where: str, *, recorded: bool = True) -> Plan:
    """Make a plan of what a ``plan.json`` holds, on record or not.

    Parameters
    ----------
    where : str
        The file.
    recorded : bool
        It was fixed before: a margin or a confidence that an earlier version allowed is taken as it is. False: it is to
        become a study, so that the ranges of `StudyRules` hold.

    Raises
    ------
    StudyError
        An impossible value, or of a later version.
    """
    check_format(document.get("format", 1), PlanFile.newest_format, where, StudyError)
    found = parse_value(document, PlanFile, f"{where}: not a plan", StudyError)
    try:
        return Plan(found.spec(where, recorded=recorded), found.dataset_fingerprint)
    except (ValueError, RecursionError, RecipeError, RuleError) as error:
        raise StudyError(f"{where}: not a plan: {str(error).splitlines()[0]:.200}") from None
