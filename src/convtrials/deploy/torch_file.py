"""A finished run as PyTorch's own file: a state dict, and a JSON file next to it that says what it is."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from convtrials._version import __version__
from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import atomic_path, read_json, write_json
from convtrials.deploy.onnx_file import Classify
from convtrials.deploy.predictor import FinishedRun, Predictor
from convtrials.models.weights import load_weights
from convtrials.training.engine.network import recipe_network

#: What the JSON file says that it describes.
KIND = "convtrials state dict"


def write_state_dict(finished: FinishedRun, target: Path) -> None:
    """Write a run's weights as a plain dict of tensors, which ``torch.load(..., weights_only=True)`` reads.

    Parameters
    ----------
    target : Path
        Replaced where it exists.
    """
    state = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in finished.network.state_dict().items()
    }
    with atomic_path(target) as temporary:
        torch.save(state, temporary)


def open_state_dict(finished: FinishedRun, path: Path) -> Classify:
    """Return what classifies images, uint8 (N, H, W, C), with a fresh network of the run that has the file's weights.

    Raises
    ------
    WeightsError
        The file cannot be read, or does not fit.
    """
    height, width, channels = finished.image_shape
    network = recipe_network(
        finished.run.recipe, (height, width, channels), len(finished.class_names), seed=0
    )
    load_weights(network, path)
    predictor = Predictor(network, finished.mean, finished.std).eval().requires_grad_(False)

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            probabilities: NDArray[np.float32] = predictor(torch.from_numpy(images)).numpy()
        return probabilities

    return classify


def card_path(path: Path) -> Path:
    """Return where the JSON file of a state dict is: ``model.json`` next to ``model.pt``."""
    return path.with_suffix(".json")


def write_card(finished: FinishedRun, path: Path) -> None:
    """Write what a state dict is: the network to build, what images are normalised with, and where it comes from."""
    recipe = finished.run.recipe
    network = {
        key: getattr(recipe, key)
        for key in ("model", "width", "dropout", "activation", "batch_norm", "classifier_width")
    }
    write_json(
        card_path(path),
        {
            "kind": KIND,
            "convtrials": __version__,
            "file": path.name,
            "sha256": _digest(path),
            "class_names": list(finished.class_names),
            "image_shape": list(finished.image_shape),
            **finished.framing,
            "input": "float32 (N, C, H, W): pixels / 255, minus mean, divided by std",
            "output": "logits, float32 (N, classes); softmax makes probabilities",
            "mean": list(finished.mean),
            "std": list(finished.std),
            "network": network,
            **{key: finished.origin[key] for key in ("seed", "recipe", "dataset")},
        },
    )


def is_our_state_dict(path: Path) -> bool:
    """Whether a file was exported here and is as it was then: the JSON file next to it names its digest."""
    try:
        card = read_json(card_path(path))
        return bool(card.get("kind") == KIND and card.get("sha256") == _digest(path))
    except (ConvtrialsError, OSError, ValueError, AttributeError):
        return False


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
