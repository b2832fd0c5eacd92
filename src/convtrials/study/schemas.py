"""The JSON files of a study directory, a model each: what is written is what is read.

``plan.json`` has its model next to the rules of a study, in `convtrials.study.plan.plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, Field, Strict

from convtrials.core.documents import Document, Several, Share, Text
from convtrials.core.files import finite
from convtrials.core.formatting import confidence, holds_one, joined
from convtrials.study.results.metrics import VERDICT_METRICS

if TYPE_CHECKING:
    from convtrials.training.engine.execution import Execution

#: Numbers of this size are damage; larger ones would overflow in drawing.
_Number = Annotated[float, Field(gt=-1e12, lt=1e12)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]

Status = Literal["finished", "diverged", "failed"]
Word = Literal["better", "worse", "equivalent", "inconclusive", "unstable", "failed"]
Metrics = dict[str, _Number | None]
Interval = Annotated[tuple[_Number, _Number] | None, Strict(False)]


def _known_metric(name: str) -> str:
    if name not in VERDICT_METRICS:
        names = [repr(known) for known in VERDICT_METRICS]
        raise ValueError(f"must be {joined(names, 'or')}")
    return name


class StudyDocument(Document):
    """A file of a study, or a part of one. All keys are written, those whose value is not known as null."""

    def to_dict(self) -> dict[str, Any]:
        """Return what stands in the file."""
        plain: dict[str, Any] = finite(self.model_dump(by_alias=True))
        return plain


class StudyLoggers(StudyDocument):
    """``loggers.json``: the services that every run of the study is sent to."""

    log_to: Several[Text] = ()


class SingleRuns(StudyDocument):
    """How all comparisons of one run of the baseline with one run of a technique come out.

    Attributes
    ----------
    pairs : int
        Runs of the technique times runs of the baseline.
    better, worse, equal : int
        Pairs in which the technique's run has the higher, the lower, the same score.
    beyond_margin : int
        Pairs that differ by more than the margin.
    largest : float
        The largest difference of a pair, without sign, in the metric's unit.
    wrong : int or None
        Pairs that name the wrong winner; None where the study names none itself, so that it cannot be said.
        With the verdict better or worse: the other one wins. Where there is no winner (equivalent, or the technique is
        the baseline under another name): the pair differs by more than the margin.
    """

    pairs: _Count
    better: _Count
    worse: _Count
    equal: _Count
    beyond_margin: _Count
    largest: _Number
    wrong: _Count | None = None


class ArmVerdict(StudyDocument):
    """What every arm of ``verdicts.json`` has: its runs, and the metrics without a verdict.

    Scores, means and secondary metrics are as people know the metric: a log loss is positive.
    """

    name: str
    slug: str = ""
    scores: Several[_Number | None] = ()
    status: Several[Status] = ()
    mean: _Number | None = None
    mean_interval: Interval = None
    secondary_metrics: Metrics = Field(
        default_factory=dict,
        validation_alias=AliasChoices("also", "secondary_metrics"),
        serialization_alias="also",
    )


class BaselineVerdict(ArmVerdict):
    """The baseline in ``verdicts.json``."""

    seeds: Several[_Count] = ()
    images_to_baseline: _Count | None = None

    @property
    def run_seeds(self) -> tuple[int, ...]:
        """Its seeds, under the name that techniques use."""
        return self.seeds


class TechniqueVerdict(ArmVerdict):
    """A technique in ``verdicts.json``: what `convtrials.statistics.result.Result` says of it, and its runs."""

    verdict: Word
    final: bool
    look: _Count | None = None
    seeds: _Count = 0
    difference: _Number | None = None
    low: _Number | None = None
    high: _Number | None = None
    standard_error: _Number | None = None
    degrees_of_freedom: _Number | None = None
    p_value: Share | None = None
    p_adjusted: Share | None = None
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
    run_seeds: Several[_Count] = ()
    secondary_differences: Metrics = Field(
        default_factory=dict,
        validation_alias=AliasChoices("also_difference", "secondary_differences"),
        serialization_alias="also_difference",
    )
    probability_better: Share | None = None
    single_runs: SingleRuns | None = None
    images_to_baseline: _Count | None = None
    sentence: str = ""

    @property
    def waiting(self) -> bool:
        """Whether there is no result yet, not even a preliminary one."""
        return self.difference is None and self.verdict == "inconclusive" and not self.final


class StudyWarning(StudyDocument):
    """One thing that a reader must know before believing the verdicts.

    Attributes
    ----------
    kind : str
        One of a `RunWarning`.
    arm : str or None
        Whom it is about; None: the study.
    text : str
        Two or three sentences.
    mark : str
        A few words to put next to the arm's verdict; empty where none are needed.
    numbers : dict
        What the text rests on.
    """

    kind: str
    arm: str | None = None
    text: str
    mark: str = ""
    numbers: dict[str, Any] = Field(default_factory=dict)


class Verdicts(StudyDocument):
    """``verdicts.json``; those of older versions have no warnings.

    Attributes
    ----------
    plan : str
        Fingerprint of the plan that they follow.
    unit : str
        What was sampled for the test split: ``image``, or the kind of group, such as ``writer``.
    test_units : int
        How many there are.
    """

    format: int = 1
    plan: str
    complete: bool
    metric: Annotated[str, AfterValidator(_known_metric)]
    margin: Annotated[float, Field(gt=0, lt=1e6)]
    alpha: Annotated[float, Field(gt=0, lt=1)]
    looks: Several[_Count] = ()
    unit: str = "image"
    test_images: _Count
    test_units: _Count
    single_runs: str = ""
    warnings: Several[StudyWarning] = ()
    baseline: BaselineVerdict
    techniques: Several[TechniqueVerdict]

    @property
    def arms(self) -> tuple[BaselineVerdict | TechniqueVerdict, ...]:
        """The baseline, then the techniques."""
        return (self.baseline, *self.techniques)

    @property
    def level(self) -> str:
        """The confidence of the simultaneous intervals, as people write it: ``95%``."""
        return confidence(self.alpha)

    def mark_of(self, arm: str) -> str:
        """Say in a few words what is wrong with runs of an arm that learned nothing; empty where all learned."""
        return next((one.mark for one in self.warnings if one.arm == arm and one.mark), "")


class _Named(StudyDocument):
    name: str = ""


class ArmCost(StudyDocument):
    """What the runs of an arm cost on average; None where nothing was measured."""

    seconds: _Number | None = None
    cpu_seconds: _Number | None = None
    images: _Number | None = None
    seconds_to_baseline: _Number | None = None
    runs: _Count | None = None
    diverged: _Count | None = None


class TechniqueCost(ArmCost, _Named):  # the name stands first in the file
    """What the runs of a technique cost, and that as a multiple of the baseline's, with its 95% interval."""

    cost_ratio: _Number | None = None
    cost_ratio_interval: Interval = None

    @property
    def may_be_the_same(self) -> bool:
        """Whether runs of one recipe differ in cost by so much anyway."""
        return holds_one(self.cost_ratio_interval)


