"""The network that all contestants train, layer by layer, and what it costs; written down apart from our engine.

Peers build it from the description, with their own layers. Its parameters are counted here from the description alone,
and everybody's network must have as many: ours too.
"""

from typing import Any

from benchmarks.race.errors import BenchError

#: Pixels a side: other images are scaled to it.
IMAGE_SIZE = 28

POOL, DROPOUT = "pool", "dropout"

#: Convolutions as (channels, kernel), "same" padding, ReLU; poolings 2x2; linear layers with ReLU; logits come after.
_NETWORKS: dict[str, dict[str, Any]] = {
    "alexnet": {
        "padding": 0,
        "features": [(64, 5), POOL, (192, 5), POOL, (384, 3), (256, 3), (256, 3), POOL],
        "classifier": [DROPOUT, 1024, DROPOUT, 512],
    },
    "vgg11": {
        "padding": 2,  # 28x28 to 32x32: five poolings need it
        "features": [
            *((64, 3), POOL, (128, 3), POOL, (256, 3), (256, 3), POOL),
            *((512, 3), (512, 3), POOL, (512, 3), (512, 3), POOL),
        ],
        "classifier": [512, DROPOUT, 512, DROPOUT],
    },
}

MODELS = tuple(_NETWORKS)


def describe_network(model: str, *, width: float, channels: int, classes: int) -> dict[str, Any]:
    """Return the network as plain values, for JSON.

    Parameters
    ----------
    model : {"alexnet", "vgg11"}
    width : float
        Multiplies channels and hidden units, to the nearest multiple of 8, at least 8; above 0, up to 16.
    channels : int
        Of the images, 1 or 3.

    Returns
    -------
    dict
        ``image`` (height, width, channels), ``padding`` (pixels at each side), ``features`` (pairs of channels and
        kernel, or ``"pool"``), ``classifier`` (units, or ``"dropout"``), ``dropout`` (probability) and ``classes``.

    Raises
    ------
    BenchError
        There is no such model here, or the width is impossible.
    """
    if model not in _NETWORKS:
        raise BenchError(f"--model {model}: the benchmark knows {' and '.join(MODELS)}")
    if not 0 < width <= 16:
        raise BenchError(f"--width {width:g}: must be above 0 and at most 16")
    full = _NETWORKS[model]

    def scaled(units: int) -> int:
        return max(8, 8 * int(units * width / 8 + 0.5))

    return {
        "model": model,
        "width": width,
        "image": [IMAGE_SIZE, IMAGE_SIZE, channels],
        "padding": full["padding"],
        "features": [one if one == POOL else [scaled(one[0]), one[1]] for one in full["features"]],
        "classifier": [one if one == DROPOUT else scaled(one) for one in full["classifier"]],
        "dropout": 0.5,
        "classes": classes,
    }


def parameter_count(network: dict[str, Any]) -> int:
    """Count weights and biases of a description."""
    return sum(weights + outputs for weights, outputs, _ in _layers(network))


def forward_flops(network: dict[str, Any]) -> int:
    """Count the floating-point operations of one image's way forward, 2 a multiply-add; biases and poolings not."""
    return sum(2 * weights * places for weights, _, places in _layers(network))


def training_flops(network: dict[str, Any]) -> int:
    """Count the floating-point operations of training on one image.

    Forward, gradients of weights and gradients of inputs cost the same each; nobody needs the gradient of the image.
    """
    first_weights, _, first_places = _layers(network)[0]
    return 3 * forward_flops(network) - 2 * first_weights * first_places


def _layers(network: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Weights, outputs, and how many places of the image they are applied to, for each layer with weights."""
    layers: list[tuple[int, int, int]] = []
    height, width, inputs = network["image"]
    height, width = height + 2 * network["padding"], width + 2 * network["padding"]
    for feature in network["features"]:
        if feature == POOL:
            height, width = height // 2, width // 2
        else:
            outputs, kernel = feature
            layers.append((inputs * outputs * kernel**2, outputs, height * width))
            inputs = outputs
    inputs *= height * width
    for units in [*network["classifier"], network["classes"]]:
        if units != DROPOUT:
            layers.append((inputs * units, units, 1))
            inputs = units
    return layers
