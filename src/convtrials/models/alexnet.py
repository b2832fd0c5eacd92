"""AlexNet: the one-tower version that torchvision made common, and the original of 2012.

Krizhevsky, Sutskever & Hinton, ImageNet Classification with Deep Convolutional Neural Networks, NeurIPS 2012.
Krizhevsky, One Weird Trick for Parallelizing Convolutional Neural Networks, arXiv:1404.5997, 2014.
"""

from typing import NamedTuple

from torch import nn

from convtrials.models.activations import make_activation
from convtrials.models.entries import register_model
from convtrials.models.layers import ConvNet, convolution, pooled
from convtrials.models.spec import ModelSpec


class _Layer(NamedTuple):
    channels: int
    kernel: int
    stride: int = 1
    padding: int = 1
    groups: int = 1
    response_norm: bool = False
    pool: bool = False


_LARGE = (
    _Layer(64, 11, stride=4, padding=2, pool=True),
    _Layer(192, 5, padding=2, pool=True),
    _Layer(384, 3),
    _Layer(256, 3),
    _Layer(256, 3, pool=True),
)
_SMALL = (_Layer(64, 5, padding=2, pool=True), *_LARGE[1:])
_LARGE_2012 = (
    _Layer(96, 11, stride=4, padding=2, response_norm=True, pool=True),
    _Layer(256, 5, padding=2, groups=2, response_norm=True, pool=True),
    _Layer(384, 3),
    _Layer(384, 3, groups=2),
    _Layer(256, 3, groups=2, pool=True),
)
_SMALL_2012 = (_Layer(96, 5, padding=2, response_norm=True, pool=True), *_LARGE_2012[1:])


@register_model(
    "alexnet",
    summary="five convolutions, three linear layers; torchvision's layout and parameter names",
    paper="Krizhevsky, One Weird Trick for Parallelizing CNNs, arXiv:1404.5997, 2014",
)
def alexnet(spec: ModelSpec) -> nn.Module:
    """Build AlexNet in one tower."""
    return _alexnet(spec, _SMALL if spec.small else _LARGE)


@register_model(
    "alexnet-2012",
    summary="the original AlexNet: two groups, local response normalisation",
    paper="Krizhevsky, Sutskever & Hinton, ImageNet Classification with Deep CNNs, NeurIPS 2012",
)
def alexnet_2012(spec: ModelSpec) -> nn.Module:
    """Build AlexNet as its first paper has it, but for the initial weights, which are PyTorch's."""
    return _alexnet(spec, _SMALL_2012 if spec.small else _LARGE_2012)


def _alexnet(spec: ModelSpec, layers: tuple[_Layer, ...]) -> nn.Module:
    if spec.small:
        # Three poolings by 2 need 8 pixels; 3x3 is what they leave of 28x28.
        smallest, pool_to, hidden = 8, 3, (1024, 512)
    else:
        # The strided stem and three overlapping poolings need 63 pixels; 6x6 is what they leave of 224x224.
        smallest, pool_to, hidden = 63, 6, (4096, 4096)
    features = _features(spec, layers)
    flat = spec.scaled(layers[-1].channels) * pool_to**2
    return ConvNet(smallest, features, pool_to, _classifier(spec, flat, _hidden_widths(spec, hidden)))


def _features(spec: ModelSpec, layers: tuple[_Layer, ...]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    inputs = spec.channels
    for layer in layers:
        outputs = spec.scaled(layer.channels)
        block = convolution(
            spec,
            inputs,
            outputs,
            layer.kernel,
            stride=layer.stride,
            padding=layer.padding,
            groups=layer.groups,
        )
        pool = nn.MaxPool2d(2) if spec.small else nn.MaxPool2d(3, stride=2)
        if layer.response_norm:
            # The paper multiplies the sum over 5 channels by alpha = 1e-4; PyTorch their mean.
            block += [nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2.0), pool]
        elif layer.pool:
            block = pooled(spec, block, pool)
        modules += block
        inputs = outputs
    return modules


def _hidden_widths(spec: ModelSpec, full: tuple[int, int]) -> tuple[int, int]:
    if spec.classifier_width is None:
        return spec.scaled(full[0]), spec.scaled(full[1])
    first = spec.classifier_width
    return first, max(1, first // 2) if spec.small else first


def _classifier(spec: ModelSpec, flat: int, hidden: tuple[int, int]) -> list[nn.Module]:
    return [
        nn.Dropout(spec.dropout),
        nn.Linear(flat, hidden[0]),
        make_activation(spec.activation),
        nn.Dropout(spec.dropout),
        nn.Linear(hidden[0], hidden[1]),
        make_activation(spec.activation),
        nn.Linear(hidden[1], spec.classes),
    ]


#: Channels, kernel, stride and pooling of the light network's convolutions.
_LITE = (
    _Layer(16, 5, stride=2, padding=2),
    _Layer(48, 3, pool=True),
    _Layer(64, 3),
    _Layer(64, 3, pool=True),
    _Layer(128, 3),
)


@register_model(
    "alexnet-lite",
    summary="five convolutions and a classifier for seconds on a CPU: a strided stem, one hidden layer",
    paper="the family of Krizhevsky, arXiv:1404.5997; the sizes are ours (recipes/fast.yaml)",
)
def alexnet_lite(spec: ModelSpec) -> nn.Module:
    """Build the light AlexNet: 8.7 MFLOP forward for an image of 24x24, where AlexNet takes 338 for 28x28.

    What costs most in AlexNet is the work on large maps. Here the stem halves the image at once, pooling follows the
    convolution directly, so that batch norm and activation see a quarter of the values, and the widest convolution
    stands where the maps are smallest.
    """
    features: list[nn.Module] = []
    inputs = spec.channels
    for layer in _LITE:
        outputs = spec.scaled(layer.channels)
        convolved, *after = convolution(
            spec, inputs, outputs, layer.kernel, stride=layer.stride, padding=layer.padding
        )
        features += [convolved, nn.MaxPool2d(2), *after] if layer.pool else [convolved, *after]
        inputs = outputs
    hidden = spec.classifier_width or spec.scaled(256)
    classifier = [
        nn.Dropout(spec.dropout),
        nn.Linear(inputs * 3**2, hidden),
        make_activation(spec.activation),
        nn.Dropout(spec.dropout),
        nn.Linear(hidden, spec.classes),
    ]
    return ConvNet(8, features, 3, classifier)
