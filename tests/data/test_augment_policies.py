"""RandAugment and TrivialAugment: which operation, how strongly and which way, against the papers' tables.

Every image that comes out must equal one that the tables allow, made independently in float64 by NumPy, SciPy and
PIL; how often each appears is then compared with its probability.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage, stats

from convtrials.data.augmentation import AugmentConfig
from convtrials.data.augmentation.pipeline import augmented
from convtrials.data.augmentation.policies import randaugment, trivialaugment

SIZE = (12, 14)
Array = NDArray[np.float64]


def draws_of(seed: int):  # type: ignore[no-untyped-def]
    return lambda name: torch.Generator().manual_seed(seed * 1000 + sum(map(ord, name)))


def pixels(channels: int) -> NDArray[np.uint8]:
    smooth = ndimage.gaussian_filter(np.random.default_rng(8).normal(size=(channels, *SIZE)), (0, 1, 1))
    return np.clip(smooth * 160 + 128, 5, 250).astype(np.uint8)


# --- the tables, written out once more


@dataclass(frozen=True)
class Table:
    """Largest amounts, and the levels that they are reached in."""

    shear: float
    translate: tuple[float, float]
    degrees: float
    enhance: float
    bits: int
    levels: int


RAND = Table(0.3, (150 / 331 * SIZE[1], 150 / 331 * SIZE[0]), 30, 0.9, 4, 30)
WIDE = Table(0.99, (32, 32), 135, 0.99, 6, 30)


def moved(image: Array, matrix: list[list[float]]) -> Array:
    """PIL's affine transform, from output to source in (x, y) from the top left corner of the image, bilinear."""
    (a, b, c), (d, e, f) = matrix
    inverse, shift = np.array([[e, d], [b, a]]), np.array([f, c])  # SciPy counts (row, column)
    offset = inverse @ [0.5, 0.5] + shift - 0.5  # pixels have their centres at halves
    return np.stack(
        [ndimage.affine_transform(one, inverse, offset, order=1, mode="nearest") for one in image]
    )


