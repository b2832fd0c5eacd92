"""The whole augmentation as a function of images, labels, config, seed and step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convtrials.core.custom import call
from convtrials.core.errors import RecipeError
from convtrials.core.streams import stream_seed
from convtrials.data.augmentation.config import AugmentConfig, CustomOperation
from convtrials.data.augmentation.jitter import color_jitter
from convtrials.data.augmentation.mixing import mix
from convtrials.data.augmentation.noise import gaussian_blur, gaussian_noise
from convtrials.data.augmentation.operations import erase, flip, random_crop
from convtrials.data.augmentation.perspective import composed, draw_perspective
from convtrials.data.augmentation.policies import randaugment, trivialaugment
from convtrials.data.augmentation.warp import AffineRange, draw_affine, draw_elastic, warp
from convtrials.data.batches import as_channels_last


@dataclass(frozen=True)
class AugmentedBatch:
    """Images ready to be normalised, and the labels to learn from them.

    Attributes
    ----------
    images : Tensor of float32, shape (B, C, H, W)
        Pixel values from 0 to 1, channels_last.
    labels : Tensor of int64, shape (B,)
        The images' own labels.
    mixed_labels : Tensor of int64, shape (B,), or None
        Labels of the images blended in by mixup or pasted in by CutMix; None without both.
    lam : float
        Weight of `labels` in the loss; ``1 - lam`` belongs to `mixed_labels`.
    """

    images: Tensor
    labels: Tensor
    mixed_labels: Tensor | None = None
    lam: float = 1.0

    def part(self, where: slice) -> "AugmentedBatch":
        """Return a micro-batch: the images and labels at these places, without copying."""
        mixed = None if self.mixed_labels is None else self.mixed_labels[where]
        return AugmentedBatch(self.images[where], self.labels[where], mixed, self.lam)


def augmented(images: Tensor, labels: Tensor, config: AugmentConfig, seed: int, step: int) -> AugmentedBatch:
    """Flip, crop, warp, recolour, blur, erase and so on (`OPERATIONS`), and mix a whole group of images.

    Call it on the whole group of a step and cut micro-batches afterwards (`AugmentedBatch.part`): the size of
    the micro-batches then changes nothing.

    Parameters
    ----------
    images : Tensor of float32, shape (B, C, H, W)
        Pixel values from 0 to 1, not yet normalised (see ``Batches.raw``), on any device.
    labels : Tensor of int64, shape (B,)
        On the same device.
    config : AugmentConfig
        The strengths.
    seed, step : int
        The run's seed and the optimizer step, counted from the start of training. Each operation has its own
        stream of (seed, step); an image's draws depend on its place in the group alone (the partners of mixup and
        CutMix also on the size of the group).

    Returns
    -------
    AugmentedBatch
        With `images` and `labels` themselves where the config is not active.

    Raises
    ------
    DataError
        If the crop's padding does not fit the images.
    """
    if not config.active:
        return AugmentedBatch(images, labels)

    def draws(operation: str) -> torch.Generator:
        """On the CPU whatever the device, so that a GPU sees the same draws."""
        return torch.Generator().manual_seed(stream_seed(seed, f"augment/{operation}", step))

    for operation in OPERATIONS:
        images = operation(images, config, draws)
    mixed = mix(images, labels, config, draws)
    if mixed is None:
        return AugmentedBatch(as_channels_last(images), labels)
    images, partner_labels, lam = mixed
    return AugmentedBatch(as_channels_last(images), labels, partner_labels, lam)


#: Gives the generator of an operation by its name; each name has a stream of its own.
Draws = Callable[[str], torch.Generator]


def _flipped(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    return flip(images, generator=draws("flip")) if config.flip else images


def _cropped(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    if not config.crop:
        return images
    return random_crop(images, config.crop, config.border, generator=draws("crop"))


def _warped(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Affine, perspective and elastic, in one interpolation."""
    height, width = images.shape[-2:]
    limits = AffineRange(config.degrees, config.translate, config.scale, config.shear)
    matrices = field = None
    if not limits.identity:
        matrices = draw_affine(len(images), (height, width), limits, draws("affine"))
    if config.perspective:
        seen = draw_perspective(len(images), (height, width), config.perspective, draws("perspective"))
        matrices = composed(matrices, seen)
    if config.elastic_alpha:
        alpha, sigma = config.elastic_alpha, config.elastic_sigma
        field = draw_elastic(len(images), (height, width), alpha, sigma, draws("elastic"), images.device)
    return warp(images, matrices, field, config.border)


def _randaugmented(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    policy = config.randaugment
    if policy is None:
        return images
    return randaugment(images, policy.operations, policy.magnitude, policy.levels, config.border, draws=draws)


def _trivialaugmented(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    if not config.trivialaugment:
        return images
    return trivialaugment(images, config.border, generator=draws("trivialaugment"))


def _jittered(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    if config.color_jitter is None:
        return images
    generator, order = draws("color_jitter"), draws("color_jitter-order")
    return color_jitter(images, config.color_jitter, generator=generator, order=order)


def _blurred(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    return gaussian_blur(images, config.blur, generator=draws("blur")) if config.blur else images


def _noisy(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    return gaussian_noise(images, config.noise, generator=draws("noise")) if config.noise else images


def _erased(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    if not config.erasing:
        return images
    if config.erasing_fill == "mean":
        fill = images.mean(dim=(2, 3), keepdim=True)
    else:
        # A stream of its own, so that both fills erase the same rectangles.
        fill = torch.rand(images.shape, generator=draws("erasing-noise")).to(images.device)
    return erase(
        images,
        config.erasing,
        config.erasing_area,
        config.erasing_aspect,
        fill=fill,
        generator=draws("erasing"),
    )


def _custom(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Your own operations, in the order of the recipe."""
    for place, operation in enumerate(config.custom):
        # By its name, so that another operation in the list changes no draw of this one.
        again = sum(one.name == operation.name for one in config.custom[:place])
        images = _own(images, operation, draws(f"{operation.name}/{again}" if again else operation.name))
    return images


def _own(images: Tensor, operation: CustomOperation, generator: torch.Generator) -> Tensor:
    key = f"augment.custom {operation.name}"
    made = call(key, operation.name, "images, generator", images, generator, **operation.options)
    if not isinstance(made, Tensor) or made.shape != images.shape or made.dtype != images.dtype:
        got = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise RecipeError(f"{key}: gives {got} for images of {images.dtype} {tuple(images.shape)}")
    return made


#: What is done to images, in this order; each leaves them as they are where the recipe has it off. Mixup and
#: CutMix, which change labels too, come last.
OPERATIONS: tuple[Callable[[Tensor, AugmentConfig, Draws], Tensor], ...] = (
    _flipped,
    _cropped,
    _warped,
    _randaugmented,
    _trivialaugmented,
    _jittered,
    _blurred,
    _noisy,
    _erased,
    _custom,
)


def try_custom(config: AugmentConfig, image_shape: tuple[int, int, int]) -> None:
    """See that your own operations work on images of a shape (H, W, C), and draw from the generator they get alone.

    Raises
    ------
    RecipeError
    """
    height, width, channels = image_shape
    drawn = torch.Generator().manual_seed(0)
    images = as_channels_last(torch.rand((16, channels, height, width), generator=drawn))
    for operation in config.custom:
        one, other = (_own(images.clone(), operation, torch.Generator().manual_seed(1)) for _ in range(2))
        if not torch.equal(one, other):
            raise RecipeError(
                f"augment.custom {operation.name}: gives other images when called again; "
                "every random number must come from the generator that it is given, or a resumed run would differ"
            )