class TotalCost(StudyDocument):
    """What the whole study cost."""

    runs: _Count | None = None
    seconds: _Number | None = None
    cpu_seconds: _Number | None = None
    wall_seconds: _Number | None = None


class Costs(StudyDocument):
    """``costs.json``; every field may be missing.

    Attributes
    ----------
    unit : str
        What costs are compared in: ``cpu_seconds``, or ``seconds`` by the clock.
    """

    format: int = 1
    unit: Literal["cpu_seconds", "seconds"] = "seconds"
    baseline: ArmCost = ArmCost()
    techniques: Several[TechniqueCost] = ()
    total: TotalCost = TotalCost()

    def of(self, technique: str) -> TechniqueCost:
        """Return the costs of a technique; where none are known, all of them None."""
        return next((one for one in self.techniques if one.name == technique), TechniqueCost(name=technique))


class StudyDataset(StudyDocument):
    """``dataset.json`` of a study: what a run's says, and how its test images were sampled.

    Attributes
    ----------
    group_kind : str or None
        What groups of images are, such as ``writer``, where they are known.
    grouped : bool
        Whether groups were sampled, not single images.
    """

    fingerprint: Text
    counts: dict[str, _Count]
    class_names: Any = None
    group_kind: Text | None = None
    grouped: bool = False


