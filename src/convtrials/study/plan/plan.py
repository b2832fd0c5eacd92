"""The plan: what a study will compare and how it will judge, fixed and fingerprinted before its first run."""

import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convtrials.core.errors import RecipeError, StudyError
from convtrials.statistics.design import BASELINE, looks_for
from convtrials.study.plan.arms import LARGEST_OFFSET, MOST_TECHNIQUES, Arm
from convtrials.study.plan.plan_log import check_on_record, fingerprint_of, read_plan_document
from convtrials.study.plan.study_file import (
    DATASET_OPTIONS,
    LARGEST_FIRST_SEED,
    MOST_SEEDS,
    WEIGHTS,
    StudySpec,
)
from convtrials.study.results.metrics import METRICS
from convtrials.training.recipe.recipe import Recipe

#: Seconds in which whoever changes a plan has written both the log and plan.json.
_BETWEEN_WRITES = 0.1

#: Version of plan.json, verdicts.json and costs.json.
FORMAT = 1


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
        spec = self.spec
        return {
            "format": FORMAT,
            "title": spec.title,
            "metric": spec.metric,
            "margin": spec.margin,
            "alpha": spec.alpha,
            "looks": list(self.looks),
            "seeds": {"min": spec.fewest, "max": spec.most},
            "weights": spec.weights,
            "dataset": {"name": spec.source, **spec.dataset_options},
            "dataset_fingerprint": self.dataset_fingerprint,
            "arms": [
                {
                    "name": arm.name,
                    "slug": arm.slug,
                    "changes": arm.changes,
                    "recipe": arm.recipe.model_dump(mode="json"),
                    "seed_offset": arm.seed_offset,
                }
                for arm in self.arms
            ],
        }

    def changes_since(self, older: "Plan") -> list[str]:
        """Say what is different from an older plan, a line each."""
        lines = [
            f"{name}: {before} -> {now}"
            for name, before, now in (
                ("metric", older.spec.metric, self.spec.metric),
                ("margin", older.spec.margin, self.spec.margin),
                ("confidence", 1 - older.spec.alpha, 1 - self.spec.alpha),
                ("seeds", _seeds(older.spec), _seeds(self.spec)),
            )
            if before != now
        ]
        old, new = ({arm.name: arm for arm in plan.arms} for plan in (older, self))
        for name in [*old, *(name for name in new if name not in old)]:
            if name not in new:
                lines.append(f"technique {name}: taken out")
            elif name not in old:
                lines.append(f"technique {name}: added")
            elif old[name].slug != new[name].slug:
                lines.append(f"{name}: another recipe or other seeds; its runs begin anew")
        if not lines and fingerprint_of(older.to_dict()) != fingerprint_of(self.to_dict()):
            lines.append("the order of techniques, or how their changes are written")
        return lines


def _seeds(spec: StudySpec) -> str:
    return str(spec.most) if spec.fewest == spec.most else f"{spec.fewest} to {spec.most}"


def read_plan(path: Path) -> Plan:
    """Read a ``plan.json`` back, and see that it is the plan on record.

    Raises
    ------
    StudyError
        Missing, damaged, of a later version, or changed since it was written: its content has another fingerprint than
        it names, or than the last line of the log beside it.
    """
    document = read_plan_document(path)
    plan = parse_plan(document, str(path))
    try:
        check_on_record(path, document)
    except StudyError:  # another process may be just between the log and the plan
        time.sleep(_BETWEEN_WRITES)
        document = read_plan_document(path)
        plan = parse_plan(document, str(path))
        check_on_record(path, document)
    return replace(plan, recorded=document["fingerprint"])


def parse_plan(document: dict[str, Any], where: str) -> Plan:
    """Make a plan of what a ``plan.json`` holds, on record or not.

    Raises
    ------
    StudyError
        An impossible value, or of a later version.
    """
    try:
        if document["format"] != FORMAT:
            raise StudyError(
                f"{where}: format {document['format']!r:.20}; this version of convtrials reads {FORMAT}"
            )
        return Plan(_spec(document, where), _text(document["dataset_fingerprint"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, RecipeError) as error:
        raise StudyError(f"{where}: not a plan: {str(error).splitlines()[0]:.200}") from None


def _spec(value: dict[str, Any], where: str) -> StudySpec:
    arms = tuple(
        Arm(
            _text(arm["name"]),
            dict(arm["changes"]),
            Recipe.make(dict(arm["recipe"]), where=f"{where}: {arm['name']}"),
            _whole(arm["seed_offset"], 0, LARGEST_OFFSET + LARGEST_FIRST_SEED),
        )
        for arm in value["arms"][: MOST_TECHNIQUES + 2]
    )
    names = [arm.name for arm in arms]
    if (
        len(arms) < 2
        or len(arms) > MOST_TECHNIQUES + 1
        or names[0] != BASELINE
        or len(set(names)) < len(names)
    ):
        raise ValueError("arms must be the baseline and its techniques, each name once")
    dataset = dict(value["dataset"])
    source = _text(dataset.pop("name"))
    spec = StudySpec(
        arms=arms,
        source=source,
        dataset_options={key: dataset[key] for key in DATASET_OPTIONS if key in dataset},
        fewest=_whole(value["seeds"]["min"], 2, MOST_SEEDS),
        most=_whole(value["seeds"]["max"], 2, MOST_SEEDS),
        metric=_one_of(value["metric"], METRICS),
        margin=_between(value["margin"], 0, 1e6),
        alpha=_between(value["alpha"], 0, 1),
        weights=_one_of(value["weights"], WEIGHTS),
    )
    return replace(spec, title=None if value.get("title") is None else _text(value["title"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} where a text is needed")
    return value


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{value!r:.40} where a whole number from {least} to {most} is needed")
    return value


def _between(value: Any, low: float, high: float) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low < value < high
        or math.isnan(value)
    ):
        raise ValueError(f"{value!r:.40} where a number between {low:g} and {high:g} is needed")
    return float(value)


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r:.40} where one of {', '.join(allowed)} is needed")
    return str(value)
