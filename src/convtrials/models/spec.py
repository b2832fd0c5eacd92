"""What a model is built from: sizes that the dataset gives, knobs that the recipe sets."""

import math
from dataclasses import dataclass
from typing import Any

from convtrials.core.errors import RecipeError
from convtrials.models.activations import activation_name

#: The largest multiplier of widths, and the largest hidden width of the classifier.
LARGEST_WIDTH, LARGEST_CLASSIFIER = 16, 65_536

#: Images with both sides up to this many pixels get the layers for small inputs.
SMALL_IMAGE = 64


@dataclass(frozen=True)
class ModelSpec:
    """Sizes and knobs of one model, checked and normalised.

    Attributes
    ----------
    classes : int
        Number of logits, 2 to 1,000,000.
    channels : int
        Channels of the input, 1 to 1,024.
    image_size : tuple of int
        (height, width) in pixels, each 1 to 8,192.
    width : float
        Multiplies convolution channels and hidden classifier widths, above 0 and up to 16.
    dropout : float
        Probability to drop a value before a hidden classifier layer, in [0, 1).
    activation : str
        One of `convtrials.models.activations.ACTIVATIONS`, in any usual spelling.
    batch_norm : bool
        Batch normalisation between each convolution and its activation.
    classifier_width : int or None
        Takes the place of the first hidden width of the classifier, 1 to 65,536; `width` does not scale it.

    Raises
    ------
    RecipeError
        If a value is impossible.
    """

    classes: int
    channels: int
    image_size: tuple[int, int]
    width: float = 1.0
    dropout: float = 0.5
    activation: str = "relu"
    batch_norm: bool = False
    classifier_width: int | None = None

    def __post_init__(self) -> None:
        size: Any = self.image_size
        if not isinstance(size, tuple | list) or len(size) != 2:
            raise RecipeError(f"image_size: {size!r} is impossible; allowed: pixels, or (height, width)")
        whole = [_whole("image_size", side, 1, 8192) for side in size]
        object.__setattr__(self, "image_size", tuple(whole))
        object.__setattr__(self, "classes", _whole("classes", self.classes, 2, 1_000_000))
        object.__setattr__(self, "channels", _whole("channels", self.channels, 1, 1024))
        if not _is_number(self.width) or not 0 < self.width <= LARGEST_WIDTH:
            raise RecipeError(f"width: {self.width!r} is impossible; allowed: above 0, up to {LARGEST_WIDTH}")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise RecipeError(
                f"dropout: {self.dropout!r} is impossible; allowed: 0 up to, but not including, 1"
            )
        object.__setattr__(self, "activation", activation_name(self.activation))
        if not isinstance(self.batch_norm, bool):
            raise RecipeError(f"batch_norm: {self.batch_norm!r} is impossible; allowed: true, false")
        if self.classifier_width is not None:
            _whole("classifier_width", self.classifier_width, 1, LARGEST_CLASSIFIER)

    @property
    def small(self) -> bool:
        """Whether the images call for the layers for small inputs."""
        return max(self.image_size) <= SMALL_IMAGE

    def scaled(self, full: int) -> int:
        """Return a layer's width: `full` times the multiplier, to the nearest multiple of 8, at least 8.

        Multiples of 8 suit vector units and divide by the two groups of the original AlexNet.
        """
        return max(8, 8 * math.floor(full * self.width / 8 + 0.5))


def _whole(key: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not low <= value <= high:
        raise RecipeError(f"{key}: {value!r} is impossible; allowed: a whole number, {low} to {high}")
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
