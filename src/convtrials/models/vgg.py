"""VGG11, configuration A of the paper, plain and with batch norm.

Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015.
Ioffe & Szegedy, Batch Normalization: Accelerating Deep Network Training, ICML 2015.
"""

from dataclasses import replace

from torch import nn

from convtrials.models.activations import make_activation
from convtrials.models.entries import register_model
from convtrials.models.initial import vgg_weights
from convtrials.models.layers import ConvNet, convolution, pooled
from convtrials.models.spec import ModelSpec

_PAPER = "Simonyan & Zisserman, Very Deep CNNs for Large-Scale Image Recognition, ICLR 2015"

#: Channels of the convolutions between poolings.
_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


@register_model(
    "vgg11",
    summary="eight 3x3 convolutions, three linear layers; torchvision's layout and parameter names",
    paper=_PAPER,
    initialise=vgg_weights,
)
def vgg11(spec: ModelSpec) -> nn.Module:
    """Build VGG11; images are padded to 32x32 at least, so that five poolings are possible."""
    features: list[nn.Module] = []
    inputs = spec.channels
    for stage in _STAGES:
        blocks = []
        for channels in stage:
            outputs = spec.scaled(channels)
            blocks.append(convolution(spec, inputs, outputs, 3, padding=1))
            inputs = outputs
        blocks[-1] = pooled(spec, blocks[-1], nn.MaxPool2d(2))
        features += [layer for block in blocks for layer in block]
    pool_to = 1 if spec.small else 7
    return ConvNet(32, features, pool_to, _classifier(spec, inputs * pool_to**2))


@register_model(
    "vgg11-bn",
    summary="VGG11 with batch norm after each convolution",
    paper=f"{_PAPER}; Ioffe & Szegedy, Batch Normalization, ICML 2015",
    initialise=vgg_weights,
)
def vgg11_bn(spec: ModelSpec) -> nn.Module:
    """Build VGG11 with batch norm, whatever the recipe's ``batch_norm`` says."""
    return vgg11(replace(spec, batch_norm=True))


def _classifier(spec: ModelSpec, flat: int) -> list[nn.Module]:
    hidden = spec.classifier_width or spec.scaled(512 if spec.small else 4096)
    return [
        nn.Linear(flat, hidden),
        make_activation(spec.activation),
        nn.Dropout(spec.dropout),
        nn.Linear(hidden, hidden),
        make_activation(spec.activation),
        nn.Dropout(spec.dropout),
        nn.Linear(hidden, spec.classes),
    ]
