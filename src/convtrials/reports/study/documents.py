"""The JSON files of a study directory, checked: what the report may rely on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from convtrials.core.intervals import holds_one

#: Numbers of this size are damage; larger ones would overflow in drawing.
_Number = Annotated[float, Field(gt=-1e12, lt=1e12)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]
_Share = Annotated[float, Field(ge=0, le=1)]

#: A slug is the name of a folder, so it may lead nowhere else.
_Slug = Annotated[str, Field(pattern=r"^[^/\\\x00]*[^/\\\x00.][^/\\\x00]*$", max_length=255)]

Status = Literal["finished", "diverged", "failed"]
Scores = tuple[_Number | None, ...]


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class PlannedArm(_Document):
    """An arm as planned: the baseline, or a technique."""

    name: str
    slug: _Slug
    changes: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    seed_offset: int = 0


class PlannedSeeds(_Document):
    """The fewest and most seeds per arm."""

    min: _Count
    max: _Count


class Plan(_Document):
    """``plan.json``: what was decided before the first run."""

    fingerprint: str
    title: str | None = None
    metric: Literal["accuracy", "log_loss"]
    margin: Annotated[float, Field(gt=0, lt=1e6)]
    alpha: Annotated[float, Field(gt=0, lt=1)]
    looks: tuple[_Count, ...]
    seeds: PlannedSeeds
    dataset: dict[str, Any] = {}
    dataset_fingerprint: str | None = None
    arms: Annotated[tuple[PlannedArm, ...], Field(min_length=1)]


class PlanVersion(_Document):
    """A line of ``plan-log.jsonl``: a plan, when it came, and what it changed."""

    time: str
    fingerprint: str
    finished_runs: _Count
    changes: tuple[str, ...] = ()


class _Judged(_Document):
    name: str
    scores: Scores = ()
    status: tuple[Status, ...] = ()
    mean: _Number | None = None
    mean_interval: tuple[_Number, _Number] | None = Field(default=None, strict=False)
    also: dict[str, _Number | None] = {}


class Baseline(_Judged):
    """The baseline's runs in ``verdicts.json``."""

    seeds: tuple[_Count, ...] = ()
    images_to_baseline: _Number | None = None

    @property
    def run_seeds(self) -> tuple[int, ...]:
        """Its seeds, under the name that techniques use."""
        return self.seeds


class SingleRuns(_Document):
    """How all comparisons of one run of a technique with one of the baseline come out."""

    pairs: _Count
    better: _Count
    worse: _Count
    equal: _Count
    beyond_margin: _Count
    largest: _Number
    wrong: _Count | None = None


class Technique(_Judged):
    """A technique's verdict in ``verdicts.json``: the fields of the study's `Result`, and its runs."""

    verdict: Literal["better", "worse", "equivalent", "inconclusive", "unstable", "failed"]
    final: bool
    seeds: _Count = 0
    look: _Count | None = None
    difference: _Number | None = None
    low: _Number | None = None
    high: _Number | None = None
    p_value: _Share | None = None
    p_adjusted: _Share | None = None
    fixed_low: _Number | None = None
    fixed_high: _Number | None = None
    fixed_verdict: str | None = None
    beyond_margin: Literal["all", "part", "none"] | None = None
    reason: str | None = None
    more_seeds: _Count | None = None
    resolvable: _Number | None = None
    images_needed: _Count | None = None
    own_variance: bool = False
    seed_sd: _Number | None = None
    image_se: _Number | None = None
    run_seeds: tuple[_Count, ...] = ()
    also_difference: dict[str, _Number | None] = {}
    probability_better: _Share | None = None
    single_runs: SingleRuns | None = None
    images_to_baseline: _Number | None = None
    sentence: str = ""


class StudyWarning(_Document):
    """What a reader must know before believing the verdicts."""

    kind: str
    arm: str | None = None
    text: str
    mark: str = ""


class Verdicts(_Document):
    """``verdicts.json``; those of older versions have no warnings."""

    plan: str
    complete: bool
    unit: str = "image"
    test_images: _Count
    test_units: _Count
    single_runs: str = ""
    warnings: tuple[StudyWarning, ...] = ()
    baseline: Baseline
    techniques: tuple[Technique, ...]


class ArmCost(_Document):
    """What the runs of an arm cost; None where nobody measured."""

    name: str = ""
    seconds: _Number | None = None
    cpu_seconds: _Number | None = None
    cost_ratio: _Number | None = None
    cost_ratio_interval: tuple[_Number, _Number] | None = Field(default=None, strict=False)
    images: _Number | None = None
    seconds_to_baseline: _Number | None = None
    runs: _Count | None = None

    @property
    def may_be_the_same(self) -> bool:
        """Whether runs of one recipe differ in cost by so much anyway."""
        return holds_one(self.cost_ratio_interval)


class TotalCost(_Document):
    """What the whole study cost."""

    runs: _Count | None = None
    seconds: _Number | None = None
    cpu_seconds: _Number | None = None
    wall_seconds: _Number | None = None


class Costs(_Document):
    """``costs.json``; every field may be missing."""

    unit: str = "seconds"
    baseline: ArmCost = ArmCost()
    techniques: tuple[ArmCost, ...] = ()
    total: TotalCost = TotalCost()