class StudyExecution(StudyDocument):
    """``execution.json`` of a study: how its runs are computed, and how many at a time.

    Attributes
    ----------
    workers : int
        Runs at a time. Another number on another day changes speed, never results.
    measured : list of dict
        ``workers``, ``threads`` and ``images_per_second`` (of all workers together) of what was timed.
    folder : str or None
        Where the user's own modules were found when the study began.
    replicas, replica_way : int, str or None
        Seeds of one arm trained at once in one process, and by which method.
    """

    device: Text
    precision: Text
    channels_last: bool
    threads: int
    workers: Annotated[int, Field(ge=1)]
    measured: list[dict[str, Any]] = Field(default_factory=list)
    folder: Text | None = None
    replicas: Annotated[int, Field(ge=1)] = 1
    replica_way: Literal["grouped", "side_by_side"] | None = None

    @classmethod
    def of(cls, execution: Execution, workers: int = 1, **more: Any) -> Self:
        """Join how one run is computed with how many are."""
        return cls(**execution.to_dict(), workers=workers, **more)

    @property
    def execution(self) -> Execution:
        """How every run is computed: the same for all, a part of what makes them comparable."""
        from convtrials.training.engine.execution import Execution  # torch: not for those who only read

        return Execution(**self.model_dump(include={"device", "precision", "channels_last", "threads"}))


class Failures(StudyDocument):
    """What went wrong with a run, the oldest first, and whether it is not tried again."""

    errors: Several[str] = ()
    given_up: bool = False

    @property
    def reason(self) -> str:
        """The line of the last error that says why: its first, or the last of a traceback."""
        lines = (self.errors[-1].strip() if self.errors else "").splitlines() or ["no reason given"]
        return lines[-1 if lines[0].startswith("Traceback") else 0][:300]

    def with_error(self, error: str, *, given_up: bool) -> Failures:
        """Add an error; of many, the latest are kept."""
        return Failures(errors=(*self.errors, error[-4000:])[-10:], given_up=given_up)


class SessionTime(StudyDocument):
    """How long a process has worked on a study: seconds, from a moment in seconds since 1970."""

    started: _Number
    seconds: Annotated[float, Field(ge=0, lt=1e12)]


class LiveRun(StudyDocument):
    """How far a run is that is being trained, and in which process."""

    pid: int | None = None
    images: _Number = 0
    total_images: _Number = 0
    images_per_second: _Number | None = None
    val_accuracy: _Number | None = None


class Piece(StudyDocument):
    """A study that was merged with others into one.

    Attributes
    ----------
    name : str
        Of its folder.
    plan : str
        Fingerprint of its own plan.
    runs : int
        Ended runs that came from it.
    processor : str or None
        What it was computed on.
    """

    name: str
    plan: str
    runs: _Count
    processor: str | None = None


class PlanVersion(StudyDocument):
    """A line of ``plan-log.jsonl``: a plan, when it came, and what it changed.

    Attributes
    ----------
    finished_runs : int
        Runs that had ended by then.
    merged : tuple of Piece
        The studies whose runs were merged under this version; as a rule none.
    plan : dict or None
        All of plan.json; earlier versions of convtrials kept the fingerprint alone.
    chain : str or None
        Digest of this line and the one before.
    """

    time: str = ""
    fingerprint: str
    finished_runs: _Count = 0
    changes: Several[str] = ()
    merged: Several[Piece] = ()
    plan: dict[str, Any] | None = None
    chain: str | None = None
