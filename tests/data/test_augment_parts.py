"""Flip, crop, erasing and mixup against padded arrays, closed forms and distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convtrials.core.errors import DataError
from convtrials.data.augmentation import AugmentConfig
from convtrials.data.augmentation.operations import erase, flip, mixup, random_crop
from convtrials.data.augmentation.pipeline import augmented


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 4, channels: int = 1, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.rand((count, channels, height, width), generator=generator(99))


# --- placement


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_mirrors_about_half_of_the_images(channels: int) -> None:
    images = some_images(count=2000, channels=channels, height=3, width=4)
    flipped = flip(images, generator=generator())
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    same = (flipped == images).flatten(1).all(1)
    assert bool((mirrored ^ same).all())
    assert stats.binomtest(int(mirrored.sum()), 2000).pvalue > 1e-4
    assert torch.equal(flip(images, 1.0, generator=generator()), images.flip(-1))


@pytest.mark.parametrize("border", ["edge", "zeros", "reflect"])
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_is_one_window_of_the_padded_image(border: str, channels: int) -> None:
    padding, height, width = 2, 6, 7
    images = some_images(count=600, channels=channels, height=height, width=width)
    mode = {"edge": "edge", "zeros": "constant", "reflect": "symmetric"}[border]
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)), mode=mode)
    cropped = random_crop(images, padding, border, generator=generator()).numpy()
    found = np.zeros((5, 5), dtype=int)
    for top in range(5):
        for left in range(5):
            window = padded[:, :, top : top + height, left : left + width]
            found[top, left] = (window == cropped).reshape(600, -1).all(1).sum()
    assert found.sum() == 600
    assert stats.chisquare(found.reshape(-1)).pvalue > 1e-4


def test_crop_that_does_not_fit_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"augment\.crop 12 does not fit images of 12x12: allowed are 0 to 11"
    ):
        random_crop(some_images(), 12, generator=generator())


# --- erasing


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(8, 32),
    width=st.integers(8, 32),
    area=st.tuples(st.floats(0.02, 0.9), st.floats(0.02, 0.9)).map(lambda pair: (min(pair), max(pair))),
    aspect=st.floats(0.1, 1),
    seed=st.integers(0, 2**31),
)
def test_erased_pixels_form_a_rectangle_of_the_asked_area(
    height: int, width: int, area: tuple[float, float], aspect: float, seed: int
) -> None:
    images = torch.zeros((5, 2, height, width))
    erased = erase(images, 1.0, area, aspect, fill=0.5, generator=generator(seed))
    for image in erased.numpy():
        assert np.array_equal(image[0], image[1])
        rows, columns = np.flatnonzero(image[0].any(1)), np.flatnonzero(image[0].any(0))
        assert len(rows) == np.ptp(rows) + 1
        assert len(columns) == np.ptp(columns) + 1
        assert (image[0][np.ix_(rows, columns)] == 0.5).all()
        # Only the second side's rounding to whole pixels may leave the range.
        slack = len(rows) / 2 + 1e-9  # a third of 459 is not 153 in floating point
        assert (
            area[0] * height * width - slack <= len(rows) * len(columns) <= area[1] * height * width + slack
        )


def test_erasing_covers_the_image_with_the_asked_probability_and_shape() -> None:
    images = torch.zeros((1000, 1, 80, 80))
    erased = erase(images, 0.3, (0.05, 0.1), 0.5, fill=1.0, generator=generator())
    chosen = erased.flatten(1).any(1)
    assert stats.binomtest(int(chosen.sum()), 1000, 0.3).pvalue > 1e-4
    heights = erased[chosen].any(3).sum((1, 2)).double()
    widths = erased[chosen].any(2).sum((1, 2)).double()
    ratio = torch.log(heights / widths)
    assert math.log(2) - 0.15 < ratio.abs().max().item() < math.log(2) + 0.15  # whole pixels
    assert abs(ratio.mean().item()) < 0.05


def test_no_side_of_the_image_is_erased_more_than_its_opposite() -> None:
    erased = erase(torch.zeros((8000, 1, 20, 20)), 1.0, (0.05, 0.1), 0.5, fill=1.0, generator=generator())
    assert bool(erased.any(0).all())
    for turned in (erased, erased.transpose(2, 3)):
        excess = turned[..., :10].sum((1, 2, 3)) - turned[..., 10:].sum((1, 2, 3))
        assert stats.ttest_1samp(excess.double().numpy(), 0).pvalue > 1e-4


def test_fill_by_mean_and_by_noise_erase_the_same_rectangles() -> None:
    images, labels = some_images(count=50, channels=3), torch.zeros(50, dtype=torch.int64)
    by_mean = augmented(images, labels, AugmentConfig(erasing=0.5, erasing_fill="mean"), 0, 0).images
    by_noise = augmented(images, labels, AugmentConfig(erasing=0.5), 0, 0).images
    where = by_mean != images
    assert 0.1 < where.any(3).any(2).any(1).double().mean() < 0.9
    assert torch.equal(where, by_noise != images)
    means = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    torch.testing.assert_close(by_mean[where], means[where])
    assert stats.kstest(by_noise[where].numpy(), stats.uniform.cdf).pvalue > 1e-4
    next_step = augmented(images, labels, AugmentConfig(erasing=0.5), 0, 1).images
    erased_twice = where & (next_step != images)
    assert erased_twice.any()
    assert (by_noise == next_step)[erased_twice].double().mean() < 0.01


# --- mixup


def test_mixup_equals_its_formula() -> None:
    images, labels = some_images(count=6, channels=3), torch.arange(6)
    mixed, partners, lam = mixup(images, labels, 0.7, generator=generator(3))
    assert sorted(partners.tolist()) == list(range(6))
    expected = lam * images.double() + (1 - lam) * images[partners].double()
    torch.testing.assert_close(mixed.double(), expected, atol=1e-6, rtol=0)


def test_mixup_weights_follow_the_beta_distribution() -> None:
    images, labels = torch.zeros((1, 1, 1, 1)), torch.zeros(1, dtype=torch.int64)
    weights = [mixup(images, labels, 0.4, generator=generator(seed))[2] for seed in range(800)]
    assert stats.kstest(weights, stats.beta(0.4, 0.4).cdf).pvalue > 1e-4
