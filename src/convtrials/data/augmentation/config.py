"""The recipe's ``augment`` section: how strongly images are changed before they are learned from."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: What lies beyond the edge of an image, where a rotation or a crop looks there.
Border = Literal["edge", "zeros", "reflect"]


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
    border: Border = Field(
        "edge",
        description="What lies beyond the edge of an image: its edge pixels repeated (any plain background), "
        "zeros (black), or its mirror image (photographs).",
    )

    @model_validator(mode="after")
    def _area_is_a_range(self) -> Self:
        low, high = self.erasing_area
        if not 0.001 <= low <= high <= 0.9:
            raise ValueError(
                f"erasing_area [{low}, {high}] is impossible: need 0.001 <= smallest <= largest <= 0.9"
            )
        return self

    @property
    def warps(self) -> bool:
        """Whether images are interpolated at new places (affine or elastic)."""
        return any((self.degrees, self.translate, self.scale, self.shear, self.elastic_alpha))

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return self.warps or self.flip or any((self.crop, self.erasing, self.mixup))