def turned(image: Array, degrees: float) -> Array:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = SIZE[1] / 2, SIZE[0] / 2
    return moved(image, [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


def by_pil(image: Array, change: str, *arguments: float) -> Array:
    eight = np.rint(image * 255).astype(np.uint8)
    made = [np.asarray(getattr(ImageOps, change)(Image.fromarray(one), *arguments)) for one in eight]
    return np.stack(made) / 255


def blended(image: Array, other: Array | float, factor: float) -> Array:
    return np.clip(factor * image + (1 - factor) * other, 0, 1)


def luma(image: Array) -> Array:
    return image if len(image) == 1 else np.tensordot([0.299, 0.587, 0.114], image, axes=1)[None]


def smoothed(image: Array) -> Array:
    kernel, result = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13, image.copy()
    for place, one in enumerate(image):
        result[place, 1:-1, 1:-1] = ndimage.convolve(one, kernel)[1:-1, 1:-1]
    return result


def outcomes(image: Array, table: Table, level: int) -> dict[str, list[Array]]:
    """All results of each operation at a level: two where the sign is drawn."""
    share = level / table.levels
    across, down = (int(pixels * level / table.levels) for pixels in table.translate)
    shear = table.shear * share
    low, high = image.min((1, 2), keepdims=True), image.max((1, 2), keepdims=True)
    results: dict[str, list[Array]] = {
        "identity": [image],
        "shear_x": [moved(image, [[1, sign * shear, 0], [0, 1, 0]]) for sign in (1, -1)],
        "shear_y": [moved(image, [[1, 0, 0], [sign * shear, 1, 0]]) for sign in (1, -1)],
        "translate_x": [moved(image, [[1, 0, -sign * across], [0, 1, 0]]) for sign in (1, -1)],
        "translate_y": [moved(image, [[1, 0, 0], [0, 1, -sign * down]]) for sign in (1, -1)],
        "rotate": [turned(image, sign * table.degrees * share) for sign in (1, -1)],
        "posterize": [by_pil(image, "posterize", 8 - round(table.bits * share))],
        "solarize": [by_pil(image, "solarize", 255 - 255 * share)],
        "autocontrast": [(image - low) / (high - low)],
        "equalize": [by_pil(image, "equalize")],
    }
    others = {
        "brightness": np.zeros_like(image),
        "contrast": np.full_like(image, luma(image).mean()),
        "sharpness": smoothed(image),
    }
    if len(image) == 3:
        others["color"] = np.broadcast_to(luma(image), image.shape)
    for name, other in others.items():
        results[name] = [blended(image, other, 1 + sign * table.enhance * share) for sign in (1, -1)]
    return results


def expected(image: Array, table: Table, levels: list[int]) -> tuple[Array, Array]:
    """Different results (N, ...) and their probabilities (N,): equal ones count as one."""
    found: list[tuple[Array, float]] = []
    for level in levels:
        each = outcomes(image, table, level)
        assert len(each) == (14 if len(image) == 3 else 13)
        for results in each.values():
            for result in results:
                probability = 1 / len(levels) / len(each) / len(results)
                same = next(
                    (i for i, (one, _) in enumerate(found) if np.abs(one - result).max() < 1e-3), None
                )
                if same is None:
                    found.append((result, probability))
                else:
                    found[same] = (found[same][0], found[same][1] + probability)
    return np.stack([one for one, _ in found]), np.array([one for _, one in found])


def counted(made: torch.Tensor, results: Array) -> NDArray[np.int64]:
    """How often each result is there; every image must be one of them."""
    flat = torch.from_numpy(results).flatten(1)
    distance = torch.cdist(made.double().flatten(1), flat, p=float("inf"))
    nearest, which = distance.min(1)
    assert nearest.max() < 1e-4
    return np.bincount(which.numpy(), minlength=len(results))


def check_frequencies(counts: NDArray[np.int64], probabilities: Array) -> None:
    common = probabilities * counts.sum() >= 5  # the rest together
    joined = [*counts[common], counts[~common].sum()]
    chances = [*probabilities[common], probabilities[~common].sum()]
    if chances[-1] == 0:
        joined, chances = joined[:-1], chances[:-1]
    assert stats.chisquare(joined, np.array(chances) * counts.sum()).pvalue > 1e-4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("magnitude", "seed"), [(9, 0), (30, 1), (17, 2)])
def test_randaugment_draws_every_operation_equally_often_at_its_magnitude(
    channels: int, magnitude: int, seed: int
) -> None:
    image = pixels(channels) / 255
    batch = torch.from_numpy(image).float().repeat(2600, 1, 1, 1)
    made = randaugment(batch, 1, magnitude, 30, draws=draws_of(seed))
    results, probabilities = expected(image, RAND, [magnitude])
    assert len(results) > 20 if channels == 3 else 18
    check_frequencies(counted(made, results), probabilities)


@pytest.mark.parametrize("channels", [1, 3])
def test_trivialaugment_draws_every_operation_level_and_sign_equally_often(channels: int) -> None:
    image = pixels(channels) / 255
    batch = torch.from_numpy(image).float().repeat(6000, 1, 1, 1)
    made = trivialaugment(batch, generator=torch.Generator().manual_seed(5))
    results, probabilities = expected(image, WIDE, list(range(31)))
    assert len(results) > 300
    check_frequencies(counted(made, results), probabilities)


def test_the_papers_scale_is_a_third_of_torchvisions() -> None:
    batch = torch.from_numpy(pixels(3) / 255).float().repeat(300, 1, 1, 1)
    paper = randaugment(batch, 2, 9, 10, draws=draws_of(3))
    assert torch.equal(paper, randaugment(batch, 2, 27, 30, draws=draws_of(3)))
    assert not torch.equal(paper, randaugment(batch, 2, 9, 30, draws=draws_of(3)))


def test_two_operations_follow_each_other_and_share_the_first_draw_with_one() -> None:
    image = pixels(3) / 255
    batch = torch.from_numpy(image).float().repeat(400, 1, 1, 1)
    once = randaugment(batch, 1, 12, 30, draws=draws_of(4))
    twice = randaugment(batch, 2, 12, 30, draws=draws_of(4))
    kept = (once == twice).flatten(1).all(1)  # the second was the identity, or changed nothing
    assert 8 < int(kept.sum()) < 100

    def second(name: str) -> torch.Generator:
        return draws_of(4)(name.replace("/0", "/1"))

    assert torch.equal(randaugment(once, 1, 12, 30, draws=second), twice)


def test_a_stronger_magnitude_goes_the_same_way() -> None:
    """An image that one recipe darkens, another darkens more: operation and sign are shared."""
    plain = torch.full((400, 3, 8, 8), 0.4)
    weak, strong = (randaugment(plain, 1, m, 30, draws=draws_of(6)).mean((1, 2, 3)) - 0.4 for m in (5, 15))
    brightness = (weak.abs() - 0.4 * 0.9 * 5 / 30).abs() < 1e-5
    assert 10 < int(brightness.sum()) < 60
    torch.testing.assert_close(strong[brightness], 3 * weak[brightness], atol=1e-5, rtol=0)


@pytest.mark.parametrize("border", ["edge", "zeros", "reflect"])
def test_the_border_of_the_recipe_is_that_of_the_policies(border: str) -> None:
    plain = torch.full((300, 1, 9, 9), 0.5)
    config = AugmentConfig(trivialaugment=True, border=border)
    made = augmented(plain, torch.zeros(300, dtype=torch.int64), config, 0, 0).images
    black = (made == 0).flatten(1).any(1) & (made != 0).flatten(1).any(1)
    assert bool(black.any()) == (border == "zeros")


def test_policies_leave_their_input_alone_and_stay_between_black_and_white() -> None:
    images = torch.rand((64, 3, 10, 9), generator=torch.Generator().manual_seed(0))
    before = images.clone()
    for made in (
        randaugment(images, 3, 30, 30, draws=draws_of(0)),
        trivialaugment(images, generator=torch.Generator().manual_seed(0)),
    ):
        assert torch.equal(images, before)
        assert made.shape == images.shape
        assert made.min() >= 0
        assert made.max() <= 1 + 1e-6
    assert not torch.equal(randaugment(images, 1, 9, 30, draws=draws_of(0)), images)
