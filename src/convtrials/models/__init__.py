"""AlexNet and VGG11 for any image size, models of your own, and their weights on disk.

Importing this package is cheap: PyTorch is loaded when a model is built, not before.
"""

from convtrials.models.activations import ACTIVATIONS
from convtrials.models.registry import ModelEntry, build_model, list_models, parameter_count, register_model
from convtrials.models.spec import ModelSpec
from convtrials.models.weights import WeightsError, load_weights, save_weights

__all__ = [
    "ACTIVATIONS",
    "ModelEntry",
    "ModelSpec",
    "WeightsError",
    "build_model",
    "list_models",
    "load_weights",
    "parameter_count",
    "register_model",
    "save_weights",
]
