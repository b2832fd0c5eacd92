"""The layers are the papers' and torchvision's: names, shapes, counts, and any size of image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from convtrials.models import ModelSpec, build_model, list_models, parameter_count

IMAGENET = {"classes": 1000, "channels": 3, "image_size": (224, 224)}
ALL = ("alexnet", "alexnet-2012", "vgg11", "vgg11-bn")


def on_meta(name: str, **spec):
    entry = next(entry for entry in list_models() if entry.name == name)
    with torch.device("meta"):
        return entry.build(ModelSpec(**spec))


def shapes(model) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def layer_shapes(rows: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    named = {f"{layer}.weight": shape for layer, shape in rows.items()}
    return named | {f"{layer}.bias": shape[:1] for layer, shape in rows.items()}


# Published by torchvision (alexnet-owt-7be5be79.pth, vgg11-8a719046.pth, vgg11_bn-6002323d.pth).
TORCHVISION_ALEXNET = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (4096, 9216),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}
VGG_CONVOLUTIONS = (
    (64, 3),
    (128, 64),
    (256, 128),
    (256, 256),
    (512, 256),
    (512, 512),
    (512, 512),
    (512, 512),
)
VGG_CLASSIFIER = {"classifier.0": (4096, 25088), "classifier.3": (4096, 4096), "classifier.6": (1000, 4096)}


def torchvision_vgg(places) -> dict[str, tuple[int, ...]]:
    rows = zip(places, VGG_CONVOLUTIONS, strict=True)
    return {f"features.{place}": (*channels, 3, 3) for place, channels in rows} | VGG_CLASSIFIER


def test_alexnet_has_torchvisions_names_and_shapes():
    assert shapes(on_meta("alexnet", **IMAGENET)) == layer_shapes(TORCHVISION_ALEXNET)


def test_vgg11_has_torchvisions_names_and_shapes():
    expected = layer_shapes(torchvision_vgg((0, 3, 6, 8, 11, 13, 16, 18)))
    assert shapes(on_meta("vgg11", **IMAGENET)) == expected


def test_vgg11_bn_has_torchvisions_names_and_shapes():
    expected = layer_shapes(torchvision_vgg((0, 4, 8, 11, 15, 18, 22, 25)))
    for place, (channels, _) in zip((1, 5, 9, 12, 16, 19, 23, 26), VGG_CONVOLUTIONS, strict=True):
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"features.{place}.{part}"] = (channels,)
        expected[f"features.{place}.num_batches_tracked"] = ()
    assert shapes(on_meta("vgg11-bn", **IMAGENET)) == expected


def test_parameter_counts_at_imagenet_size():
    counts = {entry.name: entry.parameters for entry in list_models() if entry.name in ALL}
    assert counts == {
        "alexnet": 61_100_840,
        "alexnet-2012": 60_965_224,
        "vgg11": 132_863_336,
        "vgg11-bn": 132_868_840,
    }


def test_small_alexnet_has_the_layers_of_the_design():
    expected = {
        "features.0": (64, 1, 5, 5),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (1024, 2304),
        "classifier.4": (512, 1024),
        "classifier.6": (36, 512),
    }
    model = build_model("alexnet", classes=36, channels=1, image_size=28)
    assert shapes(model) == layer_shapes(expected)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, 28, 28))
    assert counter.get_total_flops() == 338_270_208


def test_small_alexnet_2012_keeps_its_groups():
    convolutions = {
        key: shape
        for key, shape in shapes(on_meta("alexnet-2012", classes=36, channels=1, image_size=(28, 28))).items()
        if len(shape) == 4
    }
    assert list(convolutions.values()) == [
        (96, 1, 5, 5),
        (256, 48, 5, 5),
        (384, 256, 3, 3),
        (384, 192, 3, 3),
        (256, 192, 3, 3),
    ]


def test_small_vgg11_classifier_reads_one_pixel():
    model = on_meta("vgg11", classes=36, channels=1, image_size=(28, 28))
    linears = {key: shape for key, shape in shapes(model).items() if len(shape) == 2}
    assert linears == {
        "classifier.0.weight": (512, 512),
        "classifier.3.weight": (512, 512),
        "classifier.6.weight": (36, 512),
    }


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(64, 64), (65, 65), (100, 37), (224, 224)])
def test_full_width_gives_logits(name, size):
    model = on_meta(name, classes=36, channels=3, image_size=size)
    assert model(torch.empty(2, 3, *size, device="meta")).shape == (2, 36)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [1, 7, 8, 28, 33, 64, 65, (100, 37), (3, 200)])
def test_any_size_gives_finite_logits_and_gradients(name, size):
    model = build_model(name, classes=2, channels=1, image_size=size, width=0.05)
    height, width = size if isinstance(size, tuple) else (size, size)
    logits = model(torch.rand(2, 1, height, width))
    logits.sum().backward()
    assert logits.shape == (2, 2)
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(ALL),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    channels=st.integers(1, 5),
    classes=st.integers(2, 50),
)
def test_any_channels_and_classes(name, size, channels, classes):
    model = build_model(name, classes=classes, channels=channels, image_size=size, width=0.05)
    with torch.no_grad():
        assert model(torch.rand(2, channels, *size)).shape == (2, classes)


def test_count_of_a_built_model_is_that_of_its_tensors():
    model = build_model("vgg11-bn", classes=7, channels=2, image_size=20, width=0.1)
    buffers = {name for name, _ in model.named_buffers()}
    tensors = (tensor for key, tensor in model.state_dict().items() if key not in buffers)
    assert parameter_count(model) == sum(tensor.numel() for tensor in tensors)
