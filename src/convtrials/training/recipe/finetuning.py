"""The values of ``freeze`` and ``input_stats`` in a recipe. Importing this imports no torch."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

#: What most published weights of ImageNet were trained with, on the scale 0 to 1, RGB.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Input statistics that have a name.
DATA, IMAGENET = "data", "imagenet"

_FREEZE = "allowed are `features`, names such as [layer1, layer2], or a number of layers; below zero: all but the last"


class InputStats(BaseModel):
    """What images are normalised with, on the scale 0 to 1: one number for each channel, or one for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        min_length=1, max_length=16, description="subtracted from each channel"
    )
    std: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        min_length=1, max_length=16, description="what each channel is divided by"
    )

    @model_validator(mode="after")
    def _alike(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std must have as many numbers as each other")
        return self


def _freeze(value: Any) -> Any:
    """Bring the spellings of ``freeze`` into one form: a number, a name, or several names."""
    if value is None or value is False or value in ("off", "none"):
        return None
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, int) and not isinstance(value, bool) and value:
        return value
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(_FREEZE)
    if not all(isinstance(name, str) and 0 < len(name) <= 200 for name in names) or len(names) > 1000:
        raise ValueError(_FREEZE)
    return names[0] if len(names) == 1 else tuple(dict.fromkeys(names))


def _input_stats(value: Any) -> Any:
    """Read ``data``, ``imagenet`` or a section with mean and std; single numbers may stand without brackets."""
    if value is None:
        return DATA
    if isinstance(value, str) and value in (DATA, IMAGENET):
        return value
    if isinstance(value, InputStats):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"allowed are {DATA}, {IMAGENET}, or mean and std on the scale 0 to 1")
    lists = {
        key: [one] if isinstance(one, int | float) and not isinstance(one, bool) else one
        for key, one in value.items()
    }
    try:
        return InputStats(**lists)
    except (ValidationError, TypeError):
        raise ValueError(
            "needs mean (0 to 1) and std (above 0, up to 1), one number for each channel, for pixels from 0 to 1"
        ) from None


#: The type of ``freeze``.
Freeze = Annotated[int | str | tuple[str, ...] | None, BeforeValidator(_freeze)]

#: The type of ``input_stats``.
Normalisation = Annotated[str | InputStats, BeforeValidator(_input_stats)]
