"""The recipe's ``augment`` section: how strongly images are changed before they are learned from."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from convtrials.core.custom import has_form

#: What lies beyond the edge of an image, where a rotation or a crop looks there.
Border = Literal["edge", "zeros", "reflect"]


class CustomOperation(BaseModel):
    """Your own operation: ``module:name``, called with images, a generator and the options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="module:name of a function.", max_length=200)
    options: dict[str, JsonValue] = Field(default_factory=dict, description="Its arguments, by name.")

    @field_validator("name")
    @classmethod
    def _well_formed(cls, value: str) -> str:
        if not has_form(value):
            raise ValueError("is not of the form module:name, such as my_augmentations:posterize")
        return value


class AugmentConfig(BaseModel):
    """Strengths of the augmentation; all are off by default, as the baseline has none.

    Every operation draws its own random numbers, so two recipes with one seed that differ in one strength
    share all other draws. Units: degrees, pixels, fractions of the image.

    Examples
    --------
    >>> AugmentConfig().active
    False
    >>> AugmentConfig(degrees=10, elastic_alpha=20).active
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    degrees: float = Field(0.0, ge=0, le=180, description="Rotate by up to this many degrees either way.")
    translate: float = Field(
        0.0, ge=0, le=0.5, description="Shift by up to this fraction of width and height either way."
    )
    scale: float = Field(
        0.0, ge=0, le=0.5, description="Enlarge or shrink by a factor from 1 - scale to 1 + scale."
    )
    shear: float = Field(0.0, ge=0, le=45, description="Slant by up to this many degrees either way.")
    elastic_alpha: float = Field(
        0.0,
        ge=0,
        le=500,
        description="Factor of the smoothed displacement field, pixels (Simard et al. 2003: 34, sigma 4). "
        "Pixels move by 0.163 * alpha / sigma in the root mean square, along each axis.",
    )
    elastic_sigma: float = Field(
        4.0,
        ge=0.5,
        le=100,
        description="Smoothness of the elastic field: standard deviation of its Gaussian, pixels.",
    )
    flip: bool = Field(
        False, description="Mirror left-right with probability 1/2. For photographs; never for characters."
    )
    crop: int = Field(
        0,
        ge=0,
        le=128,
        description="Pad by this many pixels on each side, crop to the old size at a random place.",
    )
    erasing: float = Field(
        0.0, ge=0, le=1, description="Probability that a rectangle of an image is erased (Zhong et al. 2017)."
    )
    erasing_area: tuple[float, float] = Field(
        (0.02, 0.33),
        description="Smallest and largest erased share of the image's area, within 0.001 to 0.9.",
    )
    erasing_aspect: float = Field(
        0.3, ge=0.1, le=1, description="The rectangle's height/width lies between this and its reciprocal."
    )
    erasing_fill: Literal["noise", "mean"] = Field(
        "noise", description="Fill with uniform noise, or with the image's own mean in each channel."
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Blend pairs of images and labels; weight drawn from Beta(mixup, mixup).",
    )
    custom: tuple[CustomOperation, ...] = Field(
        (),
        exclude_if=lambda value: not value,  # files stay those of versions without it
        description="Your own operations, module:name or {name, options}, in this order before mixup.",
    )
    border: Border = Field(
        "edge",
        description="What lies beyond the edge of an image: its edge pixels repeated (any plain background), "
        "zeros (black), or its mirror image (photographs).",
    )

    @field_validator("custom", mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        """Let a name stand for an operation without options, and one operation for a list of one."""
        several = value if isinstance(value, list | tuple) else [value]
        return [{"name": one} if isinstance(one, str) else one for one in several]

    @model_validator(mode="after")
    def _area_is_a_range(self) -> Self:
        low, high = self.erasing_area
        if not 0.001 <= low <= high <= 0.9:
            raise ValueError(
                f"erasing_area [{low}, {high}] is impossible: need 0.001 <= smallest <= largest <= 0.9"
            )
        return self

    @property
    def active(self) -> bool:
        """Whether anything is changed at all: a strength is a field that is off, 0 or empty by default."""
        fields = type(self).model_fields.items()
        return any(getattr(self, key) for key, field in fields if not field.default)
