"""Operations on pixel values against PIL on eight bits, and against their formulas in float64."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from convtrials.data.augmentation import photometric

PIXELS = hnp.arrays(np.uint8, st.sampled_from([(9, 12, 3), (20, 17, 3), (16, 16, 1), (28, 28, 1)]))


def images_of(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """One image, as `Batches.raw` gives it: (1, C, H, W), channels_last."""
    return torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).to(torch.float32).mul_(1 / 255)


def pil_of(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def from_pil(image: Image.Image) -> NDArray[np.float64]:
    array = np.asarray(image, dtype=np.float64)
    return array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)


def levels(images: torch.Tensor) -> NDArray[np.float64]:
    """Back on the 8-bit scale, not rounded."""
    return np.asarray(images[0].double().numpy() * 255)


def amount(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def photo(seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth shapes and some noise, with few very dark or bright pixels."""
    noise = np.random.default_rng(seed).normal(size=(24, 30, channels))
    smooth = ndimage.gaussian_filter(noise, (3, 3, 0)) * 400 + noise * 8 + 120
    return np.clip(smooth, 0, 255).astype(np.uint8)


# --- those that eight bits define equal PIL exactly


@settings(max_examples=40, deadline=None)
@given(PIXELS, st.integers(1, 8))
def test_posterize_equals_pil(pixels: NDArray[np.uint8], bits: int) -> None:
    made = levels(photometric.posterize(images_of(pixels), amount(bits)))
    np.testing.assert_allclose(made, from_pil(ImageOps.posterize(pil_of(pixels), bits)), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(PIXELS, st.integers(0, 1024).map(lambda quarters: quarters / 4))
def test_solarize_equals_pil(pixels: NDArray[np.uint8], threshold: float) -> None:
    made = levels(photometric.solarize(images_of(pixels), amount(threshold)))
    np.testing.assert_allclose(made, from_pil(ImageOps.solarize(pil_of(pixels), threshold)), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(PIXELS)
def test_equalize_equals_pil(pixels: NDArray[np.uint8]) -> None:
    made = levels(photometric.equalize(images_of(pixels), amount(0)))
    np.testing.assert_allclose(made, from_pil(ImageOps.equalize(pil_of(pixels))), atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_equalize_flattens_a_photo_as_pil_does(channels: int) -> None:
    pixels = photo(channels=channels)
    made = levels(photometric.equalize(images_of(pixels), amount(0)))
    np.testing.assert_allclose(made, from_pil(ImageOps.equalize(pil_of(pixels))), atol=1e-4)
    assert made.std() > 1.2 * pixels.std()  # it did something


@settings(max_examples=40, deadline=None)
@given(PIXELS)
def test_autocontrast_equals_pil_before_it_cuts_to_whole_levels(pixels: NDArray[np.uint8]) -> None:
    made = levels(photometric.autocontrast(images_of(pixels), amount(0)))
    cut = made - from_pil(ImageOps.autocontrast(pil_of(pixels)))
    assert cut.min() > -1e-3
    assert cut.max() < 1 + 1e-3  # a whole level where PIL's own arithmetic ends just below one


# --- blends: PIL within its rounding, and the formula within float32


@pytest.mark.parametrize("factor", [0.0, 0.1, 0.5, 1.0, 1.3, 1.9, 1.99])
@pytest.mark.parametrize("seed", [0, 1])
def test_blends_equal_pil_up_to_its_rounding(factor: float, seed: int) -> None:
    pixels = photo(seed)
    for change, enhance in [
        (photometric.brightness, ImageEnhance.Brightness),
        (photometric.contrast, ImageEnhance.Contrast),
        (photometric.saturation, ImageEnhance.Color),
        (photometric.sharpness, ImageEnhance.Sharpness),
    ]:
        expected = from_pil(enhance(pil_of(pixels)).enhance(factor))
        # PIL rounds the other image (by half a level at most), then cuts the result to whole levels.
        slack = 0.51 * abs(1 - factor) + 1.01 * (factor != 1)
        np.testing.assert_allclose(
            levels(change(images_of(pixels), amount(factor))), expected, atol=slack + 1e-3
        )


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_blends_equal_their_formulas(factor: float) -> None:
    image = np.random.default_rng(3).random((3, 11, 14))
    tensor = torch.from_numpy(image)[None].float()
    luma = np.tensordot([0.299, 0.587, 0.114], image, axes=1)[None]
    smooth = image.copy()
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    for channel, values in enumerate(image):
        smooth[channel, 1:-1, 1:-1] = ndimage.convolve(values, kernel)[1:-1, 1:-1]
    for change, other in [
        (photometric.brightness, np.zeros_like(image)),
        (photometric.contrast, np.full_like(image, luma.mean())),
        (photometric.saturation, np.broadcast_to(luma, image.shape)),
        (photometric.sharpness, smooth),
    ]:
        expected = np.clip(factor * image + (1 - factor) * other, 0, 1)
        np.testing.assert_allclose(change(tensor, amount(factor))[0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("turn", [-0.5, -0.21, 0.0, 0.1, 1 / 3, 0.5])
def test_hue_equals_colorsys(turn: float) -> None:
    colours = np.random.default_rng(1).random((60, 3))
    corners = [[r, g, b] for r in (0, 0.5, 1) for g in (0, 0.5, 1) for b in (0, 0.5, 1)]
    colours = np.concatenate([colours, corners])
    expected = []
    for red, green, blue in colours:
        h, s, v = colorsys.rgb_to_hsv(red, green, blue)
        expected.append(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
    image = torch.from_numpy(colours.T[None, :, :, None]).float()
    made = photometric.hue(image, amount(turn))[0, :, :, 0].numpy().T
    np.testing.assert_allclose(made, expected, atol=2e-6)


# --- all


def test_each_image_gets_its_own_amount_and_the_input_stays() -> None:
    images = torch.rand((4, 3, 10, 9), generator=torch.Generator().manual_seed(0))
    before = images.clone()
    for name, values in {
        "brightness": [0.2, 1.0, 1.4, 0.7],
        "contrast": [0.2, 1.0, 1.4, 0.7],
        "saturation": [0.2, 1.0, 1.4, 0.7],
        "sharpness": [0.2, 1.0, 1.4, 0.7],
        "hue": [-0.3, 0.0, 0.2, 0.5],
        "posterize": [1, 8, 4, 3],
        "solarize": [0, 256, 100, 30],
        "autocontrast": [0, 0, 0, 0],
        "equalize": [0, 0, 0, 0],
    }.items():
        change, amounts = getattr(photometric, name), torch.tensor(values, dtype=torch.float64)
        together = change(images, amounts)
        apart = torch.cat([change(images[i : i + 1], amounts[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(together, apart, atol=1e-6, rtol=0)
        assert torch.equal(images, before), name
        assert together.min() >= 0
        assert together.max() <= 1


def test_a_plain_image_stays_plain_where_its_contrast_is_stretched() -> None:
    plain = torch.full((2, 3, 8, 8), 0.3)
    assert torch.equal(photometric.autocontrast(plain, amount(0)), plain)
    assert torch.equal(photometric.equalize(plain, amount(0)), plain)
    tiny = torch.rand((1, 3, 2, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(photometric.sharpness(tiny, amount(1.9)), tiny)  # nothing but edge
