"""RandAugment and TrivialAugment: each image gets operations drawn from a fixed list, a whole batch at a time.

The list, its order and its ranges are those of torchvision, which has both. Differences: shear and rotation are
interpolated bilinearly (there: the nearest pixel), and what lies beyond the edge is the recipe's ``border``
(there: black).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convtrials.data.augmentation import photometric
from convtrials.data.augmentation.config import Border
from convtrials.data.augmentation.warp import affine_matrices, warp

#: What an image may get, each equally likely. Grey images have no colour, so they get one of the others.
OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)

_PLACES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")

_VALUES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": photometric.brightness,
    "color": photometric.saturation,
    "contrast": photometric.contrast,
    "sharpness": photometric.sharpness,
    "posterize": photometric.posterize,
    "solarize": photometric.solarize,
    "autocontrast": photometric.autocontrast,
    "equalize": photometric.equalize,
}


@dataclass(frozen=True)
class Ranges:
    """The amounts at full strength.

    Attributes
    ----------
    shear : float
        Pixels to the side for each pixel from the corner.
    translate : (float, float)
        Pixels across and down.
    degrees : float
    enhance : float
        Largest distance from 1 of the factors of brightness, colour, contrast and sharpness.
    bits : int
        Bits that posterize drops, of eight.
    """

    shear: float
    translate: tuple[float, float]
    degrees: float
    enhance: float
    bits: int


def randaugment_ranges(size: tuple[int, int]) -> Ranges:
    """Return RandAugment's ranges for images of a size (H, W): AutoAugment's, made for 331 pixels."""
    return Ranges(0.3, (150 / 331 * size[1], 150 / 331 * size[0]), 30.0, 0.9, 4)


#: TrivialAugment's wide ranges; 32 pixels whatever the size of the image.
TRIVIALAUGMENT_RANGES = Ranges(0.99, (32.0, 32.0), 135.0, 0.99, 6)

#: Levels that TrivialAugment draws a strength from: 0 to 30.
TRIVIALAUGMENT_LEVELS = 30


def randaugment(
    images: Tensor,
    operations: int = 2,
    magnitude: int = 9,
    levels: int = 30,
    border: Border = "edge",
    *,
    draws: Callable[[str], torch.Generator],
) -> Tensor:
    """Apply drawn operations of one strength to each image (Cubuk et al., arXiv 1909.13719).

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        Values from 0 to 1, one or three channels, on any device.
    operations : int
        How many for each image, one after another; drawn with replacement.
    magnitude, levels : int
        Strength, from 0 to `levels`, at which shear is 0.3, rotation 30 degrees and so on. torchvision has 30 levels;
        the paper counts to 10, so its magnitude 9 is 27 here.
    border : {"edge", "zeros", "reflect"}
        What lies beyond the edge.
    draws : callable
        Gives the generator on the CPU for ``randaugment/0`` and so on, one for each round of operations; it gives
        two numbers per image. So recipes with other magnitudes, or more operations, share the draws.

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
    """
    height, width = images.shape[-2:]
    ranges = randaugment_ranges((height, width))
    for round_ in range(operations):
        operation, sign = torch.rand((len(images), 2), generator=draws(f"randaugment/{round_}")).unbind(1)
        level = torch.full((len(images),), float(magnitude), dtype=torch.float64)
        images = _applied(images, operation, level, sign, levels, ranges, border)
    return images


def trivialaugment(images: Tensor, border: Border = "edge", *, generator: torch.Generator) -> Tensor:
    """Apply one drawn operation of a drawn strength to each image (Müller and Hutter, arXiv 2103.10158, wide).

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        Values from 0 to 1, one or three channels, on any device.
    border : {"edge", "zeros", "reflect"}
        What lies beyond the edge.
    generator : torch.Generator
        On the CPU; gives three numbers per image.

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
    """
    operation, level, sign = torch.rand((len(images), 3), generator=generator).unbind(1)
    level = _whole(level, TRIVIALAUGMENT_LEVELS + 1)
    return _applied(
        images, operation, level.double(), sign, TRIVIALAUGMENT_LEVELS, TRIVIALAUGMENT_RANGES, border
    )


def _whole(draw: Tensor, count: int) -> Tensor:
    """Turn numbers from [0, 1) into whole numbers from 0 to count - 1, equally likely."""
    return (draw.double() * count).long().clamp_(max=count - 1)


def _applied(
    images: Tensor,
    operation: Tensor,
    level: Tensor,
    sign: Tensor,
    levels: int,
    ranges: Ranges,
    border: Border,
) -> Tensor:
    """Give each image its own operation: each operation works on all images that drew it at once."""
    names = [name for name in OPERATIONS if images.shape[1] == 3 or name != "color"]
    chosen = _whole(operation, len(names))
    sign = torch.where(sign < 0.5, -1.0, 1.0).double()
    made = images.clone()

    def images_of(*wanted: str) -> Tensor:
        places = torch.tensor([names.index(name) for name in wanted])
        return torch.isin(chosen, places).nonzero().squeeze(1)

    moved = images_of(*_PLACES)
    if len(moved):
        matrices = torch.eye(2, 3, dtype=torch.float64).repeat(len(images), 1, 1)
        for name in _PLACES:
            one = images_of(name)
            amount = amounts(name, level[one], sign[one], levels, ranges)
            matrices[one] = matrices_of(name, amount, (images.shape[2], images.shape[3]))
        there = moved.to(images.device)
        made[there] = warp(images[there], matrices[moved], None, border)
    for name in names:
        if name in _VALUES and len(one := images_of(name)):
            there = one.to(images.device)
            made[there] = _VALUES[name](images[there], amounts(name, level[one], sign[one], levels, ranges))
    return made


def amounts(name: str, level: Tensor, sign: Tensor, levels: int, ranges: Ranges) -> Tensor:
    """Return what an operation does at a level, as `photometric` and `matrices_of` take it.

    Parameters
    ----------
    name : str
        One of `OPERATIONS`.
    level : Tensor of float64, shape (B,)
        From 0 to `levels`.
    sign : Tensor of float64, shape (B,)
        1 or -1; posterize, solarize, autocontrast and equalize have none.

    Returns
    -------
    Tensor of float64, shape (B,)
    """
    if name.startswith("shear"):
        return sign * (ranges.shear * level / levels)
    if name.startswith("translate"):
        pixels = ranges.translate[0 if name == "translate_x" else 1]
        return sign * (pixels * level / levels).floor()
    if name == "rotate":
        return sign * (ranges.degrees * level / levels)
    if name == "posterize":
        return 8 - (ranges.bits * level / levels).round()
    if name == "solarize":
        return 255 - 255 * level / levels
    return 1 + sign * (ranges.enhance * level / levels)


def matrices_of(name: str, amount: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the matrices, shape (B, 2, 3), by which `warp` shears, shifts or turns images of a size (H, W).

    Shear leaves the top left corner where it is, as in PIL and torchvision; rotation turns about the centre,
    counter-clockwise.
    """
    zero = torch.zeros_like(amount)
    if name == "rotate":
        return affine_matrices(amount, torch.stack([zero, zero], dim=1), zero + 1, zero)
    matrices = torch.eye(2, 3, dtype=torch.float64).repeat(len(amount), 1, 1)
    if name == "shear_x":
        matrices[:, 0, 1], matrices[:, 0, 2] = amount, amount * size[0] / 2
    elif name == "shear_y":
        matrices[:, 1, 0], matrices[:, 1, 2] = amount, amount * size[1] / 2
    else:
        matrices[:, 0 if name == "translate_x" else 1, 2] = -amount
    return matrices
