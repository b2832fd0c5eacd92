"""The rules of a study, checked in one place: for a study file, for `Study` in Python, and for a plan.json."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from convtrials.core.errors import StudyError
from convtrials.data.options import OPTION_NAMES, DatasetOptions, OptionError
from convtrials.study.plan.arms import Arm
from convtrials.study.results.metrics import verdict_metric

#: Chance of any false "better" or "worse" in a study.
DEFAULT_ALPHA = 0.05

#: The confidence that may be asked for; alpha is what is missing to one.
LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.5, 0.999

#: More seeds than this per arm are a mistake.
MOST_SEEDS = 1000

#: With a technique's own offset on top, seeds stay within what a plan can hold.
LARGEST_FIRST_SEED = 100_000_000

#: Whose weights are kept.
WEIGHTS = ("first", "all", "none")


class RuleError(StudyError):
    """A rule of a study is broken; ``keys`` lead to the value in the study file."""

    def __init__(self, keys: tuple[str, ...], message: str):
        self.keys, self.message = keys, message
        super().__init__(f"{'.'.join(keys)}: {message}")


def alpha_of(confidence: Any) -> float:
    """Return what is missing to one of a confidence in range.

    Raises
    ------
    RuleError
    """
    if not _is_number(confidence) or not LEAST_CONFIDENCE <= confidence <= MOST_CONFIDENCE:
        allowed = f"from {LEAST_CONFIDENCE:g} to {MOST_CONFIDENCE:g}, such as 0.95"
        raise RuleError(("confidence",), f"{confidence!r:.40}: must be {allowed}")
    return round(1 - float(confidence), 12)


def _checked_metric(value: Any) -> Any:
    try:
        verdict_metric(value)
    except StudyError as error:
        raise RuleError(("metric",), str(error).removeprefix("metric: ")) from None
    return value


def _default_margin(values: dict[str, Any]) -> float:
    metric = verdict_metric(values["metric"])
    if metric.default_margin is None:
        message = f"{metric.name} needs a margin: the smallest difference that matters to you"
        raise RuleError(("metric",), message)
    return metric.default_margin


def _checked_margin(value: Any, info: ValidationInfo) -> float:
    metric = verdict_metric(info.data["metric"])
    largest = 1e6 if _recorded(info) else metric.largest_margin
    if not _is_number(value) or not 0 < value <= largest:
        hint = " (half a point is 0.005)" if metric.scale.in_percent else ""
        raise RuleError(("margin",), f"{value!r:.40}: must be above 0 and at most {largest:g}{hint}")
    return float(value)  # as it comes back from plan.json


def _checked_alpha(value: Any, info: ValidationInfo) -> float:
    if not _is_number(value) or not 0 < value < 1:
        raise RuleError(("alpha",), f"{value!r:.40}: must lie between 0 and 1, such as 0.05")
    if not _recorded(info) and not LEAST_CONFIDENCE <= round(1 - value, 12) <= MOST_CONFIDENCE:
        least, most = round(1 - MOST_CONFIDENCE, 12), round(1 - LEAST_CONFIDENCE, 12)
        raise RuleError(("alpha",), f"{value!r:.40}: must be from {least:g} to {most:g}, such as 0.05")
    return float(value)


def _checked_seeds(value: Any) -> tuple[int, int]:
    """Return (fewest, most) of a number, a pair, or a mapping with ``min`` and ``max``."""
    if isinstance(value, Mapping):
        if set(value) != {"min", "max"}:
            raise RuleError(("seeds",), "must be a number, or {min: 3, max: 20}")
        value = (value["min"], value["max"])
    fewest, most = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    for number in (fewest, most):
        if not _is_whole(number) or not 2 <= number <= MOST_SEEDS:
            raise RuleError(
                ("seeds",),
                f"{number!r:.40}: must be a whole number from 2 to {MOST_SEEDS}; "
                "one run per arm cannot show how far chance moves it",
            )
    if fewest > most:
        raise RuleError(("seeds",), f"min {fewest} is more than max {most}")
    return fewest, most


def _checked_first_seed(value: Any) -> int:
    if not _is_whole(value) or not 0 <= value <= LARGEST_FIRST_SEED:
        allowed = f"a whole number from 0 to {LARGEST_FIRST_SEED:,}"
        raise RuleError(("first_seed",), f"{value!r:.40}: must be {allowed}")
    return int(value)


def _checked_weights(value: Any) -> Any:
    if value not in WEIGHTS:
        raise RuleError(("weights",), f"{value!r:.40}: allowed are {', '.join(WEIGHTS)}")
    return value


def _checked_title(value: Any) -> Any:
    if value is not None and (not isinstance(value, str) or len(value) > 200 or not value.isprintable()):
        raise RuleError(("title",), "must be one line of at most 200 characters")
    return value


def _checked_options(values: Any) -> dict[str, Any]:
    """Refuse options that `load_dataset` cannot take."""
    try:
        DatasetOptions.make(values)
    except OptionError as error:
        message = error.message.replace("allowed: ", "allowed: name, path, train, ", 1)
        raise RuleError(
            ("dataset", error.key), message if error.key not in OPTION_NAMES else error.message
        ) from None
    return dict(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _recorded(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("recorded"))


class StudyRules(BaseModel):
    """How a study is run and judged, without its recipes.

    Attributes
    ----------
    title : str or None
        One line of at most 200 characters.
    source : str
        What `load_dataset` takes: a built-in name or a path.
    dataset_options : dict
        Options of `load_dataset`, fields of `DatasetOptions`.
    metric : str
        The one metric on which verdicts are given, of `VERDICT_METRICS`.
    margin : float
        Smaller differences do not matter in practice; in the metric's unit. Above 0, at most the metric's largest.
        Accuracy has a default, log loss has none.
    alpha : float
        Chance of any false "better" or "worse", over all techniques and looks: one minus the confidence.
    seeds : tuple of int
        Fewest and most per arm, 2 to `MOST_SEEDS`; equal where the number is fixed. A single number is taken, too.
    first_seed : int
        Where the seeds begin, 0 to `LARGEST_FIRST_SEED`.
    weights : {"first", "all", "none"}
        Whose weights are kept on disk: those of the first seed of each arm, of all, or of none.

    Raises
    ------
    RuleError
        The first rule that is broken, with its key and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    title: Annotated[str | None, BeforeValidator(_checked_title)] = None
    source: str = "glyphs"
    dataset_options: Annotated[dict[str, Any], BeforeValidator(_checked_options)] = Field(
        default_factory=dict
    )
    metric: Annotated[str, BeforeValidator(_checked_metric)] = "accuracy"
    margin: Annotated[float, BeforeValidator(_checked_margin)] = Field(default_factory=_default_margin)
    alpha: Annotated[float, BeforeValidator(_checked_alpha)] = DEFAULT_ALPHA
    seeds: Annotated[tuple[int, int], BeforeValidator(_checked_seeds)] = (5, 5)
    first_seed: Annotated[int, BeforeValidator(_checked_first_seed)] = 0
    weights: Annotated[str, BeforeValidator(_checked_weights)] = "first"

    @property
    def fewest(self) -> int:
        """Seeds per arm at the first look."""
        return self.seeds[0]

    @property
    def most(self) -> int:
        """Seeds per arm at the last look."""
        return self.seeds[1]


class StudySpec(StudyRules):
    """A study as asked for, before any data is opened: its rules and its arms, the baseline first."""

    arms: tuple[Arm, ...]

    @classmethod
    def of(cls, rules: StudyRules, arms: "list[Arm] | tuple[Arm, ...]") -> "StudySpec":
        """Join rules that are checked with arms that are written out."""
        return cls.model_construct(**dict(rules), arms=tuple(arms))
