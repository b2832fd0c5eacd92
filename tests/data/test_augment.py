"""Augmentation against rot90, shifted arrays, SciPy's Gaussian and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage, stats

from convtrials.core.errors import DataError
from convtrials.data.augmentation import AugmentConfig
from convtrials.data.augmentation.erasing import erase
from convtrials.data.augmentation.mixup import mixup
from convtrials.data.augmentation.pipeline import augmented
from convtrials.data.augmentation.placement import flip, random_crop
from convtrials.data.augmentation.warp import (
    AffineRange,
    affine,
    affine_matrices,
    draw_affine,
    draw_elastic,
    elastic,
    warp,
)

EVERYTHING = {
    "degrees": 20.0,
    "translate": 0.1,
    "scale": 0.2,
    "shear": 10.0,
    "elastic_alpha": 20.0,
    "flip": True,
    "crop": 3,
    "erasing": 0.5,
    "mixup": 0.4,
}


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
        slack = len(rows) / 2
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


# --- the whole


def test_zero_strength_is_the_identity_bit_for_bit() -> None:
    images, labels = some_images(channels=3), torch.arange(4)
    assert torch.equal(affine(images, AffineRange(), generator=generator()), images)
    assert torch.equal(elastic(images, 0.0, generator=generator()), images)
    assert torch.equal(erase(images, 0.0, generator=generator()), images)
    assert torch.equal(flip(images, 0.0, generator=generator()), images)
    assert torch.equal(random_crop(images, 0, generator=generator()), images)
    mixed, partners, lam = mixup(images, labels, 0.0, generator=generator())
    assert torch.equal(mixed, images)
    assert torch.equal(partners, labels)
    assert lam == 1.0
    batch = augmented(images, labels, AugmentConfig(), seed=0, step=0)
    assert batch.images is images
    assert batch.mixed_labels is None


@pytest.mark.parametrize("channels", [1, 3])
def test_same_seed_and_step_give_the_same_bits_and_others_do_not(channels: int) -> None:
    images, labels = some_images(count=8, channels=channels), torch.arange(8)
    config = AugmentConfig(**EVERYTHING)
    first = augmented(images, labels, config, seed=4, step=7)
    again = augmented(images.clone(), labels, config, seed=4, step=7)
    assert torch.equal(first.images, again.images)
    assert first.mixed_labels is not None
    assert again.mixed_labels is not None
    assert torch.equal(first.mixed_labels, again.mixed_labels)
    assert first.lam == again.lam
    assert first.images.is_contiguous(memory_format=torch.channels_last)
    assert first.images.stride(1) == 1
    for seed, step in [(4, 8), (5, 7)]:
        assert not torch.equal(first.images, augmented(images, labels, config, seed, step).images)


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_every_strength_does_something_and_leaves_its_input_alone(name: str) -> None:
    images, labels = some_images(count=16), torch.arange(16)
    before = images.clone()
    config = AugmentConfig(**{name: EVERYTHING[name]})
    assert config.active
    made = augmented(images, labels, config, seed=0, step=0)
    assert not torch.equal(made.images, images)
    assert torch.equal(images, before)
    assert made.images.dtype == torch.float32
    assert torch.equal(made.labels, labels)


def test_changing_one_strength_keeps_the_draws_of_the_others() -> None:
    images, labels = some_images(count=32), torch.arange(32)
    fewer = {name: value for name, value in EVERYTHING.items() if name not in ("mixup", "erasing")}
    plain = augmented(images, labels, AugmentConfig(**fewer), 0, 3).images
    erased = augmented(images, labels, AugmentConfig(**fewer, erasing=0.5), 0, 3).images
    untouched = (plain == erased).flatten(1).all(1)
    assert 4 < int(untouched.sum()) < 28


def test_draws_depend_on_the_place_in_the_group_alone() -> None:
    images, labels = some_images(count=9), torch.arange(9)
    config = AugmentConfig(**{**EVERYTHING, "mixup": 0.0})
    whole = augmented(images, labels, config, 0, 0)
    shorter = augmented(images[:5], labels[:5], config, 0, 0)
    torch.testing.assert_close(whole.images[:5], shorter.images, atol=1e-6, rtol=0)


def test_parts_are_the_whole_cut_up() -> None:
    images, labels = some_images(count=9), torch.arange(9)
    whole = augmented(images, labels, AugmentConfig(**EVERYTHING), 0, 0)
    parts = [whole.part(slice(0, 4)), whole.part(slice(4, 9))]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert torch.equal(torch.cat([part.labels for part in parts]), labels)
    assert whole.mixed_labels is not None
    mixed = [part.mixed_labels for part in parts if part.mixed_labels is not None]
    assert torch.equal(torch.cat(mixed), whole.mixed_labels)
    assert {part.lam for part in parts} == {whole.lam}
    plain = augmented(images, labels, AugmentConfig(flip=True), 0, 0).part(slice(2, 4))
    assert plain.mixed_labels is None
    assert plain.images.is_contiguous(memory_format=torch.channels_last)


def test_a_plain_image_stays_plain_unless_its_border_is_black() -> None:
    images = torch.full((4, 3, 10, 10), 0.25)
    for border in ("edge", "reflect"):
        config = AugmentConfig(degrees=45, translate=0.3, elastic_alpha=30, crop=3, border=border)
        made = augmented(images, torch.arange(4), config, 0, 0).images
        torch.testing.assert_close(made, images, atol=1e-6, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_sees_the_same_augmentation() -> None:
    images, labels = some_images(count=16, channels=3), torch.arange(16)
    config = AugmentConfig(**EVERYTHING)
    here = augmented(images, labels, config, 0, 1)
    there = augmented(images.cuda(), labels.cuda(), config, 0, 1)
    torch.testing.assert_close(there.images.cpu(), here.images, atol=1e-4, rtol=0)
    assert here.lam == there.lam


# --- the recipe's section


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"degrees": 181}, "degrees"),
        ({"degrees": float("nan")}, "degrees"),
        ({"translate": -0.1}, "translate"),
        ({"elastic_sigma": 0}, "elastic_sigma"),
        ({"mixup": float("inf")}, "mixup"),
        ({"border": "black"}, "border"),
        ({"rotation": 10}, "rotation"),
        ({"erasing_area": (0.5, 0.2)}, r"erasing_area \[0\.5, 0\.2\] is impossible"),
        ({"erasing_area": (0.5, 1.2)}, r"erasing_area \[0\.5, 1\.2\] is impossible"),
    ],
)
def test_impossible_values_are_refused_by_name(section: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AugmentConfig.model_validate(section)


def test_config_is_frozen_documented_and_survives_json() -> None:
    config = AugmentConfig(**EVERYTHING, erasing_area=(0.1, 0.2))
    assert AugmentConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError, match="frozen"):
        config.degrees = 3.0  # type: ignore[misc]
    assert all(field.description for field in AugmentConfig.model_fields.values())


def test_only_strengths_make_a_config_active() -> None:
    assert not AugmentConfig(
        elastic_sigma=8, erasing_aspect=0.5, erasing_fill="mean", border="reflect"
    ).active
    assert not AugmentConfig(flip=True, mixup=0.2).warps
    assert AugmentConfig(elastic_alpha=5).warps
