"""The whole augmentation: a function of seed and step, off by default, and its section of a recipe."""

import pytest
import torch
from pydantic import ValidationError

from convtrials.core.errors import RecipeError
from convtrials.data.augmentation import AugmentConfig
from convtrials.data.augmentation.operations import erase, flip, mixup, random_crop
from convtrials.data.augmentation.pipeline import augmented
from convtrials.data.augmentation.warp import (
    AffineRange,
    affine,
    elastic,
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
    "perspective": 0.3,
    "randaugment": {"operations": 2, "magnitude": 12},
    "color_jitter": {"brightness": 0.3, "contrast": 0.3},
    "blur": 1.0,
    "noise": 0.05,
    "cutmix": 1.0,
}
#: What changes labels too.
MIXING = ("mixup", "cutmix")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 4, channels: int = 1, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.rand((count, channels, height, width), generator=generator(99))


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


def test_trivialaugment_too_draws_by_the_place_in_the_group() -> None:
    images, labels = some_images(count=40, channels=3), torch.arange(40)
    config = AugmentConfig(trivialaugment=True)
    whole = augmented(images, labels, config, 0, 0).images
    assert torch.equal(whole, augmented(images, labels, config, 0, 0).images)
    assert not torch.equal(whole, augmented(images, labels, config, 0, 1).images)
    torch.testing.assert_close(
        whole[:7], augmented(images[:7], labels[:7], config, 0, 0).images, atol=1e-6, rtol=0
    )


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
    fewer = {name: value for name, value in EVERYTHING.items() if name not in (*MIXING, "erasing")}
    plain = augmented(images, labels, AugmentConfig(**fewer), 0, 3).images
    erased = augmented(images, labels, AugmentConfig(**fewer, erasing=0.5), 0, 3).images
    untouched = (plain == erased).flatten(1).all(1)
    assert 4 < int(untouched.sum()) < 28


def test_draws_depend_on_the_place_in_the_group_alone() -> None:
    images, labels = some_images(count=9), torch.arange(9)
    config = AugmentConfig(**{**EVERYTHING, "mixup": 0.0, "cutmix": 0.0})
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
    # Posterize and the like make one of 256 levels of a rounding, so RandAugment gets pixels as they were read.
    for config in (
        AugmentConfig.model_validate({**EVERYTHING, "randaugment": None}),
        AugmentConfig(randaugment={"operations": 1}),
    ):
        pixels = (images * 255).round() * (1 / 255)
        here = augmented(pixels, labels, config, 0, 1)
        there = augmented(pixels.cuda(), labels.cuda(), config, 0, 1)
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
        ({"perspective": 0.7}, "perspective"),
        ({"noise": -0.1}, "noise"),
        ({"blur": float("inf")}, "blur"),
        ({"cutmix": 11}, "cutmix"),
        ({"randaugment": 9}, "randaugment"),
        ({"randaugment": {"operations": 0}}, "randaugment.operations"),
        ({"randaugment": {"magnitude": 31}}, "magnitude 31 is impossible: 0 to 30"),
        ({"randaugment": {"strength": 3}}, "randaugment.strength"),
        ({"randaugment": True, "trivialaugment": True}, "switch one off"),
        ({"trivialaugment": {"levels": 31}}, "trivialaugment"),
        ({"color_jitter": True}, "must be a number such as 0.4"),
        ({"color_jitter": 1.5}, "color_jitter.brightness"),
        ({"color_jitter": {"hue": 0.6}}, "color_jitter.hue"),
        ({"color_jitter": {"gamma": 0.6}}, "color_jitter.gamma"),
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
    on = {"flip": True, "crop": 1, "erasing": 0.1, "mixup": 0.2, "custom": "my_module:posterize"}
    on |= dict.fromkeys(("degrees", "translate", "scale", "shear", "elastic_alpha"), 0.1)
    on |= dict.fromkeys(("cutmix", "noise", "blur", "perspective", "color_jitter"), 0.1)
    on |= {"randaugment": True, "trivialaugment": True}
    assert all(AugmentConfig.model_validate({key: value}).active for key, value in on.items())


def test_short_forms_of_the_new_keys() -> None:
    short = AugmentConfig.model_validate({"randaugment": True, "color_jitter": 0.4})
    assert short.randaugment is not None
    assert (short.randaugment.operations, short.randaugment.magnitude, short.randaugment.levels) == (2, 9, 30)
    assert short.color_jitter is not None
    assert short.color_jitter.model_dump() == {
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
        "hue": 0.0,
    }
    off: dict[str, object] = {"randaugment": False, "color_jitter": {"hue": 0}, "trivialaugment": False}
    for section in (off, {"randaugment": None, "color_jitter": 0}, {"color_jitter": False}):
        assert AugmentConfig.model_validate(section) == AugmentConfig()


def test_files_without_the_new_operations_stay_as_they_were() -> None:
    keys = "degrees translate scale shear elastic_alpha elastic_sigma flip crop erasing erasing_area erasing_aspect"
    assert list(AugmentConfig().model_dump()) == [*keys.split(), "erasing_fill", "mixup", "border"]


@pytest.mark.parametrize("key", ["saturation", "hue"])
def test_colours_of_grey_images_are_refused_in_a_line(key: str) -> None:
    config = AugmentConfig.model_validate({"color_jitter": {key: 0.3, "brightness": 0.1}})
    config.check_images((8, 8, 3))
    with pytest.raises(
        RecipeError, match=rf"color_jitter\.{key} = 0\.3: needs images in colour, these are grey"
    ):
        config.check_images((8, 8, 1))
    for fine in (
        {"color_jitter": {"brightness": 0.3, "contrast": 0.2}},
        {"randaugment": True},
        {"noise": 0.1},
    ):
        AugmentConfig.model_validate(fine).check_images((8, 8, 1))
