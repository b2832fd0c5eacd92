"""Which learning-rate schedule, and its options."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ScheduleName = Literal[
    "constant", "step", "exponential", "cosine", "one_cycle", "polynomial", "plateau"
]  # fmt: skip

#: name -> (options besides warm-up, what it does)
SCHEDULES: dict[str, tuple[tuple[str, ...], str]] = {
    "constant": ((), "the same rate throughout"),
    "step": (("every", "gamma"), "times gamma after each `every` epochs"),
    "exponential": (("gamma",), "times gamma after each epoch"),
    "cosine": (("final",), "half a cosine from the peak to `final` (Loshchilov & Hutter, arXiv 1608.03983)"),
    "one_cycle": (
        ("rise", "start", "final"),
        "up for the share `rise` of all steps, then down (Smith & Topin, arXiv 1708.07120)",
    ),
    "polynomial": (("power", "final"), "from the peak to `final` as (1 - progress)^power"),
    "plateau": (
        ("metric", "gamma", "patience", "min_delta", "final"),
        "times gamma when validation has not improved for `patience` epochs",
    ),
}


class ScheduleConfig(BaseModel):
    """The learning-rate schedule of a recipe. Rates are shares of ``optimizer.lr``, times are in epochs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ScheduleName = Field("constant", description="one of " + ", ".join(SCHEDULES))
    warmup: float = Field(
        0.0, ge=0, description="epochs of linear rise from zero before the schedule (arXiv 1706.02677)"
    )
    every: float | None = Field(
        None, gt=0, description="step: epochs between drops (default: a third of all)"
    )
    gamma: float | None = Field(None, gt=0, le=1, description="step, plateau (0.1), exponential (0.9)")
    final: float | None = Field(
        None, ge=0, le=1, description="last or lowest share of the peak rate (0; one_cycle 1e-4)"
    )
    rise: float | None = Field(None, gt=0, lt=1, description="one_cycle: share of steps going up (0.3)")
    start: float | None = Field(
        None, gt=0, le=1, description="one_cycle: first share of the peak rate (0.04)"
    )
    power: float | None = Field(None, gt=0, le=100, description="polynomial: exponent (1)")
    metric: Literal["val_accuracy", "val_loss", "val_macro_f1"] | None = Field(
        None, description="plateau (val_loss)"
    )
    patience: int | None = Field(None, ge=0, le=10_000, description="plateau: epochs to wait (2)")
    min_delta: float | None = Field(
        None, ge=0, description="plateau: smallest improvement that counts (1e-4)"
    )

    @model_validator(mode="before")
    @classmethod
    def _spelling(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("name"), str):
            name = values["name"].lower().replace("-", "_").replace(" ", "_")
            name = {"onecycle": "one_cycle", "reduce_on_plateau": "plateau"}.get(name, name)
            return {**values, "name": name}
        return values

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        options = SCHEDULES[self.name][0]
        shared = ("name", "warmup")
        for key in type(self).model_fields:
            if key not in shared and key not in options and getattr(self, key) is not None:
                raise ValueError(f"{self.name} has no {key}; its options: {', '.join(('warmup', *options))}")
        if self.name == "plateau" and self.gamma == 1:
            raise ValueError("plateau with gamma = 1 never lowers the rate: gamma must be less than 1")
        return self
