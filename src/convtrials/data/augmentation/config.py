"""The recipe's ``augment`` section: how strongly images are changed before they are learned from."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator, model_validator

from convtrials.core.custom import has_form
from convtrials.core.errors import RecipeError

#: What lies beyond the edge of an image, where a rotation or a crop looks there.
Border = Literal["edge", "zeros", "reflect"]


def _off(value: object) -> bool:
    """Whether a key that earlier versions did not have is left out of files, so that those stay as they were."""
    return not value


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


class RandAugment(BaseModel):
    """RandAugment (Cubuk et al., arXiv 1909.13719): each image gets some drawn operations, all of one strength."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operations: int = Field(2, ge=1, le=10, description="Operations drawn for each image, one after another.")
    magnitude: int = Field(9, ge=0, description="Strength of all operations, from 0 to `levels`.")
    levels: int = Field(
        30,
        ge=1,
        le=100,
        description="The magnitude of full strength: 30 as in torchvision, 10 as in the paper.",
    )

    @model_validator(mode="after")
    def _within_the_scale(self) -> Self:
        if self.magnitude > self.levels:
            raise ValueError(f"magnitude {self.magnitude} is impossible: 0 to {self.levels} (levels)")
        return self


class ColorJitter(BaseModel):
    """How far brightness, contrast, saturation and hue change; a number alone is the first three."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    brightness: float = Field(0.0, ge=0, le=1, description="Pixels times 1 - b to 1 + b.")
    contrast: float = Field(
        0.0, ge=0, le=1, description="Distance from the image's mean grey times 1 - c to 1 + c."
    )
    saturation: float = Field(
        0.0, ge=0, le=1, description="Distance from the pixel's own grey times 1 - s to 1 + s."
    )
    hue: float = Field(
        0.0, ge=0, le=0.5, description="Turned by up to this share of the colour circle either way."
    )

    @property
    def active(self) -> bool:
        """Whether anything changes."""
        return any((self.brightness, self.contrast, self.saturation, self.hue))


#: Keys of an ``augment`` section that are sections themselves.
SECTIONS = ("randaugment", "color_jitter")


def in_full(section: dict[str, Any]) -> dict[str, Any]:
    """Write out the numbers of an ``augment`` section that stand for a section of their own."""
    jitter = section.get("color_jitter")
    if jitter is True or not isinstance(jitter, int | float):
        return section
    kinds = ("brightness", "contrast", "saturation")
    return {**section, "color_jitter": dict.fromkeys(kinds, jitter) if jitter else None}


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
    perspective: float = Field(
        0.0,
        ge=0,
        le=0.6,
        exclude_if=_off,
        description="Move each corner inwards by up to this fraction of half the width and half the height.",
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
    randaugment: RandAugment | None = Field(
        None,
        exclude_if=_off,
        description="true, or {operations: 2, magnitude: 9, levels: 30} (Cubuk et al. 2020).",
    )
    trivialaugment: bool = Field(
        False,
        exclude_if=_off,
        description="One drawn operation of a drawn strength for each image (Müller and Hutter 2021, wide).",
    )
    color_jitter: ColorJitter | None = Field(
        None,
        exclude_if=_off,
        description="{brightness, contrast, saturation, hue}; a number is the first three.",
    )
    blur: float = Field(
        0.0,
        ge=0,
        le=100,
        exclude_if=_off,
        description="Gaussian blur: its standard deviation is drawn from 0 to this many pixels.",
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=1,
        exclude_if=_off,
        description="Gaussian noise of this standard deviation, as a fraction of white; cut off at black and white.",
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
    cutmix: float = Field(
        0.0,
        ge=0,
        le=10,
        exclude_if=_off,
        description="Paste a rectangle of another image and share the labels by area; the area is drawn from "
        "Beta(cutmix, cutmix). With mixup, one of the two is drawn for each step, 1:1.",
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

    @field_validator("randaugment", mode="before")
    @classmethod
    def _on_or_off(cls, value: Any) -> Any:
        """Let true stand for the defaults, and false for none."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @field_validator("color_jitter", mode="before")
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        """Let a number stand for brightness, contrast and saturation, and 0 or false for none."""
        if value is True:
            raise ValueError("must be a number such as 0.4, or {brightness, contrast, saturation, hue}")
        return in_full({"color_jitter": value})["color_jitter"]

    @field_validator("color_jitter")
    @classmethod
    def _none_if_it_changes_nothing(cls, value: ColorJitter | None) -> ColorJitter | None:
        return value if value is not None and value.active else None

    @field_validator("trivialaugment")
    @classmethod
    def _one_policy(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("randaugment"):
            raise ValueError("randaugment is on too, and both draw the same operations; switch one off")
        return value

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

    def check_images(self, shape: tuple[int, int, int]) -> None:
        """Refuse images that an operation is not made for.

        Parameters
        ----------
        shape : tuple of int
            (H, W, C).

        Raises
        ------
        RecipeError
        """
        jitter = self.color_jitter
        if jitter is None or shape[2] == 3:
            return
        for key in ("saturation", "hue"):
            if getattr(jitter, key):
                raise RecipeError(
                    f"augment.color_jitter.{key} = {getattr(jitter, key):g}: needs images in colour, these are grey; "
                    "allowed: {brightness, contrast}"
                )
