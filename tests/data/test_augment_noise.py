"""Noise, blur, colour jitter and perspective against distributions, SciPy and geometry."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from convtrials.data.augmentation import AugmentConfig, photometric
from convtrials.data.augmentation.config import ColorJitter
from convtrials.data.augmentation.jitter import color_jitter
from convtrials.data.augmentation.noise import gaussian_blur, gaussian_noise
from convtrials.data.augmentation.perspective import composed, draw_perspective, homographies
from convtrials.data.augmentation.pipeline import augmented
from convtrials.data.augmentation.warp import affine_matrices, warp


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 4, channels: int = 3, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.rand((count, channels, height, width), generator=generator(99))


# --- noise


def test_noise_is_normal_independent_and_of_the_asked_size() -> None:
    images = torch.full((40, 3, 15, 17), 0.5)
    made = (gaussian_noise(images, 0.05, generator=generator()) - 0.5).double().numpy() / 0.05
    assert stats.kstest(made.reshape(-1), stats.norm.cdf).pvalue > 1e-4
    assert made.std() == pytest.approx(1, abs=0.02)
    for axis in range(4):
        one, next_ = np.moveaxis(made, axis, 0)[:-1], np.moveaxis(made, axis, 0)[1:]
        assert abs(stats.pearsonr(one.reshape(-1), next_.reshape(-1)).statistic) < 0.05
    # The two values of a pair of Box and Muller are half an image apart in memory.
    flat = made.transpose(0, 2, 3, 1).reshape(40, -1)
    half = (flat.shape[1] + 1) // 2
    assert (
        abs(stats.pearsonr(flat[:, : flat.shape[1] - half].reshape(-1), flat[:, half:].reshape(-1)).statistic)
        < 0.05
    )
    squares = flat[:, : flat.shape[1] - half] ** 2, flat[:, half:] ** 2
    assert abs(stats.pearsonr(squares[0].reshape(-1), squares[1].reshape(-1)).statistic) < 0.05


def test_noise_is_cut_off_at_black_and_white_and_its_strength_scales_the_same_draws() -> None:
    grey = torch.full((3, 1, 9, 7), 0.5)
    weak, strong = (gaussian_noise(grey, size, generator=generator()) - 0.5 for size in (0.01, 0.02))
    torch.testing.assert_close(2 * weak, strong, atol=1e-6, rtol=0)
    made = gaussian_noise(
        torch.stack([torch.zeros(1, 20, 20), torch.ones(1, 20, 20)]), 0.2, generator=generator()
    )
    assert made.min() == 0
    assert made.max() == 1
    assert 0.4 < (made == torch.tensor([0.0, 1.0])[:, None, None, None]).double().mean() < 0.6
    assert gaussian_noise(grey, 0.0, generator=generator()) is grey


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 5, 7), (1, 28, 28)])
def test_noise_of_an_image_depends_on_its_place_alone(shape: tuple[int, int, int]) -> None:
    images = torch.full((7, *shape), 0.5)
    whole = gaussian_noise(images, 0.1, generator=generator())
    assert torch.equal(whole[:3], gaussian_noise(images[:3], 0.1, generator=generator()))


# --- blur


@pytest.mark.parametrize("largest", [0.5, 2.0, 6.0])
def test_blur_equals_scipys_gaussian_of_the_pixels_inside(largest: float) -> None:
    images = some_images(5, height=17, width=23)
    sigmas = torch.rand(5, generator=generator(7)).double().numpy() * largest
    made = gaussian_blur(images, largest, generator=generator(7))
    for image, sigma, result in zip(images.double().numpy(), sigmas, made.numpy(), strict=True):
        options = {"axes": (1, 2), "mode": "constant", "radius": 40}
        weights = ndimage.gaussian_filter(np.ones_like(image), sigma, **options)
        expected = ndimage.gaussian_filter(image, sigma, **options) / weights
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_widths_of_the_blur_are_uniform_and_plain_images_stay_plain() -> None:
    points = torch.zeros((800, 1, 41, 1))
    points[:, :, 20] = 1
    made = gaussian_blur(points, 3.0, generator=generator())[:, 0, :, 0].double()
    variance = (made * (torch.arange(41) - 20.0).square()).sum(1)
    wide = variance.sqrt().numpy()
    assert wide.max() <= 3 + 1e-3
    wide = wide[wide > 0.7]  # narrower ones fall between pixels
    assert stats.kstest(wide, stats.uniform(0.7, 2.3).cdf).pvalue > 1e-4
    plain = torch.full((4, 3, 9, 8), 0.3)
    torch.testing.assert_close(gaussian_blur(plain, 5.0, generator=generator()), plain)
    assert gaussian_blur(plain, 0.0, generator=generator()) is plain


# --- colour jitter


def test_jitter_factors_are_uniform_within_their_limits() -> None:
    images = torch.full((1500, 3, 2, 2), 0.4)
    made = color_jitter(images, ColorJitter(brightness=0.6), generator=generator(), order=generator())
    factors = (made[:, 0, 0, 0] / 0.4).double().numpy()
    assert stats.kstest(factors, stats.uniform(0.4, 1.2).cdf).pvalue > 1e-4
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(1500, 3, 1, 1)
    made = color_jitter(red, ColorJitter(hue=0.1), generator=generator(), order=generator())[:, :, 0, 0]
    turns = ((made[:, 1] - made[:, 2]) / 6).double().numpy()  # green up to a tenth, or blue
    assert stats.kstest(turns, stats.uniform(-0.1, 0.2).cdf).pvalue > 1e-4


def test_jitter_is_its_four_changes_in_every_order() -> None:
    images, limits = some_images(6), ColorJitter(brightness=0.4, contrast=0.5, saturation=0.6, hue=0.2)
    either_way = torch.rand((6, 4), generator=generator(3)).double() * 2 - 1
    amounts = [1 + either_way[:, i] * (0.4, 0.5, 0.6)[i] for i in range(3)] + [either_way[:, 3] * 0.2]
    changes = [photometric.brightness, photometric.contrast, photometric.saturation, photometric.hue]
    seen: dict[tuple[int, ...], int] = dict.fromkeys(itertools.permutations(range(4)), 0)
    results = {}
    for order in seen:
        result = images
        for place in order:
            result = changes[place](result, amounts[place])
        results[order] = result
    for seed in range(480):
        made = color_jitter(images, limits, generator=generator(3), order=generator(seed))
        which = min(results, key=lambda order: float((results[order] - made).abs().max()))
        assert torch.equal(results[which], made)
        seen[which] += 1
    assert stats.chisquare(list(seen.values())).pvalue > 1e-4


def test_recipes_that_share_a_change_of_colour_share_its_draws() -> None:
    grey = torch.full((20, 3, 4, 4), 0.5)
    labels = torch.zeros(20, dtype=torch.int64)
    weak, strong, more = (
        augmented(grey, labels, AugmentConfig(color_jitter=section), 0, 0).images
        for section in ({"brightness": 0.2}, {"brightness": 0.4}, {"brightness": 0.2, "hue": 0.3})
    )
    torch.testing.assert_close(strong - 0.5, 2 * (weak - 0.5), atol=1e-6, rtol=0)
    torch.testing.assert_close(more, weak, atol=1e-6, rtol=0)  # grey has no hue


# --- perspective


def corners_of(size: tuple[int, int]) -> torch.Tensor:
    x, y = size[1] / 2, size[0] / 2
    return torch.tensor([[-x, -y], [x, -y], [x, y], [-x, y]], dtype=torch.float64)


def mapped(matrices: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    homogeneous = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1) @ matrices.mT
    return homogeneous[..., :2] / homogeneous[..., 2:]


def test_corners_move_inwards_uniformly() -> None:
    size, distortion = (20, 40), 0.5
    matrices = draw_perspective(1500, size, distortion, generator())
    corners = corners_of(size)
    seen = mapped(torch.linalg.inv(matrices), corners.expand(1500, 4, 2))
    share = (1 - seen / corners) / distortion
    assert share.min() >= -1e-9
    assert share.max() <= 1 + 1e-9
    for corner, axis in itertools.product(range(4), range(2)):
        assert stats.kstest(share[:, corner, axis].numpy(), stats.uniform.cdf).pvalue > 1e-4
    assert np.abs(np.corrcoef(share.flatten(1).numpy().T) - np.eye(8)).max() < 0.12
    weak = draw_perspective(1500, size, 0.25, generator())
    share_of_weak = 1 - mapped(torch.linalg.inv(weak), corners.expand(1500, 4, 2)) / corners
    torch.testing.assert_close(2 * share_of_weak, distortion * share)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.floats(0, 0.6))
def test_no_perspective_folds_the_image(shares: list[float], distortion: float) -> None:
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    moved = corners * (1 - distortion * torch.tensor(shares, dtype=torch.float64).view(4, 2))
    (matrix,) = homographies(moved[None], corners[None])
    torch.testing.assert_close(mapped(matrix, moved), corners, atol=1e-7, rtol=0)
    # Positive at the corners that are seen: no horizon runs through the image.
    assert (torch.cat([moved, torch.ones(4, 1)], dim=1) @ matrix[2]).min() > 0


def test_perspective_reads_each_pixel_at_its_place_also_after_affine() -> None:
    images = some_images(3, height=15, width=18)
    perspective = draw_perspective(3, (15, 18), 0.5, generator())
    affine = affine_matrices(
        torch.tensor([20.0, -5.0, 0.0]),
        torch.tensor([[1.0, 2.0], [0.0, 0.0], [-3.0, 1.0]]),
        torch.tensor([1.1, 0.9, 1.0]),
        torch.tensor([0.0, 10.0, 0.0]),
    )
    rows, columns = np.mgrid[:15, :18]
    places = torch.from_numpy(np.stack([columns - 8.5, rows - 7.0], axis=2))
    for matrices in (None, affine):
        made = warp(images, composed(matrices, perspective), None)
        for number in range(3):
            source = mapped(perspective[number], places)
            if matrices is not None:
                source = source @ matrices[number, :, :2].T + matrices[number, :, 2]
            at = [source[..., 1].numpy() + 7.0, source[..., 0].numpy() + 8.5]
            for channel in range(3):
                expected = ndimage.map_coordinates(
                    images[number, channel].double(), at, order=1, mode="nearest"
                )
                np.testing.assert_allclose(made[number, channel].numpy(), expected, atol=1e-4)


def test_affine_perspective_and_elastic_share_one_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = []
    original = torch.nn.functional.grid_sample

    def counting(*args: object, **kwargs: object) -> torch.Tensor:
        sampled.append(1)
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "grid_sample", counting)
    augmented(
        some_images(), torch.arange(4), AugmentConfig(degrees=20, elastic_alpha=15, perspective=0.4), 1, 2
    )
    assert len(sampled) == 1
