"""Affine and elastic warps against rot90, padded arrays and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from convtrials.data.augmentation import AugmentConfig
from convtrials.data.augmentation.pipeline import augmented
from convtrials.data.augmentation.warp import (
    AffineRange,
    affine_matrices,
    draw_affine,
    draw_elastic,
    elastic,
    warp,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 4, channels: int = 1, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.rand((count, channels, height, width), generator=generator(99))


def matrices(
    degrees: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    factor: float = 1.0,
    slant: float = 0.0,
    count: int = 4,
) -> torch.Tensor:
    return affine_matrices(
        torch.full((count,), degrees),
        torch.tensor([shift] * count),
        torch.full((count,), factor),
        torch.full((count,), slant),
    )


# --- warp: affine


@pytest.mark.parametrize("quarter_turns", [1, 2, 3, -1])
@pytest.mark.parametrize("size", [12, 13])
def test_quarter_turns_equal_rot90(quarter_turns: int, size: int) -> None:
    images = some_images(channels=3, height=size, width=size)
    turned = warp(images, matrices(degrees=90.0 * quarter_turns), None)
    torch.testing.assert_close(turned, torch.rot90(images, quarter_turns, (2, 3)), atol=1e-5, rtol=0)


def test_half_turn_of_an_oblong_image() -> None:
    images = some_images(height=9, width=14)
    turned = warp(images, matrices(degrees=180.0), None)
    torch.testing.assert_close(turned, torch.rot90(images, 2, (2, 3)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("border", ["edge", "zeros", "reflect"])
def test_whole_pixel_shift_equals_a_padded_array(border: str) -> None:
    images = some_images(height=9, width=11)
    right, down = 3, -2
    mode = {"edge": "edge", "zeros": "constant", "reflect": "symmetric"}[border]
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)), mode=mode)
    expected = padded[:, :, 4 - down : 4 - down + 9, 4 - right : 4 - right + 11]
    shifted = warp(images, matrices(shift=(right, down)), None, border)
    np.testing.assert_allclose(shifted.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("degrees", "factor", "slant"), [(17.0, 1.0, 0.0), (0.0, 0.8, 0.0), (-30.0, 1.3, 20.0)]
)
def test_affine_equals_scipy(degrees: float, factor: float, slant: float) -> None:
    images = some_images(count=1, height=16, width=21)
    angle, lean = math.radians(degrees), math.tan(math.radians(slant))
    # Forward, x right and y down: slant, then turn counter-clockwise, then scale.
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    forward = factor * turn @ np.array([[1.0, -lean], [0.0, 1.0]])
    inverse = np.linalg.inv(forward)[::-1, ::-1]  # SciPy counts (row, column)
    centre = np.array([7.5, 10.0])
    expected = ndimage.affine_transform(
        images[0, 0].double().numpy(), inverse, offset=centre - inverse @ centre, order=1, mode="nearest"
    )
    made = warp(images, matrices(degrees, (0, 0), factor, slant, count=1), None)
    np.testing.assert_allclose(made[0, 0].numpy(), expected, atol=1e-5)


def test_drawn_affine_stays_within_its_limits_and_fills_them() -> None:
    limits = AffineRange(degrees=30, translate=0.25, scale=0.2)
    drawn = draw_affine(4000, (20, 40), limits, generator())
    linear, offset = drawn[:, :, :2], drawn[:, :, 2]
    factor = torch.linalg.det(linear).rsqrt()
    degrees = torch.rad2deg(torch.atan2(linear[:, 1, 0], linear[:, 0, 0]))
    shift = -(torch.linalg.inv(linear) @ offset[:, :, None])[:, :, 0]
    for values, centre, reach in [
        (degrees, 0, 30),
        (factor, 1, 0.2),
        (shift[:, 0], 0, 10),
        (shift[:, 1], 0, 5),
    ]:
        share = ((values - centre) / reach).numpy()
        assert np.abs(share).max() <= 1 + 1e-9
        assert stats.kstest(share, stats.uniform(-1, 2).cdf).pvalue > 1e-4


def test_strengths_scale_the_same_draws() -> None:
    weak = draw_affine(8, (28, 28), AffineRange(degrees=5, translate=0.1), generator())
    strong = draw_affine(8, (28, 28), AffineRange(degrees=10, translate=0.1), generator())

    def angle(drawn: torch.Tensor) -> torch.Tensor:
        return torch.atan2(drawn[:, 1, 0], drawn[:, 0, 0])

    def shift(drawn: torch.Tensor) -> torch.Tensor:
        return torch.linalg.solve(drawn[:, :, :2], drawn[:, :, 2])

    torch.testing.assert_close(2 * angle(weak), angle(strong))
    torch.testing.assert_close(shift(weak), shift(strong))


# --- warp: elastic


@pytest.mark.parametrize("sigma", [0.7, 2.0, 4.0, 9.0])
def test_elastic_field_equals_scipys_gaussian(sigma: float) -> None:
    size, alpha = (24, 31), 30.0
    noise = torch.rand((2, 2, *size), generator=generator(5)).double().numpy() * 2 - 1
    expected = alpha * ndimage.gaussian_filter(noise, sigma, axes=(2, 3), mode="wrap", truncate=4.0)
    field = draw_elastic(2, size, alpha, sigma, generator(5))
    np.testing.assert_allclose(field.numpy(), expected, atol=1e-5 * alpha)


def test_elastic_displacement_has_the_documented_size() -> None:
    alpha, sigma = 34.0, 3.0
    field = draw_elastic(400, (28, 28), alpha, sigma, generator()).double()
    expected = alpha / (2 * sigma * math.sqrt(3 * math.pi))
    assert field.square().mean().sqrt().item() == pytest.approx(expected, rel=0.03)
    at_corner = field[:, :, 0, 0].square().mean().sqrt().item()
    assert at_corner == pytest.approx(expected, rel=0.15)
    assert abs(field.mean().item()) < 0.05 * expected
    step = field.diff(dim=3).square().mean().sqrt().item()
    # A Gaussian field of this smoothness has derivatives of rms / (sigma sqrt 2).
    assert step == pytest.approx(expected / (sigma * math.sqrt(2)), rel=0.05)


def test_elastic_reads_each_pixel_at_its_displaced_place() -> None:
    images = some_images(count=2, height=15, width=18)
    field = draw_elastic(2, (15, 18), 20.0, 3.0, generator())
    rows, columns = np.mgrid[:15, :18]
    made = elastic(images, 20.0, 3.0, generator=generator())
    for image, moved, result in zip(
        images.double().numpy(), field.double().numpy(), made.numpy(), strict=True
    ):
        places = [rows + moved[1], columns + moved[0]]
        expected = ndimage.map_coordinates(image[0], places, order=1, mode="nearest")
        np.testing.assert_allclose(result[0], expected, atol=1e-4)


def test_half_a_pixel_there_and_back_blurs_nothing() -> None:
    images = some_images(count=4, channels=3)
    there, back = matrices(shift=(0.5, 0.0)), torch.zeros((4, 2, 12, 12))
    back[:, 0] = 0.5
    torch.testing.assert_close(warp(images, there, back), images, atol=1e-5, rtol=0)


def test_affine_and_elastic_share_one_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = []
    original = torch.nn.functional.grid_sample

    def counting(*args: object, **kwargs: object) -> torch.Tensor:
        sampled.append(1)
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "grid_sample", counting)
    images, labels = some_images(), torch.arange(4)
    both = augmented(images, labels, AugmentConfig(degrees=20, elastic_alpha=15), 1, 2).images
    assert len(sampled) == 1
    for alone in (AugmentConfig(degrees=20), AugmentConfig(elastic_alpha=15)):
        assert not torch.equal(both, augmented(images, labels, alone, 1, 2).images)
