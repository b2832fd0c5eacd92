"""Whole networks against a reference written out in float64 NumPy."""

import numpy as np
import pytest
import torch

from convtrials.models import build_model
from convtrials.models.layers import AveragePoolTo, PadToAtLeast


def convolve(x, weight, bias, stride, padding, groups):
    """(C, H, W) -> (K, H', W'), one group at a time."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    per_in, per_out, kernel = weight.shape[1], len(weight) // groups, weight.shape[-1]
    parts = []
    for group in range(groups):
        inputs = x[group * per_in : (group + 1) * per_in]
        windows = np.lib.stride_tricks.sliding_window_view(inputs, (kernel, kernel), axis=(1, 2))
        windows = windows[:, ::stride, ::stride]
        kernels = weight[group * per_out : (group + 1) * per_out]
        parts.append(np.einsum("chwij,kcij->khw", windows, kernels))
    return np.concatenate(parts) + bias[:, None, None]


def response_norm(x, k=2.0, alpha=1e-4, beta=0.75, n=5):
    """Section 3.3 of Krizhevsky et al. 2012: alpha times the sum over n neighbouring channels."""
    out = np.empty_like(x)
    for i in range(len(x)):
        low, high = max(0, i - n // 2), min(len(x) - 1, i + n // 2)
        out[i] = x[i] / (k + alpha * (x[low : high + 1] ** 2).sum(axis=0)) ** beta
    return out


def max_pool(x, kernel, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(1, 2))
    return windows[:, ::stride, ::stride].max(axis=(-2, -1))


def average_pool_to(x, size):
    out = np.empty((len(x), size, size))
    for i in range(size):
        for j in range(size):
            rows = slice(i * x.shape[1] // size, -(-(i + 1) * x.shape[1] // size))
            columns = slice(j * x.shape[2] // size, -(-(j + 1) * x.shape[2] // size))
            out[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    return out


def linear_stack(state, x, layers):
    for place, layer in enumerate(layers):
        x = state[f"classifier.{layer}.weight"] @ x + state[f"classifier.{layer}.bias"]
        if place < len(layers) - 1:
            x = np.maximum(x, 0)
    return x


def alexnet_2012(state, x, small):
    # Module number, padding, stride, groups, norm, pool.
    stem = (2, 1) if small else (2, 4)
    table = [(0, *stem, 1, True, True), (4, 2, 1, 2, True, True), (8, 1, 1, 1, False, False)]
    table += [(10, 1, 1, 2, False, False), (12, 1, 1, 2, False, True)]
    for number, padding, stride, groups, norm, pool in table:
        weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
        x = np.maximum(convolve(x, weight, bias, stride, padding, groups), 0)
        x = response_norm(x) if norm else x
        x = max_pool(x, 2 if small else 3, 2) if pool else x
    return linear_stack(state, average_pool_to(x, 3 if small else 6).ravel(), (1, 4, 6))


def vgg11_bn(state, x, pool_after=(0, 4, 11, 18, 25)):
    for number in (0, 4, 8, 11, 15, 18, 22, 25):
        weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
        x = convolve(x, weight, bias, 1, 1, 1)
        norm = {
            part: state[f"features.{number + 1}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        }
        x = (x - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5) * norm["weight"] + norm["bias"]
        x = np.maximum(x, 0)
        x = max_pool(x, 2, 2) if number in (0, 4, 11, 18, 25) else x
    return linear_stack(state, average_pool_to(x, 1).ravel(), (0, 3, 6))


def scrambled(model, seed=1):
    """Larger weights and random statistics, so that every layer matters to the logits; as NumPy, and set."""
    generator = torch.Generator().manual_seed(seed)
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            if key.endswith("running_var"):
                tensor.copy_(noise.abs() + 0.5)
            elif tensor.dim() > 1:
                tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
            else:
                tensor.copy_(0.5 + 0.3 * noise)
    return {key: tensor.double().numpy() for key, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("size", "small"), [((28, 28), True), ((19, 26), True), ((67, 90), False)])
def test_alexnet_2012_against_numpy(size, small):
    model = build_model("alexnet-2012", classes=5, channels=2, image_size=size, width=0.1).double().eval()
    state = scrambled(model)
    image = 3 * np.random.default_rng(0).normal(size=(2, *size))
    with torch.no_grad():
        logits = model(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(logits, alexnet_2012(state, image, small), rtol=1e-9, atol=1e-9)


def test_small_vgg11_bn_against_numpy():
    model = build_model("vgg11-bn", classes=5, channels=1, image_size=28, width=0.05).double().eval()
    state = scrambled(model)
    image = np.random.default_rng(0).normal(size=(1, 28, 28))
    with torch.no_grad():
        logits = model(torch.from_numpy(image)[None])[0].numpy()
    padded = np.pad(image, ((0, 0), (2, 2), (2, 2)))
    np.testing.assert_allclose(logits, vgg11_bn(state, padded), rtol=1e-9, atol=1e-9)


def test_padding_keeps_the_image_in_the_middle():
    image = torch.ones(1, 1, 3, 6)
    padded = PadToAtLeast(6)(image)
    assert padded.shape == (1, 1, 6, 6)
    assert padded.sum(dim=3)[0, 0].tolist() == [0, 6, 6, 6, 0, 0]
    assert PadToAtLeast(3)(image) is image


def test_the_short_cut_of_average_pooling_is_exact():
    maps = torch.rand(2, 4, 3, 3)
    assert torch.equal(AveragePoolTo(3)(maps), torch.nn.functional.adaptive_avg_pool2d(maps, 3))


@pytest.mark.parametrize("name", ["alexnet-2012", "vgg11-bn"])
def test_bfloat16_with_channels_last_stays_close(name):
    model = build_model(name, classes=5, channels=1, image_size=16, width=0.1).eval()
    images = torch.rand(4, 1, 16, 16)
    with torch.no_grad():
        exact = model(images)
        model = model.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(images.to(memory_format=torch.channels_last)).float()
    assert (rough - exact).abs().max() < 0.02
