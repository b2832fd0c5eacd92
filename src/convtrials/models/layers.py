"""The pieces that AlexNet and VGG are made of."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtrials.models.activations import is_monotone, make_activation
from convtrials.models.spec import ModelSpec


class PadToAtLeast(nn.Module):
    """Surround images with zeros until both sides reach a least size; the image stays in the middle.

    Parameters
    ----------
    smallest : int
        Least height and width in pixels. An odd pixel goes to the bottom and to the right.
    """

    def __init__(self, smallest: int):
        super().__init__()
        self.smallest = smallest

    def forward(self, images: Tensor) -> Tensor:
        """Pad images of shape (N, C, H, W)."""
        tall, wide = (max(0, self.smallest - side) for side in images.shape[-2:])
        if not tall and not wide:
            return images
        return functional.pad(images, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))

    def extra_repr(self) -> str:
        """Show the least size."""
        return str(self.smallest)


class AveragePoolTo(nn.AdaptiveAvgPool2d):
    """Average a map down (or repeat it up) to a fixed size; a map of that size passes through untouched.

    The short cut is exact. It spares the gradient of adaptive pooling, which on GPUs is not deterministic.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Pool maps of shape (N, C, H, W)."""
        if maps.shape[-2:] == (self.output_size, self.output_size):
            return maps
        return super().forward(maps)


class ConvNet(nn.Module):
    """Convolutions, then an average pool to a fixed size, then a classifier.

    Parameters
    ----------
    smallest : int
        Smaller images are padded to this many pixels.
    features : list of nn.Module
        Convolutions, activations and poolings.
    pool_to : int
        Height and width of the map that the classifier reads.
    classifier : list of nn.Module
        Linear layers, activations and dropout, from the flattened map to logits.
    """

    def __init__(self, smallest: int, features: list[nn.Module], pool_to: int, classifier: list[nn.Module]):
        super().__init__()
        self.pad = PadToAtLeast(smallest)
        self.features = nn.Sequential(*features)
        self.avgpool = AveragePoolTo(pool_to)
        self.classifier = nn.Sequential(*classifier)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of normalised images, shape (N, C, H, W)."""
        maps = self.avgpool(self.features(self.pad(images)))
        logits: Tensor = self.classifier(torch.flatten(maps, 1))
        return logits


def convolution(
    spec: ModelSpec, inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution, batch norm where the recipe asks for it, and the activation.

    The convolution keeps its bias under batch norm, as torchvision's ``vgg11_bn`` does.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups),
    ]
    if spec.batch_norm:
        layers.append(nn.BatchNorm2d(outputs))
    layers.append(make_activation(spec.activation))
    return layers


def pooled(spec: ModelSpec, layers: list[nn.Module], pool: nn.Module) -> list[nn.Module]:
    """Add max pooling to the layers that `convolution` returned, before the activation where that changes nothing.

    A monotone activation of the largest value is the largest activation, so outputs are those of the usual order bit
    for bit, while the activation sees a quarter of the values. So are gradients, but where unequal inputs round to the
    same output (never with ReLU): they go to the larger input, where the usual order takes the first. Parameter names
    do not change, as convolutions keep their places in the list.
    """
    if is_monotone(spec.activation):
        return [*layers[:-1], pool, layers[-1]]
    return [*layers, pool]
